"""Our own side of the image benchmarks: IMAGE_RUN on MNIST, trained for a given time."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from time import perf_counter

import torch

from dpm_core.config import IMAGE_RUN, NetworkConfig, ScheduleConfig
from dpm_core.data.images import ImageDataset
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.reverse import ReverseModel
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer, build_model

THREADS = 2


def use_threads() -> None:
    """Both benchmarks run on two threads, on however many cores."""
    torch.set_num_threads(min(THREADS, os.cpu_count() or 1))


def diffusion(schedule: ScheduleConfig) -> GaussianDiffusion:
    """The diffusion of a schedule."""
    return GaussianDiffusion(make_schedule(schedule.name, schedule.T, **dict(schedule.params)))


def fresh_model(shape: tuple[int, ...], network: NetworkConfig = IMAGE_RUN.network, seed: int = 0) -> ReverseModel:
    """An untrained network of IMAGE_RUN's size and schedule."""
    return build_model(network, diffusion(IMAGE_RUN.schedule), shape, seed)


def fresh_trainer(dataset: ImageDataset, precision: str = IMAGE_RUN.training.precision, seed: int = 0) -> Trainer:
    """IMAGE_RUN's training on ``dataset``, its learning rate left to the caller."""
    config = replace(IMAGE_RUN.training, steps=10**9, decay="none", precision=precision, seed=seed)
    return Trainer(fresh_model(dataset.shape, seed=seed), dataset.batches(), config)


def train(trainer: Trainer, seconds: float) -> int:
    """Train for ``seconds`` inside the steps, the learning rate falling to 0 by IMAGE_RUN's cosine, here over time; the steps taken.

    So the run ends where it should also when the machine grows busier on the way.
    """
    used, rate = 0.0, trainer.config.learning_rate
    while used < seconds:
        trainer.learning_rate = rate * 0.5 * (1 + math.cos(math.pi * used / seconds))
        start = perf_counter()
        trainer.step()
        used += perf_counter() - start
    return trainer.step_number
