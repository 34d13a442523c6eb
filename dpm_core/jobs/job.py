"""One job: a thread that trains a model, as other threads see it."""

from __future__ import annotations

import copy
import math
import secrets
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.jobs.commands import FINAL_STATUSES, Commands
from dpm_core.jobs.config import JobError
from dpm_core.jobs.job_queue import job_queue
from dpm_core.jobs.provenance import to_checkpoint
from dpm_core.jobs.record import Progress
from dpm_core.jobs.run_context import RunContext
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.worker import StepDetails, Worker
from dpm_core.reverse import ReverseModel
from dpm_core.training.snapshots import Snapshot


class Job:
    """One training run in its own thread. Every method may be called from any thread."""

    def __init__(
        self,
        context: RunContext,
        files: RunFolder,
        log: MetricsLog,
        paused: bool = False,
        clock: Callable[[], float] = time.monotonic,
        threads: int | None = None,
    ):
        self.id, self.config, self.folder = secrets.token_hex(6), context.config, files.path
        self._commands = Commands(context.config.device, paused, clock)
        self._worker = Worker(context, files, log, self._commands, clock, threads)
        self._record = self._worker.record

    @property
    def status(self) -> str:
        """One of "queued", "running", "paused", "finished", "stopped" and "failed"."""
        return self._commands.status

    @property
    def message(self) -> str:
        """What the user must know, in a sentence or two; empty if there is nothing to report."""
        error = self._record.write_error
        if error:
            after_end = "save a checkpoint, or it is lost when this program ends."
            advice = after_end if self.done else "training continues and writing is tried again."
            error = f"The run could not be written to disk ({error}); {advice}"
        return " ".join(filter(None, (self._commands.message, self._worker.activity, self._worker.warning, error)))

    @property
    def queue_position(self) -> int | None:
        """1 for the next job to train; None unless queued."""
        return self._commands.queue_position

    @property
    def done(self) -> bool:
        """Whether the job has ended, everything is written and its folder is released."""
        return bool(self._commands.final_status)

    @property
    def ending(self) -> bool:
        """Whether the run has reached its end or been told to stop, written or not."""
        return self._commands.ending or self.status in FINAL_STATUSES

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last ``keep_alive``."""
        return self._commands.idle_seconds

    @property
    def suggested_batch(self) -> int | None:
        """A batch size that fits into the device's memory, after the configured one did not; else None."""
        return self._worker.suggested_batch

    @property
    def step(self) -> int:
        """The number of optimiser steps taken."""
        return self._worker.trainer.step_number

    @property
    def last_step(self) -> StepDetails | None:
        """Details of the last ``step_once``."""
        return self._worker.last_step

    @property
    def learning_rate(self) -> float:
        """The learning rate, before warm-up and decay."""
        return self._worker.trainer.learning_rate

    @property
    def progress(self) -> Progress:
        """Numbers for a progress bar."""
        return self._record.progress(self._worker.threads)

    @property
    def snapshots(self) -> list[Snapshot]:
        """At most 40 snapshots, including the first and the last."""
        return list(self._record.snapshots)

    def latest(self) -> Snapshot | None:
        """Return the last snapshot, or None."""
        snapshots = self._record.snapshots
        return snapshots[-1] if snapshots else None

    def metrics(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the metrics rows from number ``since`` on.

        Each row has step, seconds and learning_rate; rows of training also loss, gradient_norm and images_per_second; rows of snapshots
        bound_bits, bound_standard_error_bits and null_bits.
        """
        return self._record.log.rows(since)

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the centres of at most 40 bins of t, and the mean loss per datum there; float64 ``[B]``.

        The unit is that of the training loss ("bound": nats per dimension, summed over time). The last 50 steps have most of the weight;
        a bin without data is NaN.
        """
        with self._worker.lock:
            return self._record.loss_per_time()

    def keep_alive(self) -> None:
        """Report that the job is still wanted: without this it pauses after 3 minutes and stops after an hour."""
        self._commands.keep_alive()

    def pause(self) -> None:
        """Pause: no step begins after this returns, as it waits for one under way. The state is then written in the background."""
        self._request("pause")

    def resume(self) -> None:
        """Continue training, or queue for it. Without effect if the job runs or has ended."""
        self.keep_alive()
        self._request("run")

    def stop(self) -> None:
        """End the run; the last snapshot and state are written in the background (see ``join``)."""
        self._request("stop")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until a job that is ending has written everything; return whether it has."""
        self._worker.thread.join(timeout)
        return not self._worker.thread.is_alive()

    def step_once(self) -> None:
        """Pause, take exactly one optimiser step, and return when it is done. Raises JobError when the run has ended."""
        self.keep_alive()
        self.pause()
        self._commands.step_once()

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the next steps; warm-up and decay still apply. Raises JobError unless positive and finite."""
        if not 0 < value < math.inf:
            raise JobError(f"The learning rate must be positive and finite, not {value}.")
        with self._worker.lock:
            self._worker.trainer.learning_rate = float(value)
            self._worker.dirty = True
            self._record.log.add(self._record.row())
        with job_queue.condition:
            job_queue.condition.notify_all()

    def weights(self, snapshot: Snapshot | None = None) -> ReverseModel:
        """Return a copy, on the CPU, of the model with the averaged weights after the last step, or with those of a snapshot.

        Raises JobError if the snapshot's weights were discarded.
        """
        with self._worker.lock:
            model = copy.deepcopy(self._worker.trainer.average).cpu().eval()
        if snapshot is not None:
            if snapshot.weights is None:
                raise JobError("The weights of this snapshot were discarded to limit memory; choose a later snapshot.")
            model.network.load_state_dict({k: v.float() for k, v in snapshot.weights.items()})
        return model

    def save(self, name: str, folder: Path | None = None) -> Path:
        """Write the averaged weights as a checkpoint. Raises CheckpointError, DataError or OSError."""
        checkpoints.check_name(name)
        with self._worker.lock:
            context, trainer = self._worker.context, self._worker.trainer
            model, step, seconds = copy.deepcopy(trainer.average).cpu().eval(), trainer.step_number, self._record.seconds
        latest = self.latest()
        rates = [rate for rate, _ in groupby(row["learning_rate"] for row in self.metrics() if "learning_rate" in row)]
        if latest is not None and latest.step == step:
            checkpoint = to_checkpoint(context, name, model, step, seconds, rates, latest, latest.bound_standard_error_bits)
        else:
            bound = context.evaluator.bound(model)
            checkpoint = to_checkpoint(context, name, model, step, seconds, rates, bound, bound.standard_error_bits)
        return checkpoints.save(checkpoint, folder)

    def launch(self, state: dict[str, Tensor] | None = None) -> None:
        """Start the job's thread, from ``state`` if given; called once. Raises ValueError if the state belongs to another run."""
        if state is not None:
            bad = self._record.restore(state)
            self._worker.warning = f"{bad} of the run's snapshots could not be read." if bad else ""
        self._commands.enter_queue()
        self._worker.thread.start()

    def pause_for_exit(self, timeout: float) -> None:
        """Pause because the program ends, and wait until that is saved; for a job that is ending, until it has ended."""
        self._commands.request("pause", "The program was closed; resume to continue.")
        until = time.monotonic() + timeout
        # the lock has no time limit; the thread must wait, because torch aborts if the program exits during a computation
        with job_queue.condition:
            job_queue.condition.wait_for(self._ready_for_exit, timeout)
        if self.done:
            self.join(max(0.0, until - time.monotonic()))

    def _ready_for_exit(self) -> bool:
        return self.done or (not self.ending and self._commands.waiting and self._worker.saved())

    def _request(self, command: str) -> None:
        self._commands.request(command)
        with self._worker.lock:  # wait for a step under way
            return
