"""A job as those see it who started it, wherever it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.training.snapshots import Snapshot

FINAL_STATUSES = ("finished", "stopped", "failed")


class Progress(NamedTuple):
    """The progress of a job. Rates are over the last rows; ``loss`` and ``gradient_norm`` are those of the last row (NaN before it)."""

    step: int
    seconds: float  # of training, without pauses and snapshots
    steps_per_second: float
    images_per_second: float
    eta_seconds: float | None  # None when the end is not known
    loss: float
    gradient_norm: float
    threads: int | None  # None until chosen, and on a GPU


class StepDetails(NamedTuple):
    """Details of one optimiser step: up to 8 of its data, on the CPU, with the model's predictions before the step."""

    step: int
    loss: float  # of the whole batch
    gradient_norm: float
    x0: Tensor  # the target of the prediction, [n, ...]
    t: Tensor  # [n]
    noise: Tensor
    xt: Tensor
    prediction: Tensor  # x̂⁽⁰⁾, the mean of x⁽⁰⁾ given x⁽ᵗ⁾
    variance: Tensor  # of x⁽⁰⁾ given x⁽ᵗ⁾
    losses: Tensor  # [n]

    @property
    def target(self) -> Tensor:
        """The target of the prediction, x⁽⁰⁾."""
        return self.x0


class Job(ABC):
    """One training run. Every method may be called from any thread."""

    id: str
    config: JobConfig
    folder: Path

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The process that trains; None where it is on another machine."""

    @property
    @abstractmethod
    def status(self) -> str:
        """One of "queued", "running", "paused", "finished", "stopped" and "failed"."""

    @property
    @abstractmethod
    def message(self) -> str:
        """What the user must know, in a sentence or two; empty if there is nothing to report."""

    @property
    @abstractmethod
    def queue_position(self) -> int | None:
        """1 for the next job to train; None unless queued."""

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the job has ended, everything is written and its folder is released."""

    @property
    @abstractmethod
    def ending(self) -> bool:
        """Whether the run has reached its end or been told to stop, written or not."""

    @property
    @abstractmethod
    def idle_seconds(self) -> float:
        """Seconds since the last ``keep_alive``."""

    @property
    @abstractmethod
    def suggested_batch(self) -> int | None:
        """A batch size that fits into the device's memory, after the configured one did not; else None."""

    @property
    @abstractmethod
    def step(self) -> int:
        """The number of optimiser steps taken."""

    @property
    @abstractmethod
    def last_step(self) -> StepDetails | None:
        """Details of the last ``step_once``."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The learning rate, before warm-up and decay."""

    @property
    @abstractmethod
    def progress(self) -> Progress:
        """Numbers for a progress bar."""

    @property
    @abstractmethod
    def snapshots(self) -> list[Snapshot]:
        """At most 40 snapshots, including the first and the last."""

    def latest(self) -> Snapshot | None:
        """Return the last snapshot, or None."""
        snapshots = self.snapshots
        return snapshots[-1] if snapshots else None

    @abstractmethod
    def metrics(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the metrics rows from number ``since`` on.

        Each row has step, seconds and learning_rate; rows of training also loss, gradient_norm and images_per_second; rows of snapshots
        bound_bits, bound_standard_error_bits and null_bits.
        """

    @abstractmethod
    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the centres of at most 40 bins of t, and the mean loss per datum there; float64 ``[B]``.

        The unit is that of the training loss ("bound": nats per dimension, summed over time). The last 50 steps have most of the weight;
        a bin without data is NaN.
        """

    @abstractmethod
    def keep_alive(self) -> None:
        """Report that the job is still wanted: without this it pauses after 3 minutes and stops after an hour."""

    @abstractmethod
    def pause(self) -> None:
        """Pause: no step begins after this returns, as it waits for one under way. The state is then written in the background."""

    @abstractmethod
    def resume(self) -> None:
        """Continue training, or queue for it. Without effect if the job runs or has ended."""

    @abstractmethod
    def stop(self) -> None:
        """End the run; the last snapshot and state are written in the background (see ``join``)."""

    @abstractmethod
    def join(self, timeout: float | None = None) -> bool:
        """Wait until a job that is ending has written everything; return whether it has."""

    @abstractmethod
    def step_once(self) -> None:
        """Pause, take exactly one optimiser step, and return when it is done. Raises JobError when the run has ended."""

    @abstractmethod
    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the next steps; warm-up and decay still apply. Raises JobError unless positive and finite."""

    def weights(self, snapshot: Snapshot | None = None) -> Any:
        """Return a copy, on the CPU, of the model with the averaged weights after the last step, or with those of a snapshot.

        It is a ReverseModel, or the Classifier or VAE that was trained. Raises JobError if the snapshot's weights were discarded.
        """
        model = self._averaged()
        if snapshot is not None:
            if snapshot.weights is None:
                raise JobError("The weights of this snapshot were discarded to limit memory; choose a later snapshot.")
            model.network.load_state_dict({k: v.float() for k, v in snapshot.weights.items()})
        return model

    @abstractmethod
    def _averaged(self) -> Any:
        """A copy, on the CPU, of the model with the averaged weights after the last step."""

    @abstractmethod
    def save(self, name: str, folder: Path | None = None) -> Path:
        """Write the averaged weights as a checkpoint. Raises CheckpointError, DataError or OSError."""

    @abstractmethod
    def leave(self, timeout: float) -> None:
        """The program ends: see that nothing is lost, in at most ``timeout`` seconds if it takes waiting."""

    @abstractmethod
    def close(self) -> None:
        """Release what the job still holds; called when an ended job is forgotten."""
