"""The training of a grid of networks in the background. Rows are stored as they are made, so pressing Start again goes on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.files import in_words, replace_file
from dpm_core.jobs.thread.threads import lower_priority
from dpm_core.lab.signals import trainability
from dpm_core.lab.signals.trainability import Results, Row, Setting
from pages.ui import rights

FOLDER = "lab"  # below that of the runs, which the Train page lists
WORKERS = min(2, os.cpu_count() or 1)
UNWATCHED = 30.0  # seconds without a page that shows it, after which training stops
BUSY = (
    "Other networks are being trained on this server ({setting}, {steps:,} steps); wait until they are trained, or choose their settings "
    "and press Stop."
)
_starting = threading.Lock()  # only one grid is created at a time


def folder() -> Path:
    """Where results are stored."""
    return jobs.runs_folder() / FOLDER


class Grid:
    """A grid in training. Attributes may be read at any time; ``stop`` keeps the rows that are complete.

    WORKERS threads take one depth after the other, the deepest first, which divides the work evenly. Each uses one thread of torch:
    the matrices are too small to share, and where the machine is busy, sharing them makes it many times slower.
    """

    def __init__(self, setting: Setting, steps: int, keep: Callable[[Setting, Results], None]):
        self.setting, self.steps, self._keep = setting, steps, keep
        self.results = trainability.load(folder(), setting)
        self.live: dict[int, Row] = {}  # of the depths in training
        self.problem = ""
        self._waiting = sorted(self.results.missing(setting, steps))
        self._total = sum(self._waiting)
        self._seen, self._stop, self._lock = time.monotonic(), threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, name="trainability", daemon=True) for _ in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        """Whether it still trains."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def share(self) -> float:
        """The share of the work that is done: a depth counts by its number of layers."""
        done = self._total - sum(self.results.missing(self.setting, self.steps))
        begun = sum(row.depth * row.step / self.steps for row in list(self.live.values()))
        return min(1.0, (done + begun) / max(1, self._total))

    def seen(self) -> None:
        """A page still shows it."""
        self._seen = time.monotonic()

    def stop(self) -> None:
        """Stop after the current steps."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for at most so many seconds; whether it has ended."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not self.running

    def _work(self) -> None:
        """Train one waiting depth after the other."""
        lower_priority()
        torch.set_num_threads(1)
        try:
            while (depth := self._next()) is not None:
                for row in jobs.stream(trainability.train, self.setting, self.steps, [depth]):
                    if self._stop.is_set() or time.monotonic() - self._seen > UNWATCHED:
                        return
                    self._take(row)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            self.problem = in_words(error)
            self.stop()

    def _next(self) -> int | None:
        """The next depth, which no other thread takes; None when there is none."""
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def _take(self, row: Row) -> None:
        """Show a row, and store it if it was measured at a stage. Raises OSError."""
        with self._lock:
            if self.results.add(row):
                self._keep(self.setting, self.results)
            if row.step == self.steps:
                self.live.pop(row.depth, None)
            else:
                self.live[row.depth] = row


def keep(setting: Setting, results: Results) -> None:
    """Store the results. Raises OSError."""
    folder().mkdir(parents=True, exist_ok=True)
    replace_file(folder() / setting.name, trainability.as_json(setting, results))


@st.cache_resource(show_spinner=False)
def _grids() -> dict[str, Grid]:
    """The last grid of every setting and number of steps that this process has trained."""
    return {}


def current(setting: Setting, steps: int) -> Grid | None:
    """The grid of this process, in training or ended; None if there is none."""
    return _grids().get(f"{setting.name} {steps}")


def start(setting: Setting, steps: int) -> None:
    """Train what is missing. Raises NotAllowed, ValueError where other networks are in training, and OSError."""
    rights.check_start()
    grids = _grids()
    with _starting:
        running = next((grid for grid in grids.values() if grid.running), None)
        if running is not None:
            raise ValueError(BUSY.format(setting=_in_words(running.setting), steps=running.steps))
        grids.clear()
        grids[f"{setting.name} {steps}"] = Grid(setting, steps, keep)


def _in_words(setting: Setting) -> str:
    """What tells a grid from others."""
    return f"{setting.activation}, bias variance {setting.sigma_b2:g}, seed {setting.seed}"
