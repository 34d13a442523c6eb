"""What the methods of a kind of data take and return: frozen records, the same for every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dpm_core import jobs
from dpm_core.config import ScheduleConfig
from dpm_core.reverse import ReverseKernel
from pages.ui import cache

Curves = tuple[dict[str, np.ndarray], str, bool]  # curves over t = 1..T by schedule, the axis title, whether the axis is logarithmic


@dataclass(frozen=True)
class Model:
    """The model that a page is about: a checkpoint, a run in training at a step, or no network (the exact kernel)."""

    title: str
    ref: cache.ModelRef | None
    source: Any  # a Source
    schedule: ScheduleConfig
    run_id: str = ""
    step: int = 0

    def learned(self) -> ReverseKernel | None:
        """The learned kernel; None without a network, or when the run has ended and is no longer in memory."""
        if self.run_id:
            running = jobs.get(self.run_id)
            return None if running is None else running.weights()
        return None if self.ref is None else cache.model(self.ref).model

    @property
    def checkpoint(self) -> cache.ModelRef:
        """The checkpoint, for pages and kinds that show nothing else. Raises ValueError where the model is none."""
        if self.ref is None:
            raise ValueError(f"{self.title} is not a checkpoint; choose a checkpoint.")
        return self.ref

    @property
    def has_network(self) -> bool:
        """Whether there is a learned kernel."""
        return self.ref is not None or bool(self.run_id)


class Export(NamedTuple):
    """What can be downloaded from a page: the Python that makes it, arrays, a table and an animation."""

    name: str
    python: str
    arrays: Mapping[str, np.ndarray] | None = None
    table: Mapping[str, Sequence[Any]] | None = None
    gif: Callable[[], bytes] | None = None


class Playback(NamedTuple):
    """A packed stage for the player, what stands below it, and what can be downloaded."""

    payload: bytes
    export: Export
    show_below: Callable[[], None] = lambda: None


class Snippet(NamedTuple):
    """Python that makes ``data`` and ``diffusion``: import lines, and the statements."""

    imports: str
    statements: str


class Version(NamedTuple):
    """The samples of one training step: frames ``[F, n, ...]`` in standardised units, and the drift's ends where known."""

    label: str
    frames: np.ndarray
    drift: np.ndarray | None = None


@dataclass(frozen=True)
class ReferenceValues:
    """What the bound K of a run is compared with, in bits per ``unit``.

    ``bits_per_datum``: by which bits per datum are divided. ``baseline``: L_null. ``best``: the best K that is known, with the
    words that say of what. ``best_per_time``: t and the best kernel's bits there.
    """

    unit: str
    bits_per_datum: float
    baseline: float
    noun: str = "points"
    best: float | None = None
    best_words: str = ""
    best_per_time: tuple[tuple[int, ...], tuple[float, ...]] | tuple[()] = ()

    @property
    def limits(self) -> dict[str, tuple[float, str]]:
        """The horizontal lines of the chart of K: label to (value, role)."""
        lines = {"Baseline L_null": (self.baseline, "noise")}
        return lines | ({self.best_words: (self.best, "exact")} if self.best is not None else {})

    def span(self, top: float) -> tuple[float, float]:
        """The range of K to show, in bits. It grows in large steps, because an axis that changes all the time is hard to read."""
        room = (self.best if self.best is not None else self.baseline + 0.5) - self.baseline
        while self.baseline + 1.16 * room < top:
            room *= 1.5
        return round(self.baseline - 0.5 * room, 3), round(self.baseline + 1.2 * room, 3)


@dataclass(frozen=True)
class TrainingDefaults:
    """How a run of this kind is watched, and what its controls say."""

    held_out: int  # data by which K is measured
    samples: int  # of every snapshot
    sample_steps: int
    losses: Mapping[str, str] = field(default_factory=lambda: {"bound": "Bound, −K", "simple": "Simple (ε)", "flow": "Flow matching"})
    prefers_gpu: bool = False
    optimisers: Mapping[str, str] = field(default_factory=lambda: {"adam": "Adam"})  # of which the page offers a choice


@dataclass(frozen=True)
class BoundWords:
    """How the Bound page speaks of a kind. ``divisor``: bits per datum to bits per unit."""

    unit: str = "per point"
    steps: str = "Gaussian"  # of the exact kernel: "Best K with Gaussian steps"
    limit: str = "−h"
    discretisation: str = "Discretisation gap (finite T)"
    divisor: float = 1.0
    unknown: str = ""  # why the budget cannot be split
    code_length: Callable[[float], float] | None = None  # bits per datum to bits per dimension, for data that have levels
    budget_function: str = "dpm_core.measure.budget:budget"
