"""Three ways to a schedule and a network of the same size, trained for the same number of steps, and their K on the same data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.measure.bound import NATS_PER_BIT, bound_terms
from dpm_core.process import GaussianDiffusion, gaussian_entropy_nats
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.schedules import Schedule, make_schedule
from dpm_core.training.joint_schedule import JointTrainer, MonotoneSchedule
from dpm_core.training.learned_schedule import LearnedSchedule, learn
from dpm_core.training.trainer import Trainer

WAYS = {"fixed": "Linear log-SNR, not learned", "alternating": "Learned before the network", "joint": "Learned with the network"}
FORMS = {"steps": "One number for each step", "network": "Monotone network of t/T"}
TRAINING, HELD_OUT, ASCENT_POINTS, ASCENT_STEPS = 8000, 4000, 128, 160
SHOWN_EVERY = 25  # steps


class Stage(NamedTuple):
    """How far one way has come: its ``share`` of the steps, the schedule so far; at its end ``bits``, K of each held-out datum ``[n]``."""

    way: str
    share: float
    schedule: Schedule
    bits: Tensor | None = None


def compare_ways(dataset: Any, T: int, form: str, network: NetworkConfig, steps: int, seed: int) -> Iterator[Stage]:
    """Train by every way in turn. ``dataset``: of points, whose exact reverse kernel is known; ``form``: a key of FORMS.

    "alternating" first learns the schedule with the exact kernel (:func:`dpm_core.training.learned_schedule.learn`), then trains.
    """
    start = make_schedule("log_snr", T)
    x = dataset.sample(TRAINING, torch.Generator().manual_seed(seed))
    held_out = dataset.sample_held_out(HELD_OUT, torch.Generator().manual_seed(seed + 1))
    config = TrainConfig(steps=steps, seed=seed)

    def untrained(schedule: Schedule) -> ReverseModel:
        return build_model(network, GaussianDiffusion(schedule), tuple(x.shape[1:]), seed)

    for way in WAYS:
        schedule = start
        if way == "alternating":
            points = dataset.sample(ASCENT_POINTS, torch.Generator().manual_seed(seed + 2))
            exact = dataset.exact_reverse(GaussianDiffusion(start))
            for found in learn(exact, points, ASCENT_STEPS, torch.Generator().manual_seed(seed + 3)):
                schedule = found.schedule
        trainer: Trainer = Trainer(untrained(schedule), x, config)
        if way == "joint":
            learned = MonotoneSchedule(start, seed=seed) if form == "network" else LearnedSchedule(start)
            trainer = JointTrainer(untrained(start), learned, x, config)
        for step in range(1, steps + 1):
            trainer.step()
            if step % SHOWN_EVERY == 0 and step < steps:
                yield Stage(way, step / steps, trainer.model.diffusion.schedule)
        yield Stage(way, 1.0, trainer.model.diffusion.schedule, bits_of_each(trainer.average, held_out))


def bits_of_each(model: Any, x0: Tensor, seed: int = 3) -> Tensor:
    """Return K of each datum x0 ``[n, ...]`` in bits, float64 ``[n]``, with the same noise for every model and schedule of T steps."""
    diffusion, d = model.diffusion, x0[0].numel()
    kl = bound_terms(model, diffusion, x0, torch.Generator().manual_seed(seed)).double().sum(1)
    ends = gaussian_entropy_nats(diffusion.schedule.noise(diffusion.T), d) - gaussian_entropy_nats(diffusion.schedule.noise(1), d)
    return (ends - kl - diffusion.prior_cost_nats(x0)) / NATS_PER_BIT


def paired_gain(bits: Tensor, other: Tensor) -> tuple[float, float]:
    """Return the mean of ``bits`` − ``other`` over the same data, and its standard error."""
    difference = bits - other
    return float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))
