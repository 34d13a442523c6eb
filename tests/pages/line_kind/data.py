"""The data: two Gaussians on a line, and what checkpoints, jobs and the command line ask of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig
from dpm_core.data.kinds import DataKind, HeldOut, register

SEPARATION = 0.9  # of the two Gaussians from 0; with this noise the variance is 1
NOISE = math.sqrt(1 - SEPARATION**2)


@dataclass(frozen=True)
class LineDataset:
    name: str = "two_bumps"
    title: str = "Two bumps"
    kind: ClassVar[str] = "line"
    shape: ClassVar[tuple[int, ...]] = (1,)
    dims: ClassVar[int] = 1

    @property
    def spec(self):
        return self

    def sample(self, n, generator=None):
        rows = torch.randint(2, (n,), generator=generator)
        return (2.0 * rows[:, None] - 1) * SEPARATION + NOISE * torch.randn(n, 1, generator=generator)

    sample_held_out = sample


class LineData(DataKind[LineDataset, LineDataset]):
    name, title = "line", "Points on a line"

    def names(self):
        return ["two_bumps"]

    def make(self, name, noise=None, params=(), progress=None):
        return LineDataset(), DataConfig(name)

    def usual_run(self, spec, config):
        return RunConfig(config, ScheduleConfig("log_snr", 12), NetworkConfig("mlp"))

    def constants(self, dataset):
        return {"title": dataset.title}

    def described_shape(self, config, constants):
        return (1,)

    def rebuild(self, config, constants, tensors):
        return LineDataset()

    def of_checkpoint(self, dataset, config):
        return dataset

    def held_out(self, spec):
        return HeldOut(500, every_time=True)


register(LineData())
