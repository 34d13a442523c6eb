"""The runs that pages of this process have started, and how each was set up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dpm_core import jobs
from dpm_core.config import RunConfig
from dpm_core.data.errors import DataError
from pages.ui import kinds, rights
from pages.ui.kinds.base import Kind

UNNAMED = "run"
ALIVE = ("queued", "running", "paused")


@dataclass(frozen=True)
class Setup:
    """All settings of the sidebar. ``name`` is empty where the page names the run."""

    source: Any
    job: jobs.JobConfig
    name: str = ""

    @property
    def run(self) -> RunConfig:
        """The run's description; setups that differ only in the learning rate are the same run, as it can be changed during training."""
        return self.job.run

    def same(self, other: Setup | None) -> bool:
        """Whether a run started from ``other`` is what these controls describe."""
        return other is not None and (_without_rate(self), self.source) == (_without_rate(other), other.source)

    @property
    def kind(self) -> Kind:
        """The kind of the data."""
        return kinds.of(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.kind.dataset(self.source).shape

    def data(self) -> dict[str, Any]:
        """The arguments of ``jobs.start`` that are data: the data set, held-out data, and what is independent among these."""
        kind, source = self.kind, self.source
        return {"dataset": kind.dataset(source), "held_out": kind.held_out(source), "groups": kind.held_out_groups(source)}

    def named(self, name: str) -> jobs.JobConfig:
        """The job's description under a name. Raises CheckpointError for one that is no file name."""
        return replace(self.job, name=name)


def _without_rate(setup: Setup) -> jobs.JobConfig:
    training = replace(setup.run.training, learning_rate=1.0)
    return replace(setup.job, name=UNNAMED, run=replace(setup.run, training=training))


@st.cache_resource(show_spinner=False)
def _setups() -> dict[str, Setup]:
    """How every run of this process was set up, by its id: a session that opens a link finds the data here."""
    return {}


def find(id: str | None, present: Setup | None = None) -> jobs.Job | None:
    """The run of this id, if its data can be shown: those of the user's own only where this process has them, or ``present`` does."""
    job = jobs.get(id) if id else None
    return job if job and _found_setup(job, present) else None


def setup_of(job: jobs.Job) -> Setup:
    """How a run was set up that ``find`` or ``known`` has returned."""
    return _setups()[job.id]


def known() -> list[jobs.Job]:
    """The runs that this session may change and whose data can be shown, the last one first."""
    for alive in jobs.jobs():
        _found_setup(alive, None)
    return [job for id in reversed(_setups()) if (job := jobs.get(id)) and rights.may_change(job.folder)]


def _found_setup(job: jobs.Job, present: Setup | None) -> Setup | None:
    """How a run was set up; of one that another server has started it follows from its config and its data's name."""
    if job.id not in _setups():
        try:
            remember(job, Setup(source_of(job.config.name, job.config.run, present), job.config, job.config.name))
        except DataError:
            return None
    return _setups()[job.id]


def source_of(name: str, run: RunConfig, present: Setup | None) -> Any:
    """The data of the run ``name``. Raises DataError where they were a person's own and are not selected in ``present``."""
    source = kinds.of_data(run.data.name).source_of_run(run)
    if source is None and present is not None and present.source.config() == run.data:
        source = present.source
    if source is None:
        raise DataError(f"The run {name} was trained on data of your own. Select that data first, then resume.")
    return source


def remember(job: jobs.Job, setup: Setup) -> None:
    """Note how a run was set up when a page has started it."""
    _setups()[job.id] = setup


def pace(job: jobs.Job | None) -> float | None:
    """The interval in seconds at which a page polls a run; None when nothing changes."""
    if job is None or job.status not in ALIVE:
        return None
    return 3.0 if job.status == "paused" else 1.0
