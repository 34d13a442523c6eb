"""One job: a thread that trains, as others see it."""

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
from dpm_core.jobs.commands import ENDS, Commands
from dpm_core.jobs.config import JobError
from dpm_core.jobs.job_queue import job_queue
from dpm_core.jobs.record import Progress
from dpm_core.jobs.run_context import RunContext, as_checkpoint
from dpm_core.jobs.run_folder import Log, RunFolder
from dpm_core.jobs.worker import StepDetails, Worker
from dpm_core.reverse import ReverseModel
from dpm_core.training.snapshots import Snapshot


class Job:
    """One training run in its own thread. Every method may be called from any thread."""

    def __init__(
        self,
        context: RunContext,
        files: RunFolder,
        log: Log,
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
        """What a person must know, in a sentence or two; empty when all is well."""
        trouble = self._record.trouble
        if trouble:
            after = (
                "keep it as a checkpoint, or it is lost with this program." if self.done else "training goes on and writing is tried again."
            )
            trouble = f"The run could not be written to disk ({trouble}); {after}"
        return " ".join(filter(None, (self._commands.message, self._worker.doing, self._worker.warning, trouble)))

    @property
    def queue_position(self) -> int | None:
        """1 for the next one to train; None unless queued."""
        return self._commands.queue_position

    @property
    def done(self) -> bool:
        """Whether it has ended, everything is written and its folder is free."""
        return bool(self._commands.ended)

    @property
    def ending(self) -> bool:
        """Whether it has come to its end or been told to stop, written or not."""
        return self._commands.closing or self.status in ENDS

    @property
    def idle_seconds(self) -> float:
        """Seconds since somebody looked."""
        return self._commands.idle_seconds

    @property
    def suggested_batch(self) -> int | None:
        """After the batch did not fit the device's memory, one that does."""
        return self._worker.suggested_batch

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self._worker.trainer.step_number

    @property
    def last_step(self) -> StepDetails | None:
        """What the last ``step_once`` did."""
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
        """At most 40, from the first to the last."""
        return list(self._record.snapshots)

    def latest(self) -> Snapshot | None:
        """The last snapshot, if there is one."""
        snapshots = self._record.snapshots
        return snapshots[-1] if snapshots else None

    def metrics(self, since: int = 0) -> list[dict[str, Any]]:
        """Rows from number ``since`` on. Each has step, seconds and learning_rate; rows of training loss, gradient_norm and
        images_per_second; rows of snapshots bound_bits, bound_standard_error_bits and null_bits."""
        return self._record.log.rows(since)

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of at most 40 bins of t, and the mean loss of a datum there in the training loss's own unit ("bound":
        nats per dimension, summed over time); float64 ``[B]``. The last 50 steps weigh most; NaN where nothing was seen."""
        with self._worker.lock:
            return self._record.loss_per_time()

    def keep_alive(self) -> None:
        """Somebody is looking."""
        self._commands.keep_alive()

    def pause(self) -> None:
        """No step begins after this returns; waits for one under way. The state is then written in the background."""
        self._want("pause")

    def resume(self) -> None:
        """Train on, or queue for it. Does nothing when the job runs or is over."""
        self.keep_alive()
        self._want("run")

    def stop(self) -> None:
        """End the run and keep everything; the last snapshot and state are written in the background (see ``join``)."""
        self._want("stop")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until a job that is over has written everything; whether it has."""
        self._worker.thread.join(timeout)
        return not self._worker.thread.is_alive()

    def step_once(self) -> None:
        """Pause, do exactly one optimiser step, and return when it is done. Raises JobError when the run is over."""
        self.keep_alive()
        self.pause()
        self._commands.step_once()

    def set_learning_rate(self, value: float) -> None:
        """From the next step on; warm-up and decay still apply. Raises JobError unless positive and finite."""
        if not 0 < value < math.inf:
            raise JobError(f"The learning rate must be positive, not {value}.")
        with self._worker.lock:
            self._worker.trainer.learning_rate = float(value)
            self._worker.dirty = True
            self._record.log.add(self._record.row())
        with job_queue.condition:
            job_queue.condition.notify_all()

    def weights(self, snapshot: Snapshot | None = None) -> ReverseModel:
        """The averaged weights after the last step, or a snapshot's: a copy, on the CPU. Raises JobError when it has none."""
        with self._worker.lock:
            model = copy.deepcopy(self._worker.trainer.average).cpu().eval()
        if snapshot is not None:
            if snapshot.weights is None:
                raise JobError("The weights of this snapshot were let go to save memory.")
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
            made = as_checkpoint(context, name, model, step, seconds, rates, latest, latest.bound_standard_error_bits)
        else:
            bound = context.evaluator.bound(model)
            made = as_checkpoint(context, name, model, step, seconds, rates, bound, bound.standard_error_bits)
        return checkpoints.save(made, folder)

    def begin(self, state: dict[str, Tensor] | None = None) -> None:
        """Once, by whoever made the job: start its thread, from ``state`` if given. Raises ValueError when that is another run's."""
        if state is not None:
            bad = self._record.restore(state)
            self._worker.warning = f"{bad} of the run's snapshots could not be read." if bad else ""
        self._commands.enter()
        self._worker.thread.start()

    def leave(self, timeout: float) -> None:
        """Pause because the program ends, and wait until that is on disk; of a job that is ending, until it has ended."""
        self._commands.want("pause", "The program was closed; resume to go on.")
        until = time.monotonic() + timeout
        with job_queue.condition:  # not for the turn, which has no limit; till the thread is idle, as torch aborts when cut off at work
            job_queue.condition.wait_for(lambda: self.done or (not self.ending and self._commands.idle and self._worker.written()), timeout)
        if self.done:
            self.join(max(0.0, until - time.monotonic()))

    def _want(self, what: str) -> None:
        self._commands.want(what)
        with self._worker.lock:  # a step under way is finished
            return
