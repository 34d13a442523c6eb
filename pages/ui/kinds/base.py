"""What a kind of data is to the pages.

A page never asks which kind it has: it asks the kind object. To add a kind, derive a class from :class:`Kind` in a folder of its
own and enter one object of it in the registry ``pages.ui.kinds.KINDS``; see docs/recipes.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import streamlit as st
from torch import Tensor

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import DataConfig, RunConfig, ScheduleConfig
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.measure.bound import BoundEstimate
from dpm_core.measure.budget import Budget
from dpm_core.process import Chain
from dpm_core.reverse import EmpiricalReverse, ReverseKernel
from dpm_core.schedules import Schedule
from pages.ui.kinds.records import BoundWords, Curves, Export, Model, Playback, ReferenceValues, Snippet, TrainingDefaults, Version


class Source(Protocol):
    """A frozen, hashable description of a data set: the key of every cache."""

    kind: ClassVar[str]  # the name of its kind

    @property
    def name(self) -> str:
        """The data set's name, as in a DataConfig."""
        ...

    def config(self) -> DataConfig:
        """The description that checkpoints and the command line use; it does not hold a person's own data."""
        ...


S = TypeVar("S", bound=Source)
F = TypeVar("F")  # the frozen config of the Forward page
R = TypeVar("R")  # the frozen config of the Reverse page


class Kind(ABC, Generic[S, F, R]):
    """A kind of data: its sources, and the configs of its Forward and Reverse pages.

    Methods that draw with Streamlit are named ``…_controls`` or ``show_…``; all others compute.
    """

    name: str
    title: str
    noun: str
    key_suffix: str = ""  # of widget keys whose values mean nothing for another kind
    T: int = 40  # steps of the chain, unless chosen
    training: TrainingDefaults
    learns_schedules: bool = False  # whether K of the exact kernel has a gradient in the schedule (section 2.4.1)
    shows_drift: bool = False  # whether the stage of a run has arrows
    measures_snapshots: bool = False  # whether K of a run in training is that of its last snapshot
    has_entropy_bounds: bool = False  # whether Eq. 24 is shown, with the exact entropy between its bounds

    # ---- data

    @abstractmethod
    def titles(self, exact: bool = False) -> dict[str, str]:
        """The data sets in the menu by name; with ``exact`` only those whose exact reverse kernel can be computed."""

    def owns(self, data_name: str) -> bool:
        """Whether a data set of a run belongs to this kind."""
        return DATA_KINDS[self.name].owns(data_name)

    @abstractmethod
    def source_controls(self, name: str, whole: bool = False) -> S:
        """The source that a name in the menu stands for, with its own controls. ``whole``: take a picture whole, uncut."""

    @abstractmethod
    def source_of_checkpoint(self, loaded: Checkpoint) -> S:
        """What a checkpoint was trained on. Raises DataError where these data are not available."""

    def source_of_class(self, source: S, label: int) -> S:
        """The source of one class, where all that is exact of the data is that of the class."""
        return source

    def source_of_run(self, run: RunConfig) -> S | None:
        """What a run on disk was trained on; None when it was a person's own data, which only its session has."""
        return None

    @abstractmethod
    def dataset(self, source: S) -> Any:
        """The data set, cached. Raises DataError."""

    @abstractmethod
    def held_out(self, source: S) -> Tensor:
        """Data that no step trains on, by which K is measured, cached."""

    def held_out_groups(self, source: S) -> Tensor | None:
        """What is independent among ``held_out``: a number for each datum, or None where each datum is."""
        return None

    @abstractmethod
    def process(self, source: S, schedule: ScheduleConfig) -> Chain:
        """The diffusion of this kind, cached. Raises ScheduleError."""

    def exact(self, source: S, schedule: ScheduleConfig) -> EmpiricalReverse | None:
        """The exact reverse kernel, cached; None where it cannot be computed."""
        return None

    @abstractmethod
    def snippet(self, source: S, schedule: ScheduleConfig) -> Snippet:
        """The Python that makes the data and the diffusion."""

    # ---- pages

    @abstractmethod
    def schedule_controls(self, source: S, T: int | None = None) -> ScheduleConfig:
        """The noise schedule from controls; ``T`` is the number of steps unless chosen."""

    def fitted_schedule(self, schedule: ScheduleConfig) -> ScheduleConfig:
        """A schedule as it suits this kind: bits need a smaller first step."""
        return schedule

    @abstractmethod
    def forward_controls(self, source: S) -> F:
        """How to show the forward process: a frozen config."""

    @abstractmethod
    def forward(self, source: S, schedule: ScheduleConfig, settings: F) -> Playback:
        """The Forward page. Raises DataError, ScheduleError."""

    @abstractmethod
    def reverse_controls(self, model: Model) -> R:
        """How to show the reverse process: a frozen config."""

    @abstractmethod
    def show_reverse(self, model: Model, settings: R) -> None:
        """The Reverse page. Raises DataError, ScheduleError."""

    @abstractmethod
    def training_stage(self, source: S, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str) -> bytes:
        """The packed stage of a run: samples of every snapshot beside data at the same t."""

    @abstractmethod
    def reference_values(self, source: S, schedule: ScheduleConfig) -> ReferenceValues:
        """What K is compared with, cached."""

    def watched_samples(self, source: S) -> int:
        """Samples of every snapshot."""
        return self.training.samples

    def drift(self, kernel: ReverseKernel, times: list[int]) -> np.ndarray | None:
        """Ends of the drift's arrows at each of the times, for kinds that show one."""
        return None

    def single_step_rows(self, seen: jobs.StepDetails, source: S) -> str:
        """HTML table rows of one optimiser step: the target, the network's input and its output."""
        return ""

    # Pages that a kind may lack: the default says so in one sentence.

    def schedule_strip(self, source: S, schedule: ScheduleConfig, seed: int, dark: bool) -> tuple[bytes, list[int]]:
        """The data at up to eight times as one PNG, and the times. Raises ValueError."""
        raise ValueError(self.not_shown("Schedule"))

    def prior_mismatch(self, source: S, schedule: ScheduleConfig) -> tuple[float, str]:
        """KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π), and its unit. Raises ValueError."""
        raise ValueError(self.not_shown("Schedule"))

    def schedule_charts(self, source: S, schedules: dict[str, ScheduleConfig]) -> dict[str, Curves]:
        """By title: curves of every schedule over t = 1..T, the axis title, and whether the axis is logarithmic."""
        raise ValueError(self.not_shown("Schedule"))

    def marginal_latex(self, source: S, made: Schedule, t: int) -> str:
        """The forward marginal in LaTeX, in symbols and with the numbers of time t."""
        return ""

    schedule_note: str = ""  # what to look for on the Schedule page

    def budget(self, model: Model, seed: int) -> Budget | None:
        """Where the bits go, split exactly, cached by model and seed; None where the data's own kernel is not known."""
        return None

    def budget_size(self, T: int) -> int:
        """How many data the budget of a model of T steps is measured on."""
        raise ValueError(self.not_shown("Bound"))

    def bound_estimate(self, model: Model, seed: int) -> BoundEstimate:
        """K term by term, where it cannot be split. Raises ValueError, in one sentence, where it is not known."""
        raise ValueError(self.not_shown("Bound"))

    def bound_words(self, source: S) -> BoundWords:
        """How the Bound page speaks of these data."""
        return BoundWords()

    def bound_stage(self, model: Model, seed: int, clock: str) -> bytes | None:
        """The packed stage above the bars of the Bound page, whose time they set under the name ``clock``."""
        return None

    def show_likelihood(self, model: Model, seed: int) -> Export:
        """The Likelihood page."""
        st.info(self.not_shown("Likelihood"))
        return Export("dpm-likelihood", "")

    def samples_picture(self, loaded: Checkpoint, dark: bool) -> bytes | None:
        """Samples of a checkpoint as a small PNG; None where there is no picture of them."""
        return None

    def not_shown(self, page: str) -> str:
        """The sentence on a page that does not show this kind."""
        return f"The {page} page does not show {self.noun}; choose other data."
