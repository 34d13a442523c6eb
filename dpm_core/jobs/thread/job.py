"""A job in this process: a thread that trains a model, as other threads see it."""

from __future__ import annotations

import copy
import math
import os
import secrets
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.jobs.config import JobError
from dpm_core.jobs.job import FINAL_STATUSES, Job, Progress, StepDetails
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.commands import Commands
from dpm_core.jobs.thread.job_queue import job_queue
from dpm_core.jobs.thread.provenance import to_checkpoint
from dpm_core.jobs.thread.run_context import RunContext
from dpm_core.jobs.thread.worker import Worker
from dpm_core.training.snapshots import Snapshot


class ThreadJob(Job):
    """One training run in its own thread; what its methods do is said in :class:`Job`."""

    def __init__(
        self,
        context: RunContext,
        files: RunFolder,
        log: MetricsLog,
        paused: bool = False,
        clock: Callable[[], float] = time.monotonic,
        threads: int | None = None,
        queued: bool = True,
    ):
        self.id, self.config, self.folder = secrets.token_hex(6), context.config, files.path
        self._commands = Commands(context.config.device, files.path.parent if queued else None, paused, clock)
        self._worker = Worker(context, files, log, self._commands, clock, threads)
        self._record = self._worker.record

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def status(self) -> str:
        return self._commands.status

    @property
    def message(self) -> str:
        error = self._record.write_error
        if error:
            after_end = "save a checkpoint, or it is lost when this program ends."
            advice = after_end if self.done else "training continues and writing is tried again."
            error = f"The run could not be saved ({error.rstrip('.')}); {advice}"
        return " ".join(filter(None, (self._commands.message, self._worker.activity, self._worker.warning, error)))

    @property
    def queue_position(self) -> int | None:
        return self._commands.queue_position

    @property
    def done(self) -> bool:
        return bool(self._commands.final_status)

    @property
    def ending(self) -> bool:
        return self._commands.ending or self.status in FINAL_STATUSES

    @property
    def idle_seconds(self) -> float:
        return self._commands.idle_seconds

    @property
    def suggested_batch(self) -> int | None:
        return self._worker.suggested_batch

    @property
    def step(self) -> int:
        return self._worker.trainer.step_number

    @property
    def last_step(self) -> StepDetails | None:
        return self._worker.last_step

    @property
    def learning_rate(self) -> float:
        return self._worker.trainer.learning_rate

    @property
    def progress(self) -> Progress:
        return self._record.progress(self._worker.threads)

    @property
    def snapshots(self) -> list[Snapshot]:
        return list(self._record.snapshots)

    def metrics(self, since: int = 0) -> list[dict[str, Any]]:
        return self._record.log.rows(since)

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        with self._worker.lock:
            return self._record.loss_per_time()

    def keep_alive(self) -> None:
        self._commands.keep_alive()

    def pause(self) -> None:
        self._request("pause")

    def resume(self) -> None:
        self.keep_alive()
        self._request("run")

    def stop(self) -> None:
        self._request("stop")

    def join(self, timeout: float | None = None) -> bool:
        self._worker.thread.join(timeout)
        return not self._worker.thread.is_alive()

    def step_once(self) -> None:
        self.keep_alive()
        self.pause()
        self._commands.step_once()

    def set_learning_rate(self, value: float) -> None:
        if not 0 < value < math.inf:
            raise JobError(f"The learning rate must be positive and finite, not {value}.")
        with self._worker.lock:
            self._worker.trainer.learning_rate = float(value)
            self._worker.dirty = True
            self._record.log.add(self._record.row())
        with job_queue.condition:
            job_queue.condition.notify_all()

    def _averaged(self) -> Any:
        with self._worker.lock:
            return copy.deepcopy(self._worker.trainer.average).cpu().eval()

    def save(self, name: str, folder: Path | None = None) -> Path:
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return tuple(self._worker.context.evaluator.x_T.shape[1:])

    def launch(self, state: dict[str, Tensor] | None = None) -> None:
        """Start the job's thread, from ``state`` if given; called once. Raises ValueError if the state belongs to another run."""
        if state is not None:
            bad = self._record.restore(state)
            self._worker.warning = f"{bad} of the run's snapshots could not be read." if bad else ""
        self._commands.enter_queue()
        self._worker.thread.start()

    def leave(self, timeout: float) -> None:
        """Pause because the program ends, and wait until that is saved; for a job that is ending, until it has ended."""
        self._commands.request("pause", "The program was closed; resume to continue.")
        until = time.monotonic() + timeout
        # the lock has no time limit; the thread must wait, because torch aborts if the program exits during a computation
        with job_queue.condition:
            job_queue.condition.wait_for(self._ready_for_exit, timeout)
        if self.done:
            self.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Nothing is held but memory, which the end of the run has released."""

    def _ready_for_exit(self) -> bool:
        return self.done or (not self.ending and self._commands.waiting and self._worker.saved())

    def _request(self, command: str) -> None:
        self._commands.request(command)
        with self._worker.lock:  # wait for a step under way
            return
