"""What a job's thread does: optimiser steps, and between them what is due."""

from __future__ import annotations

import copy
import math
import threading
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import dpm_core
from dpm_core.jobs.commands import Commands
from dpm_core.jobs.job_queue import job_queue
from dpm_core.jobs.record import Record
from dpm_core.jobs.run_context import RunContext, ended
from dpm_core.jobs.run_folder import Log, RunFolder
from dpm_core.jobs.threads import FairLock, choose_threads, lower_priority
from dpm_core.process import from_noise
from dpm_core.training import OutOfMemory, Trainer, TrainingError, TrainStep, compile_network
from dpm_core.training.losses import LOSSES

STATE_EVERY = 8.0  # seconds between two states on disk
SEEN = 8  # data of one step that are shown


class StepDetails(NamedTuple):
    """One optimiser step in slow motion: up to 8 of its data, on the CPU, with what the model said of them before the step."""

    step: int
    loss: float  # of the whole batch
    gradient_norm: float
    x0: Tensor  # what the prediction should have met, [n, ...]
    t: Tensor  # [n]
    noise: Tensor
    xt: Tensor
    prediction: Tensor  # x̂⁽⁰⁾, the mean of x⁽⁰⁾ given x⁽ᵗ⁾
    variance: Tensor  # of x⁽⁰⁾ given x⁽ᵗ⁾
    losses: Tensor  # [n]

    @property
    def target(self) -> Tensor:
        """x⁽⁰⁾."""
        return self.x0


class Worker:
    """The thread of one job. Others read its attributes; who holds ``turn`` sees weights and record after one whole step."""

    def __init__(self, context: RunContext, files: RunFolder, log: Log, commands: Commands, clock: Callable[[], float], threads: int | None):
        self.context, self.trainer, self.commands = context, context.trainer, commands
        self.record = Record(context, files, log)
        self.lock = FairLock()
        self.threads = threads or context.config.threads
        self.doing, self.warning = "", ""  # what keeps it from training just now; what it goes on without
        self.last_step: StepDetails | None = None
        self.suggested_batch: int | None = None
        self.dirty, self._saving, self._tried = True, False, -math.inf  # state not on disk; on its way; when last tried
        self._clock, self._prepared = clock, False
        self.thread = threading.Thread(target=self._work, name=f"job {context.config.name}", daemon=True)

    def written(self) -> bool:
        """Whether the disk says what is so."""
        return not (self._saving or self._stale())

    def _work(self) -> None:
        end, message, whole = "failed", "", True
        lower_priority()
        try:
            end = self._train()
        except OutOfMemory as error:
            message, self.suggested_batch = str(error), error.batch
        except TrainingError as error:
            message = str(error)
        except Exception as error:  # whatever it was, the person who waits must hear of it
            message, whole = self._unexpected(error), False  # perhaps in mid-step: the state on disk is the last good one
        finally:
            self._close(end, message, whole)

    def _train(self) -> str:
        while True:
            order = "finish" if self.record.reached() else self.commands.next(self._save_due)
            if order in ("finish", "stop"):
                if order == "finish":
                    self.commands.finish()
                if self._prepared and self.record.snapshot_missing():
                    self._snapshot()
                return {"finish": "finished", "stop": "stopped"}[order]
            if order == "save":
                self._save()
                continue
            self._chores()
            if self.record.reached():  # a snapshot may have shown a plateau
                continue
            if order == "step":
                self._step_in_slow_motion()
                continue
            with self.lock:
                if self.commands.may_run():
                    self._step()

    def _chores(self) -> None:
        """What is due between two steps."""
        if not self._prepared:
            self._prepare()
        if self.record.snapshot_due():
            self._snapshot()
        if self.record.row_due():
            self.record.write_row()
        if self._clock() - self._tried >= STATE_EVERY:
            self._save()

    def _prepare(self) -> None:
        """Choose threads and compile, in the thread they are for."""
        trainer, config = self.trainer, self.context.config
        if config.device == "cpu":
            if not self.threads:
                self.doing = "Finding the fastest number of threads, a few seconds."
                self.threads = choose_threads(self._trial())
            torch.set_num_threads(self.threads)
        if config.compile:
            self.doing, network = "The network is being compiled, which can take a minute.", trainer.model.network
            try:
                compile_network(trainer.model)
                LOSSES[trainer.config.loss](trainer.model, *self._trial().draw(trainer.config.batch)).mean().backward()
            except Exception as error:  # compilers fail in many ways, and training goes on without
                network._compiled_call_impl = None
                self.warning = f"The network could not be compiled ({type(error).__name__}); it trains uncompiled."
            trainer.model.zero_grad()
        self.doing, self._prepared = "", True

    def _trial(self) -> Trainer:
        """A copy to be thrown away, with generators of its own."""
        return Trainer(copy.deepcopy(self.trainer.model), self.context.data, self.trainer.config)

    def _step(self) -> TrainStep:
        """One optimiser step; the caller holds the turn."""
        began = self._clock()
        step = self.trainer.step()
        self.dirty = True
        self.record.note(step, self._clock() - began)
        return step

    def _step_in_slow_motion(self) -> None:
        before = copy.deepcopy(self.trainer.model)
        with self.lock:
            step = self._step()
        rows = torch.linspace(0, len(step.losses) - 1, min(SEEN, len(step.losses))).long()
        x0, t, noise, losses = (part[rows.to(part.device)] for part in (*step.batch, step.losses))
        with torch.no_grad():
            xt = from_noise(before.diffusion.q_marginal(x0, t), noise)
            seen = (x0, t, noise, xt, *before.x0_posterior(xt, t), losses)
        self.last_step = StepDetails(step.step, step.loss, step.gradient_norm, *(part.cpu() for part in seen))
        self.record.write_row()
        self.commands.step_done()

    def _snapshot(self) -> None:
        try:
            self.record.take_snapshot(self._clock)
        except torch.OutOfMemoryError:
            self.record.give_up_snapshots()
            self.warning = f"There is no memory left for {self.context.config.watch} samples to look at; training goes on without."

    def _stale(self) -> bool:
        """Whether the disk does not say what is so; while it trains the state may be a few seconds old."""
        status = self.commands.status
        return self.record.written != (status, self.commands.message) or (self.dirty and status != "running")

    def _save_due(self) -> bool:
        return self._stale() and self._clock() - self._tried >= (STATE_EVERY if self.record.trouble else 0)

    def _save(self, end: str = "") -> None:
        self._tried, self._saving, header = self._clock(), True, self._header(end)
        with self.lock:
            state, self.dirty = self.record.state(), False
        self.record.save(state, header)
        with job_queue.condition:
            self.dirty, self._saving = self.dirty or bool(self.record.trouble), False
            job_queue.condition.notify_all()

    def _header(self, end: str) -> dict[str, Any]:
        versions = {"dpm_core": dpm_core.__version__, "torch": torch.__version__}
        with job_queue.condition:
            about = {"status": end or self.commands.status, "message": self.commands.message}
        return {**self.context.header(), "threads": self.threads, **about, "versions": versions}

    def _close(self, end: str, message: str, whole: bool) -> None:
        try:
            self.commands.leave(message)
            self.record.write_row()
            if whole:
                self._save(end)
            else:
                self.record.write(lambda: self.record.files.write_header(self._header(end)))
        finally:
            self.record.files.release()
            try:
                self._let_go()
            finally:
                self.commands.end(end)

    def _let_go(self) -> None:
        """Keep only what a run that is over is asked for; the rest of the memory is for others."""
        with self.lock:
            self.context = ended(self.context)
            self.trainer = self.record.trainer = self.context.trainer

    def _unexpected(self, error: Exception) -> str:
        text, path = traceback.format_exc(), self.record.files.path / "error.txt"
        told = self.record.write(lambda: path.write_text(text))
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return "This machine's memory is full; a smaller batch or network helps."
        line = (str(error).splitlines() or [""])[0].rstrip(".")
        return f"Training broke off with an unexpected error ({type(error).__name__}): {line}." + (
            f" All of it stands in {path}." if told else ""
        )
