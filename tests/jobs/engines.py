"""What the tests of all engines share: a small run, its data, and the engines."""

from __future__ import annotations

import time
from contextlib import suppress

import torch

from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.thread.engine import ThreadEngine

TINY = NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16)))
RUN = RunConfig(DataConfig("moons"), ScheduleConfig("log_snr", 8), TINY, TrainConfig(batch=16, decay="none", ema=0.9))
ENGINES = {"threads": ThreadEngine, "processes": ProcessEngine}


def points(n=64, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def until(condition, seconds=60.0):
    """Wait for a condition; a list that is still empty counts as not yet."""
    limit = time.monotonic() + seconds
    while True:
        with suppress(IndexError):
            if condition():
                return
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)
