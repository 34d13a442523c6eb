"""What the Memory page computes of images: patches fitted to a network, and samples of three kernels from the same noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st
import torch
from torch import Tensor

from dpm_core.data.images import ImageDataset
from dpm_core.inpainting.patches import LocalPatchReverse
from dpm_core.measure.locality import fit_sides, sides_for, squared_correlation
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, LocalReverse, ReverseKernel
from dpm_core.samplers import Recording, ddim, record, timesteps
from pages.ui import cache
from pages.ui.memory.image_question import STEPS, ImageQuestion

KERNELS = {"network": "Trained network", "local": "Local kernel", "memoriser": "Exact kernel of N images"}
FITTED = 10  # times at which patches are fitted
HELD_OUT = 4  # images
CANDIDATES = 60_000  # patches from anywhere, at most


class Locality(NamedTuple):
    """``sides`` by time, ``errors`` of every side by time; the recordings by kernel; r² with the network by kernel, ``[n]``."""

    sides: dict[int, int]
    offered: list[int]
    errors: dict[int, list[float]]
    paths: dict[str, Recording]
    r2: dict[str, list[float]]

    @property
    def medians(self) -> dict[str, float]:
        """The median of r² by kernel."""
        return {name: float(torch.tensor(values).median()) for name, values in self.r2.items()}


def times_of(T: int) -> list[int]:
    """The times at which patches are fitted, evenly spaced over the sampler's."""
    steps = timesteps(T, min(STEPS, T))[:-1]
    return sorted({steps[round(i * (len(steps) - 1) / (FITTED - 1))] for i in range(FITTED)})


@st.cache_resource(max_entries=8, show_spinner=False)
def once(question: ImageQuestion) -> cache.Once[Locality]:
    """What is computed for a question, once."""
    return cache.Once()


def find(question: ImageQuestion, progress: Callable[[float], None]) -> Locality:
    """Fit and sample; ``progress`` takes the share that is done. Raises DataError."""
    loaded, data = cache.model(question.ref), dataset(question)
    process, model = cache.gaussian(loaded.model), loaded.model
    training, offered = data.different(question.training), sides_for(data.shape[1:], inside=question.place == "any")
    held_out = data.sample_held_out(HELD_OUT, torch.Generator().manual_seed(51))
    times, sides, errors = times_of(process.T), dict[int, int](), dict[int, list[float]]()

    def local(sides: dict[int, int]) -> ReverseKernel:
        return _local(question, training, process, sides)

    fitted = fit_sides(model, process, local, held_out, times, offered, torch.Generator().manual_seed(52))
    for t, side, found in fitted:
        sides[t], errors[t] = side, found
        progress(0.5 * len(sides) / len(times))
    kernels: dict[str, ReverseKernel] = {
        "network": model,
        "local": local(sides),
        "memoriser": EmpiricalReverse(training, process),
    }
    x_T = torch.randn(question.n, *data.shape, generator=torch.Generator().manual_seed(question.seed))
    paths = {}
    for i, (name, kernel) in enumerate(kernels.items(), 1):
        paths[name] = _path(kernel, x_T)
        progress(0.5 + 0.5 * i / len(kernels))
    ends = {name: torch.from_numpy(path.x[-1]) for name, path in paths.items()}
    r2 = {name: squared_correlation(ends["network"], ends[name]).tolist() for name in ("local", "memoriser")}
    return Locality(sides, offered, errors, paths, r2)


def _local(question: ImageQuestion, training: Tensor, process: GaussianDiffusion, sides: dict[int, int]) -> ReverseKernel:
    """The local kernel whose patches have these sides by time."""
    if question.place == "any":
        generator = torch.Generator().manual_seed(53)
        return LocalPatchReverse(
            training, process, patch=lambda t: sides[min(sides, key=lambda known: abs(known - t))], candidates=CANDIDATES,
            generator=generator,
        )  # fmt: skip
    return LocalReverse(training, process, sides, int(question.place))


def dataset(question: ImageQuestion) -> ImageDataset:
    """The data of the model. Raises DataError."""
    found: ImageDataset = cache.data_of(question.ref)
    return found


def _path(kernel: ReverseKernel, x_T: Tensor) -> Recording:
    steps = min(STEPS, kernel.diffusion.T)
    return record(ddim(kernel, cache.gaussian(kernel), x_T, steps=steps), steps + 1, steps + 1)
