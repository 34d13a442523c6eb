"""The thread of a job: optimiser steps and, between them, everything that is due."""

from __future__ import annotations

import copy
import math
import threading
import traceback
from collections.abc import Callable
from typing import Any

import torch

import dpm_core
from dpm_core.jobs.job import StepDetails
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.commands import Commands
from dpm_core.jobs.thread.job_queue import job_queue
from dpm_core.jobs.thread.record import Record
from dpm_core.jobs.thread.run_context import RunContext, release_memory
from dpm_core.jobs.thread.threads import FairLock, choose_threads, lower_priority
from dpm_core.process import from_noise
from dpm_core.reverse import ReverseModel
from dpm_core.training import OutOfMemory, Trainer, TrainingError, TrainStep, compile_network, make_trainer
from dpm_core.training.losses import LOSSES

STATE_EVERY = 8.0  # seconds between two states saved to disk
DETAIL_SAMPLES = 8  # data of one step whose details are shown


class Worker:
    """The thread of one job. Other threads may read its attributes; holding ``lock`` ensures that no step is under way."""

    def __init__(
        self,
        context: RunContext,
        files: RunFolder,
        log: MetricsLog,
        commands: Commands,
        clock: Callable[[], float],
        threads: int | None,
    ):
        self.context, self.trainer, self.commands = context, context.trainer, commands
        self.record = Record(context, files, log)
        self.lock = FairLock()
        self.threads = threads or context.config.threads
        self.activity, self.warning = "", ""  # what it does before training; what failed without stopping it
        self.last_step: StepDetails | None = None
        self.suggested_batch: int | None = None
        self.dirty, self._saving, self._tried = True, False, -math.inf  # state not saved; being saved; time of the last attempt
        self._clock, self._prepared = clock, False
        self.thread = threading.Thread(target=self._work, name=f"job {context.config.name}", daemon=True)

    def saved(self) -> bool:
        """Return whether the disk has the present state and status."""
        return not (self._saving or self._stale())

    def _work(self) -> None:
        end, message, state_valid = "failed", "", True
        lower_priority()
        try:
            end = self._train()
        except OutOfMemory as error:
            message, self.suggested_batch = str(error), error.batch
        except TrainingError as error:
            message = str(error)
        except Exception as error:  # any error must be reported to the user
            # the step may be incomplete: the state on disk is the last valid one
            message, state_valid = self._describe_unexpected(error), False
        finally:
            self._close(end, message, state_valid)

    def _train(self) -> str:
        while True:
            action = "finish" if self.record.end_reached() else self.commands.next_action(self._save_due)
            if action in ("finish", "stop"):
                if action == "finish":
                    self.commands.begin_finish()
                if self._prepared and self.record.snapshot_missing():
                    self._snapshot()
                return {"finish": "finished", "stop": "stopped"}[action]
            if action == "save":
                self._save()
                continue
            self._do_due_work()
            if self.record.end_reached():  # a snapshot may have found a plateau
                continue
            if action == "step":
                self._step_with_details()
                continue
            with self.lock:
                if self.commands.may_step():
                    self._step()

    def _do_due_work(self) -> None:
        """Do what is due between two steps."""
        if not self._prepared:
            self._prepare()
        if self.record.snapshot_due():
            self._snapshot()
        if self.record.row_due():
            self.record.write_row()
        if self._clock() - self._tried >= STATE_EVERY:
            self._save()

    def _prepare(self) -> None:
        """Choose the number of threads and compile, in the thread that trains."""
        trainer, config = self.trainer, self.context.config
        if config.device == "cpu":
            if not self.threads:
                self.activity = "Measuring the fastest number of threads, which takes a few seconds."
                self.threads = choose_threads(self._trial())
            torch.set_num_threads(self.threads)
        if config.compile:
            self.activity, network = "Compiling the network, which can take a minute.", trainer.model.network
            try:
                compile_network(trainer.model)
                LOSSES[trainer.config.loss](trainer.model, *self._trial().draw(trainer.config.batch).inputs).mean().backward()
            except Exception as error:  # compilers fail in many ways; training does not depend on them
                network._compiled_call_impl = None
                self.warning = f"The network could not be compiled ({type(error).__name__}); it trains uncompiled."
            trainer.model.zero_grad()
        self.activity, self._prepared = "", True

    def _trial(self) -> Trainer:
        """Return a temporary copy of the trainer, with its own generators."""
        return make_trainer(copy.deepcopy(self.trainer.model), self.context.data, self.trainer.config)

    def _step(self) -> TrainStep:
        """Take one optimiser step; the caller holds the lock."""
        began = self._clock()
        step = self.trainer.step()
        self.dirty = True
        self.record.add_step(step, self._clock() - began)
        return step

    def _step_with_details(self) -> None:
        before = copy.deepcopy(self.trainer.model)
        with self.lock:
            step = self._step()
        if not isinstance(before, ReverseModel):  # it predicts no x⁽⁰⁾, so there are no details
            self.record.write_row()
            self.commands.step_done()
            return
        rows = torch.linspace(0, len(step.losses) - 1, min(DETAIL_SAMPLES, len(step.losses))).long()
        x0, t, noise, losses = (part[rows.to(part.device)] for part in (*step.batch[:3], step.losses))
        with torch.no_grad():
            xt = from_noise(before.diffusion.q_marginal(x0, t), noise)
            details = (x0, t, noise, xt, *before.x0_posterior(xt, t), losses)
        self.last_step = StepDetails(step.step, step.loss, step.gradient_norm, *(part.cpu() for part in details))
        self.record.write_row()
        self.commands.step_done()

    def _snapshot(self) -> None:
        try:
            self.record.take_snapshot(self._clock)
        except torch.OutOfMemoryError:
            self.record.disable_snapshots()
            samples = self.context.config.snapshot_samples
            self.warning = f"Not enough memory for the {samples} samples of a snapshot; training continues without snapshots."

    def _stale(self) -> bool:
        """Return whether the disk lacks the present status or, unless running, the present state."""
        status = self.commands.status
        return self.record.saved_status != (status, self.commands.message) or (self.dirty and status != "running")

    def _save_due(self) -> bool:
        return self._stale() and self._clock() - self._tried >= (STATE_EVERY if self.record.write_error else 0)

    def _save(self, end: str = "") -> None:
        self._tried, self._saving, header = self._clock(), True, self._header(end)
        with self.lock:
            state, self.dirty = self.record.state(), False
        self.record.save(state, header)
        with job_queue.condition:
            self.dirty, self._saving = self.dirty or bool(self.record.write_error), False
            job_queue.condition.notify_all()

    def _header(self, end: str) -> dict[str, Any]:
        versions = {"dpm_core": dpm_core.__version__, "torch": torch.__version__}
        with job_queue.condition:
            about = {"status": end or self.commands.status, "message": self.commands.message}
        return {**self.context.header(), "threads": self.threads, **about, "versions": versions}

    def _close(self, end: str, message: str, state_valid: bool) -> None:
        try:
            self.commands.leave_queue(message)
            self.record.write_row()
            if state_valid:
                self._save(end)
            else:
                self.record.write(lambda: self.record.files.write_header(self._header(end)))
                self.record.write(self.record.files.share)
        finally:
            self.record.files.release()
            try:
                self._release_memory()
            finally:
                self.commands.end(end)

    def _release_memory(self) -> None:
        """Keep only what can still be asked of a job that has ended."""
        with self.lock:
            self.context = release_memory(self.context)
            self.trainer = self.record.trainer = self.context.trainer

    def _describe_unexpected(self, error: Exception) -> str:
        text, path = traceback.format_exc(), self.record.files.path / "error.txt"
        logged = self.record.write(lambda: path.write_text(text))
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return "This machine is out of memory; use a smaller batch or network."
        line = (str(error).splitlines() or [""])[0].rstrip(".")
        return f"Training failed with an unexpected error ({type(error).__name__}): {line}." + (
            f" The full traceback is in {path}." if logged else ""
        )
