"""What is noted of a run while it trains: rows, snapshots, the loss per time, and the state on disk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.jobs.run_context import RunContext
from dpm_core.jobs.run_folder import Log, RunFolder
from dpm_core.measure.bound import BoundEstimate
from dpm_core.training import TrainStep
from dpm_core.training.snapshots import has_plateaued, thin_snapshots

ROW_EVERY, ROW_STEPS, ROW_SHARE = 0.5, 20, 0.02  # a row per half second, or per 20 steps while that is 2 % of the time so far
WATCHING, WATCHING_AT_MOST = 0.06, 0.1  # share of the time that snapshots may take; the second where 20 s would be too few
SNAPSHOT_EVERY = (1.0, 20.0)  # seconds of training between snapshots, at least and at most
TIME_BINS, FORGETTING, FOLDED = 40, 0.98, 32  # of the loss per t; steps folded in at once, as each alone would cost 2 % of a small step


class Progress(NamedTuple):
    """How far a job is; rates over the last rows, ``loss`` and ``gradient_norm`` means of the last row (NaN before the first)."""

    step: int
    seconds: float  # of training; pauses and snapshots not counted
    steps_per_second: float
    images_per_second: float
    eta_seconds: float | None  # None when the end is not known
    loss: float
    gradient_norm: float
    threads: int | None  # None until they are chosen, and where they do not matter


class Record:
    """Everything noted of one run. The job's thread writes; others read."""

    def __init__(self, context: RunContext, files: RunFolder, log: Log):
        self.config, self.trainer, self.evaluator = context.config, context.trainer, context.evaluator
        self.files, self.log = files, log
        self.seconds = 0.0
        self.trouble = ""  # why the disk refused, until everything could be written
        self.flat = False  # K is on a plateau
        self.written = ("", "")  # status and message on disk
        self.snapshots, self._bounds = thin_snapshots([]), list[tuple[float, float]]()
        self._estimates: dict[int, BoundEstimate] | None = None if context.evaluator.whole else {}
        self._snapshot_due = self._row_seconds = 0.0
        self._sums = [0.0, 0.0, 0]  # loss, gradient norm and number of steps since the last row
        self._means = (math.nan, math.nan)
        self._pace: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=12)
        times = context.trainer.model.diffusion.T - 1
        self._bins = min(TIME_BINS, times)
        self._bin = torch.arange(-2, times).clamp(min=0) * self._bins // times  # of t = 0..T
        self._per_time = torch.zeros(2, self._bins, dtype=torch.float64)  # summed losses, and their number, up to
        self._unfolded: list[tuple[Tensor, Tensor]] = []  # times and losses of the last steps

    def note(self, step: TrainStep, seconds: float) -> None:
        """One optimiser step, which took so long."""
        self.seconds += seconds
        self._sums = [self._sums[0] + step.loss, self._sums[1] + step.gradient_norm, self._sums[2] + 1]
        self._unfolded.append((step.batch.t, step.losses))
        if len(self._unfolded) >= FOLDED:
            self._fold()

    def _fold(self) -> None:
        """Bring the loss per time up to date: every step weighs 0.98 of the next one."""
        if self._unfolded:
            times, losses = (torch.stack(part).cpu() for part in zip(*self._unfolded))
            steps = len(self._unfolded)
            weights = (FORGETTING ** torch.arange(steps, dtype=torch.float64).flip(0))[:, None].expand_as(losses)
            bins = self._bin[times].flatten()
            self._per_time *= FORGETTING**steps
            self._per_time[0] += torch.bincount(bins, (weights * losses).flatten(), self._bins)
            self._per_time[1] += torch.bincount(bins, weights.flatten(), self._bins)
            self._unfolded = []

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the bins of t, and the mean loss of a datum there, NaN where there was none; float64 ``[B]``."""
        self._fold()
        sums, counts = self._per_time.clone().numpy()
        t, bins = np.arange(2, len(self._bin)), self._bin[2:].numpy()
        means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return np.bincount(bins, t) / np.bincount(bins), means

    def progress(self, threads: int | None) -> Progress:
        """How far the run is."""
        step, seconds, stop = self.trainer.step_number, self.seconds, self.config.stop
        first = self._pace[0]
        rate = (step - first[0]) / (seconds - first[1]) if seconds > first[1] else 0.0
        left = [] if self.config.last_step is None or not rate else [(self.config.last_step - step) / rate]
        left += [] if stop.seconds is None else [stop.seconds - seconds]
        eta = max(0.0, min(left)) if left else None
        return Progress(step, seconds, rate, rate * self.config.run.training.batch, eta, *self._means, threads)

    def reached(self) -> bool:
        """Whether the run has come to its end."""
        last, stop = self.config.last_step, self.config.stop
        if last is not None and self.trainer.step_number >= last:
            return True
        return (stop.seconds is not None and self.seconds >= stop.seconds) or (stop.plateau and self.flat)

    def row(self) -> dict[str, Any]:
        """What every row says."""
        return {"step": self.trainer.step_number, "seconds": round(self.seconds, 4), "learning_rate": self.trainer.learning_rate}

    def row_due(self) -> bool:
        """Whether it is time for a row; soon after the start more often than later."""
        steps, since = self._sums[2], self.seconds - self._row_seconds
        return since >= ROW_EVERY or self.trainer.step_number == steps == 1 or (steps >= ROW_STEPS and since >= ROW_SHARE * self.seconds)

    def write_row(self) -> None:
        """A row of the means since the last one; nothing when there was no step."""
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
        """Whether the next snapshot would be worth its time; always at the start."""
        return self.seconds >= self._snapshot_due and self.snapshot_missing()

    def snapshot_missing(self) -> bool:
        """Whether there was a step since the last snapshot."""
        return not self.snapshots or self.snapshots[-1].step < self.trainer.step_number

    def take_snapshot(self, clock: Callable[[], float]) -> None:
        """A snapshot of the averaged weights; the next one when this one's cost has become 6 % of the time since.

        A costly one comes again after 20 s all the same, or when it has become 10 %.
        """
        began = clock()
        snapshot = self.evaluator.take_snapshot(self.trainer.average, self.trainer.step_number, self.seconds)
        self.snapshots = thin_snapshots([*self.snapshots, snapshot])  # a new list: others may be reading the old one
        if self._estimates is not None and snapshot.estimate is not None:
            self._estimates[len(self._bounds)] = snapshot.estimate
        self._bounds.append((snapshot.bound_bits, snapshot.bound_standard_error_bits))
        self.flat = has_plateaued(self._bounds, self._estimates)
        names = ("bound_bits", "bound_standard_error_bits", "null_bits")
        self.log.add(self.row() | {name: getattr(snapshot, name) for name in names})
        self.write(lambda: self.files.write_snapshots(self.snapshots))
        (least, most), cost = SNAPSHOT_EVERY, clock() - began
        self._snapshot_due = self.seconds + max(min(max(least, cost / WATCHING), most), cost / WATCHING_AT_MOST)

    def give_up_snapshots(self) -> None:
        """Take none from here on."""
        self._snapshot_due = math.inf

    def state(self) -> dict[str, Tensor]:
        """A copy of everything needed to go on, the trainer's state and this record's; the caller holds the turn."""
        self._fold()
        extra = {"job.seconds": torch.tensor(self.seconds, dtype=torch.float64), "job.per_time": self._per_time.clone()}
        return self.trainer.state() | extra

    def save(self, state: dict[str, Tensor], header: dict[str, Any]) -> None:
        """Everything to disk. What the disk refuses is tried again at the next time; what it has, it keeps."""

        def write() -> None:
            self.log.flush()
            self.files.write_state(state)
            self.files.write_snapshots(self.snapshots)
            self.files.write_header(header)

        if self.write(write):
            self.written, self.trouble = (header["status"], header["message"]), ""

    def write(self, action: Callable[[], object]) -> bool:
        """Do what writes; when the disk refuses, keep the reason in ``trouble`` and return False."""
        try:
            action()
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return False
        return True

    def restore(self, state: dict[str, Tensor]) -> int:
        """Go on from a saved state; how many snapshots could not be read. Raises ValueError when it is another run's."""
        self.trainer.restore(state)
        per_time = state.get("job.per_time", self._per_time)
        if "job.seconds" not in state or per_time.shape != self._per_time.shape:
            raise ValueError("This saved state does not belong to this configuration.")
        self.seconds = self._row_seconds = float(state["job.seconds"])
        self._per_time = per_time.clone()
        self._pace = deque([(self.trainer.step_number, self.seconds)], maxlen=self._pace.maxlen)
        snapshots, bad = self.files.read_snapshots(self.trainer.step_number)
        self.snapshots = thin_snapshots(snapshots)
        rows = self.log.rows()
        self._bounds = [(row["bound_bits"], row["bound_standard_error_bits"]) for row in rows if "bound_bits" in row]
        self.flat = has_plateaued(self._bounds, self._estimates)
        self._means = next(((row["loss"], row["gradient_norm"]) for row in reversed(rows) if "loss" in row), self._means)
        self._snapshot_due = self.seconds + SNAPSHOT_EVERY[0]
        return bad
