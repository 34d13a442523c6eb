"""The record of a run during training: metrics rows, snapshots, the loss per time, and what is saved of them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpm_core.jobs.job import Progress
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.run_context import RunContext
from dpm_core.measure.bound import BoundEstimate
from dpm_core.training import TrainStep
from dpm_core.training.snapshots import has_plateaued, thin_snapshots

ROW_EVERY, ROW_STEPS, ROW_SHARE = 0.5, 20, 0.02  # a row per half second, or per 20 steps if these take over 2 % of the time
SNAPSHOT_SHARE, MAX_SNAPSHOT_SHARE = 0.06, 0.1  # of the time, for snapshots; the second where 20 s between them is too short
SNAPSHOT_EVERY = (1.0, 20.0)  # seconds of training between snapshots, at least and at most
TIME_BINS, DECAY, STEPS_PER_UPDATE = 40, 0.98, 32  # of the loss per t; updated for 32 steps at once, which is cheaper


class Record:
    """The record of one run. The job's thread writes; other threads read."""

    def __init__(self, context: RunContext, files: RunFolder, log: MetricsLog):
        self.config, self.trainer, self.evaluator = context.config, context.trainer, context.evaluator
        self.files, self.log = files, log
        self.seconds = 0.0
        self.write_error = ""  # why writing failed, until everything could be written
        self.plateaued = False  # K is on a plateau
        self.saved_status = ("", "")  # and message, as on disk
        self.snapshots, self._bounds = thin_snapshots([]), list[tuple[float, float]]()
        self._estimates: dict[int, BoundEstimate] | None = None if context.evaluator.uses_all_times else {}
        self._snapshot_due = self._row_seconds = 0.0
        self._sums = [0.0, 0.0, 0]  # loss, gradient norm and number of steps since the last row
        self._means = (math.nan, math.nan)
        self._pace: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=12)
        times = context.trainer.model.diffusion.T - 1
        self._bins = min(TIME_BINS, times)
        self._bin = torch.arange(-2, times).clamp(min=0) * self._bins // times  # of t = 0..T
        self._per_time = torch.zeros(2, self._bins, dtype=torch.float64)  # decayed sums of losses and of their number
        self._pending: list[tuple[Tensor, Tensor]] = []  # times and losses of steps not accumulated yet

    def add_step(self, step: TrainStep, seconds: float) -> None:
        """Record one optimiser step that took ``seconds``."""
        self.seconds += seconds
        self._sums = [self._sums[0] + step.loss, self._sums[1] + step.gradient_norm, self._sums[2] + 1]
        self._pending.append((step.batch.t, step.losses))
        if len(self._pending) >= STEPS_PER_UPDATE:
            self._accumulate()

    def _accumulate(self) -> None:
        """Update the loss per time with the last steps: the weight of a step decays by the factor DECAY per step."""
        if self._pending:
            times, losses = (torch.stack(part).cpu() for part in zip(*self._pending))
            steps = len(self._pending)
            weights = (DECAY ** torch.arange(steps, dtype=torch.float64).flip(0))[:, None].expand_as(losses)
            bins = self._bin[times].flatten()
            self._per_time *= DECAY**steps
            self._per_time[0] += torch.bincount(bins, (weights * losses).flatten(), self._bins)
            self._per_time[1] += torch.bincount(bins, weights.flatten(), self._bins)
            self._pending = []

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the centres of the bins of t and the mean loss per datum there, NaN in a bin without data; float64 ``[B]``."""
        self._accumulate()
        sums, counts = self._per_time.clone().numpy()
        t, bins = np.arange(2, len(self._bin)), self._bin[2:].numpy()
        means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return np.bincount(bins, t) / np.bincount(bins), means

    def progress(self, threads: int | None) -> Progress:
        """Return the progress of the run."""
        step, seconds, stop = self.trainer.step_number, self.seconds, self.config.stop
        first = self._pace[0]
        rate = (step - first[0]) / (seconds - first[1]) if seconds > first[1] else 0.0
        remaining = [] if self.config.last_step is None or not rate else [(self.config.last_step - step) / rate]
        remaining += [] if stop.seconds is None else [stop.seconds - seconds]
        eta = max(0.0, min(remaining)) if remaining else None
        return Progress(step, seconds, rate, rate * self.config.run.training.batch, eta, *self._means, threads)

    def end_reached(self) -> bool:
        """Return whether a stopping condition is met."""
        last, stop = self.config.last_step, self.config.stop
        if last is not None and self.trainer.step_number >= last:
            return True
        return (stop.seconds is not None and self.seconds >= stop.seconds) or (stop.plateau and self.plateaued)

    def row(self) -> dict[str, Any]:
        """Return the fields that every metrics row has."""
        return {"step": self.trainer.step_number, "seconds": round(self.seconds, 4), "learning_rate": self.trainer.learning_rate}

    def row_due(self) -> bool:
        """Return whether a metrics row is due; rows are more frequent shortly after the start."""
        steps, since = self._sums[2], self.seconds - self._row_seconds
        return since >= ROW_EVERY or self.trainer.step_number == steps == 1 or (steps >= ROW_STEPS and since >= ROW_SHARE * self.seconds)

    def write_row(self) -> None:
        """Write a row with the means since the last one; nothing if there was no step."""
        loss, norm, steps = self._sums
        if not steps:
            return
        self._means = (loss / steps, norm / steps)
        rate = steps * self.config.run.training.batch / max(self.seconds - self._row_seconds, 1e-9)
        self.log.add(self.row() | {"loss": loss / steps, "gradient_norm": norm / steps, "images_per_second": round(rate, 1)})
        self._sums, self._row_seconds = [0.0, 0.0, 0], self.seconds
        self._pace.append((self.trainer.step_number, self.seconds))
        self.write(self.log.flush)

    def snapshot_due(self) -> bool:
        """Return whether the next snapshot is due; always at the start."""
        return self.seconds >= self._snapshot_due and self.snapshot_missing()

    def snapshot_missing(self) -> bool:
        """Return whether there was a step since the last snapshot."""
        return not self.snapshots or self.snapshots[-1].step < self.trainer.step_number

    def take_snapshot(self, clock: Callable[[], float]) -> None:
        """Take a snapshot of the averaged weights and schedule the next one for when this one has cost 6 % of the time since.

        If that would be later than 20 s, it is scheduled after 20 s, or when this one has cost 10 %.
        """
        began = clock()
        snapshot = self.evaluator.take_snapshot(self.trainer.average, self.trainer.step_number, self.seconds)
        self.snapshots = thin_snapshots([*self.snapshots, snapshot])  # a new list, because other threads may be reading the old one
        if self._estimates is not None and snapshot.estimate is not None:
            self._estimates[len(self._bounds)] = snapshot.estimate
        self._bounds.append((snapshot.bound_bits, snapshot.bound_standard_error_bits))
        self.plateaued = has_plateaued(self._bounds, self._estimates)
        names = ("bound_bits", "bound_standard_error_bits", "null_bits")
        self.log.add(self.row() | {name: getattr(snapshot, name) for name in names})
        self.write(lambda: self.files.write_snapshots(self.snapshots))
        (least, most), cost = SNAPSHOT_EVERY, clock() - began
        self._snapshot_due = self.seconds + max(min(max(least, cost / SNAPSHOT_SHARE), most), cost / MAX_SNAPSHOT_SHARE)

    def disable_snapshots(self) -> None:
        """Take no further snapshots."""
        self._snapshot_due = math.inf

    def state(self) -> dict[str, Tensor]:
        """Return a copy of everything needed to resume: the state of the trainer and of this record. The caller holds the worker's lock."""
        self._accumulate()
        extra = {"job.seconds": torch.tensor(self.seconds, dtype=torch.float64), "job.per_time": self._per_time.clone()}
        return self.trainer.state() | extra

    def save(self, state: dict[str, Tensor], header: dict[str, Any]) -> None:
        """Write everything to disk. If that fails, the files on disk remain and the next call tries again."""

        def write() -> None:
            self.log.flush()
            self.files.write_state(state)
            self.files.write_snapshots(self.snapshots)
            self.files.write_header(header | {"step": self.trainer.step_number})
            self.files.share()

        if self.write(write):
            self.saved_status, self.write_error = (header["status"], header["message"]), ""

    def write(self, action: Callable[[], object]) -> bool:
        """Call ``action``; on an OSError store the reason in ``write_error`` and return False."""
        try:
            action()
        except OSError as error:
            self.write_error = error.strerror or str(error)
            return False
        return True

    def restore(self, state: dict[str, Tensor]) -> int:
        """Restore a saved state; return how many snapshots could not be read.

        Raises ValueError if the state belongs to another run.
        """
        self.trainer.restore(state)
        per_time = state.get("job.per_time", self._per_time)
        if "job.seconds" not in state or per_time.shape != self._per_time.shape:
            raise ValueError("The saved state does not match this configuration; resume with the configuration of the run.")
        self.seconds = self._row_seconds = float(state["job.seconds"])
        self._per_time = per_time.clone()
        self._pace = deque([(self.trainer.step_number, self.seconds)], maxlen=self._pace.maxlen)
        snapshots, bad = self.files.read_snapshots(self.trainer.step_number)
        self.snapshots = thin_snapshots(snapshots)
        rows = self.log.rows()
        self._bounds = [(row["bound_bits"], row["bound_standard_error_bits"]) for row in rows if "bound_bits" in row]
        self.plateaued = has_plateaued(self._bounds, self._estimates)
        self._means = next(((row["loss"], row["gradient_norm"]) for row in reversed(rows) if "loss" in row), self._means)
        self._snapshot_due = self.seconds + SNAPSHOT_EVERY[0]
        return bad
