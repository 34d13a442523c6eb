"""The swiss roll of the learning benchmark and training on it for a given time."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from dpm_core.config import NetworkConfig, ScheduleConfig, TrainConfig
from dpm_core.data import toy2d
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import train_steps

POINTS = 8000
ROLL = toy2d.make_dataset("swiss_roll", 0.03)
Run = tuple[NetworkConfig, ScheduleConfig]


def generator(seed: int) -> torch.Generator:
    """A generator of its own for every draw."""
    return torch.Generator().manual_seed(seed)


def diffusion(schedule: ScheduleConfig) -> GaussianDiffusion:
    """The diffusion of a schedule."""
    return GaussianDiffusion(make_schedule(schedule.name, schedule.T, **dict(schedule.params)))


def points(seed: int) -> Tensor:
    """The training data of one run, ``[8000, 2]``."""
    return ROLL.sample(POINTS, generator(seed))


def train(run: Run, seconds: float, seed: int, loss: str = "bound") -> tuple[ReverseModel, int]:
    """The averaged model after at most ``seconds`` of training, and its optimiser steps.

    Half a second of training beforehand sets the number of steps, so that the learning rate's cosine ends in
    time. A run cut short because the machine grew busier is started again, up to three times.
    """
    network, schedule = run
    data = points(seed)
    q = diffusion(schedule)

    def go(steps: int, limit: float) -> tuple[ReverseModel, int, float]:
        config = TrainConfig(loss, steps=steps, batch=512, learning_rate=1e-2, seed=seed)
        loop = train_steps(build_model(network, q, seed=seed), data, config)
        used, done, average = 0.0, 0, None
        while done < steps and used < limit:
            start = perf_counter()
            average = next(loop).average
            used += perf_counter() - start
            done += 1
        return average, done, used

    go(20, seconds)  # the first steps of a process are slow
    for _ in range(3):
        _, done, used = go(10**6, 0.5)
        steps = int(0.97 * seconds * done / used)
        average, done, used = go(steps, seconds)
        if done == steps:
            break
    return average, done
