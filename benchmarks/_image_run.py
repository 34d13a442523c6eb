"""Our own side of the image benchmarks: the usual run on a data set, trained for a given time."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from time import perf_counter

import torch

from dpm_core.config import IMAGE_RUN, DataConfig, RunConfig
from dpm_core.data import sources
from dpm_core.data.images import ImageDataset
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer

THREADS = 2


def use_threads() -> None:
    """Both benchmarks run on two threads, on however many cores."""
    torch.set_num_threads(min(THREADS, os.cpu_count() or 1))


def fresh_model(shape: tuple[int, ...], run: RunConfig = IMAGE_RUN, seed: int = 0) -> ReverseModel:
    """An untrained network of a run's size and schedule."""
    schedule = make_schedule(run.schedule.name, run.schedule.T, **dict(run.schedule.params))
    return build_model(run.network, GaussianDiffusion(schedule), shape, seed)


def fresh_trainer(dataset: ImageDataset, precision: str = IMAGE_RUN.training.precision, batch: int | None = None, seed: int = 0) -> Trainer:
    """The training that the app proposes for ``dataset``, in other batches if asked; its learning rate left to the caller."""
    run = sources.live_run(dataset, DataConfig(dataset.name))
    config = replace(run.training, steps=10**9, decay="none", precision=precision, batch=batch or run.training.batch, seed=seed)
    return Trainer(fresh_model(dataset.shape, run, seed), dataset.batches(), config)


def train(trainer: Trainer, seconds: float) -> int:
    """Train for ``seconds`` inside the steps, the learning rate falling to 0 by the usual cosine, here over time; the steps taken.

    So the run ends where it should also when the machine grows busier on the way.
    """
    used, rate = 0.0, trainer.config.learning_rate
    while used < seconds:
        trainer.learning_rate = rate * 0.5 * (1 + math.cos(math.pi * used / seconds))
        start = perf_counter()
        trainer.step()
        used += perf_counter() - start
    return trainer.step_number
