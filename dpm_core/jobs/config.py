"""The config of a job: a run and how it is carried out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dpm_core.checkpoints import check_name
from dpm_core.config import ConfigError, RunConfig

DEVICES = ("cpu", "cuda", "mps")


class JobError(ValueError):
    """A job that cannot be started or resumed, or a request that it cannot fulfil; the message is one sentence."""


@dataclass(frozen=True)
class Stop:
    """When to stop: at the first condition that is met; None means not used.

    ``steps``: optimiser steps; ``seconds``: of training time; ``plateau``: stop when K no longer increases. Raises ConfigError.
    """

    steps: int | None = None
    seconds: float | None = None
    plateau: bool = False

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"The number of steps must be at least 1, not {self.steps}.")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ConfigError(f"The training time must be positive and finite, not {self.seconds} seconds.")


@dataclass(frozen=True)
class JobConfig:
    """A run and how it is carried out.

    Each snapshot contains ``snapshot_samples`` samples made with ``sample_steps`` diffusion steps. ``threads``: of the processor, chosen by
    measurement by default. Raises CheckpointError for an invalid name, ConfigError.
    """

    name: str
    run: RunConfig = field(default_factory=RunConfig)
    stop: Stop = field(default_factory=Stop)
    device: str = "cpu"
    compile: bool = False
    snapshot_samples: int = 16
    sample_steps: int = 20
    threads: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.device not in DEVICES:
            raise ConfigError(f"The device must be one of {', '.join(DEVICES)}, not {self.device!r}.")
        if not 1 <= self.snapshot_samples <= 4096:
            raise ConfigError(f"The number of samples per snapshot must be between 1 and 4,096, not {self.snapshot_samples}.")
        if self.sample_steps < 1:
            raise ConfigError(f"The number of sampling steps must be at least 1, not {self.sample_steps}.")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"At least one thread is needed, not {self.threads}.")

    @property
    def last_step(self) -> int | None:
        """The step at which to stop, if known; with cosine decay the learning rate is 0 after the run's last step."""
        training = self.run.training
        limits = [self.stop.steps, training.steps if training.decay == "cosine" else None]
        return min((limit for limit in limits if limit is not None), default=None)
