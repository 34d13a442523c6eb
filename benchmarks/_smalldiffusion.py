"""The peer *smalldiffusion* on our data: model, schedule, loop and sampler of the toy example in its README.

The example's DataLoader collates point by point; here whole batches are handed over, so the peer trains
faster than in its own example.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from time import perf_counter
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor

BATCH = 2048


def load() -> ModuleType | None:
    """The package, or None when it, or something that it imports, is not installed.

    It imports torchvision for image transforms that points in the plane never meet, and torchvision's wheel
    fails to import beside a torch build for the CPU only: a stand-in takes its place.
    """
    sys.modules.setdefault("torchvision", MagicMock())
    try:
        return importlib.import_module("smalldiffusion")
    except ImportError:
        return None


def train(package: ModuleType, data: Tensor, seconds: float, seed: int) -> tuple[Any, int]:
    """A model after ``seconds`` inside the peer's own training loop on ``data`` ``[N, 2]``, and its steps."""
    torch.manual_seed(seed)  # the peer draws from the global generator
    model = package.TimeInputMLP(hidden_dims=(16, 128, 128, 128, 128, 16))
    with _silent_progress(package):
        loop = package.training_loop(_Batches(data), model, schedule(package), epochs=10**6)
        used, steps = 0.0, 0
        while used < seconds:
            start = perf_counter()
            next(loop)
            used += perf_counter() - start
            steps += 1
        loop.close()
    return model, steps


def schedule(package: ModuleType) -> Any:
    """The example's noise schedule."""
    return package.ScheduleLogLinear(N=200, sigma_min=0.005, sigma_max=10)


def sample(package: ModuleType, model: Any, n: int, seed: int) -> Tensor:
    """n samples ``[n, 2]`` by the example's accelerated sampler in 20 steps."""
    torch.manual_seed(seed)
    *_, x0 = package.samples(model, schedule(package).sample_sigmas(20), gam=2, batchsize=n)
    return x0


class _Batches:
    """The data once over in a new order, in batches of the example's size."""

    def __init__(self, data: Tensor):
        self.data = data

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.data[torch.randperm(len(self.data))].split(BATCH))


class _silent_progress:
    """Switches the peer's progress bar off and back on."""

    def __init__(self, package: ModuleType):
        self.module = sys.modules[package.__name__ + ".diffusion"]

    def __enter__(self) -> None:
        self.tqdm = self.module.tqdm
        self.module.tqdm = iter

    def __exit__(self, *exception: object) -> None:
        self.module.tqdm = self.tqdm
