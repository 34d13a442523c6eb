"""What a job is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dpm_core.checkpoints import check_name
from dpm_core.config import ConfigError, RunConfig

DEVICES = ("cpu", "cuda", "mps")


class JobError(ValueError):
    """A job that cannot be started, resumed or asked for this, in one sentence."""


@dataclass(frozen=True)
class Stop:
    """When to stop, whichever comes first; None is not used. ``seconds`` of training; ``plateau``: K no longer rises."""

    steps: int | None = None
    seconds: float | None = None
    plateau: bool = False

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError("The number of steps at which to stop must be at least 1.")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ConfigError("The seconds after which to stop must be positive.")


@dataclass(frozen=True)
class JobConfig:
    """A run and how it is carried out. ``watch`` samples by ``sample_steps`` diffusion steps in each snapshot;
    ``threads`` of the processor, chosen by measurement unless given. Raises CheckpointError for an unfit name, ConfigError.
    """

    name: str
    run: RunConfig = field(default_factory=RunConfig)
    stop: Stop = field(default_factory=Stop)
    device: str = "cpu"
    compile: bool = False
    watch: int = 16
    sample_steps: int = 20
    threads: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.device not in DEVICES:
            raise ConfigError(f"The device must be one of {', '.join(DEVICES)}, not {self.device!r}.")
        if not 1 <= self.watch <= 4096 or self.sample_steps < 1:
            raise ConfigError("The samples to watch must be 1 to 4,096, by at least one step.")
        if self.threads is not None and self.threads < 1:
            raise ConfigError("At least one thread is needed.")

    @property
    def last_step(self) -> int | None:
        """The step at which to stop, if known; a cosine has brought the learning rate to 0 at its run's last step."""
        training = self.run.training
        limits = [self.stop.steps, training.steps if training.decay == "cosine" else None]
        return min((limit for limit in limits if limit is not None), default=None)
