"""Which run a session looks at, and what its buttons do to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import CheckpointError
from dpm_core.config import ConfigError
from dpm_core.data.toy2d import DataError
from dpm_core.training import TrainingError
from pages.ui import cache, session
from pages.ui.training.run_setup import Setup, held_out

GONE = "The run that was on this page is no longer in memory; runs on disk are listed below."
ALIVE = ("queued", "running", "paused")


@st.cache_resource(show_spinner=False)
def _set_ups() -> dict[str, Setup]:
    """How every run of this process was set up, by its id: a session that comes by link finds the data here."""
    return {}


def find(id: str | None) -> jobs.Job | None:
    """A run of this process that a page has started."""
    return jobs.get(id) if id in _set_ups() else None


def set_up(job: jobs.Job) -> Setup:
    """How a run that a page has started was set up."""
    return _set_ups()[job.id]


def known() -> list[jobs.Job]:
    """The runs of this process that a page has started, the last one first."""
    return [job for id in reversed(_set_ups()) if (job := jobs.get(id))]


def current(setup: Setup) -> tuple[jobs.Job | None, Setup]:
    """The run on the page and how it was set up; without one, the controls.

    It is the run that this visit started or that its link names, as long as it lives or the controls
    still describe it.
    """
    id = session.linked("job", str, None)
    job = find(id)
    session.put_in_link("job", id if job else None)
    if job is None:
        if id:
            st.session_state["job"], st.session_state["train_error"] = None, GONE
        return None, setup
    job.keep_alive()
    seen = st.session_state.get("job_seen")
    if seen is None or seen[0] != id:
        seen = st.session_state["job_seen"] = (id, setup)  # who comes by link need not have the controls that made the run
    made = _set_ups()[id]
    if job.status in ALIVE or setup.same(made) or setup.same(seen[1]):
        return job, made
    return None, setup


def pace(job: jobs.Job | None) -> float | None:
    """How often, in seconds, a page has to look at a run."""
    if job is None or job.status not in ALIVE:
        return None
    return 3.0 if job.status == "paused" else 0.5


def start(setup: Setup, resume_from: Path | None = None) -> None:
    """Start a run as the controls say; the session and its link look at it from now on."""
    look_at(setup, lambda: jobs.start(_named(setup), cache.data(setup.source), held_out(setup.source), resume_from=resume_from))


def start_by_step(setup: Setup) -> None:
    """Start a run in slow motion: paused, with its first step done."""

    def make() -> jobs.Job:
        job = jobs.start(_named(setup), cache.data(setup.source), held_out(setup.source), paused=True)
        job.step_once()
        return job

    look_at(setup, make)


def look_at(setup: Setup, make: Callable[[], jobs.Job]) -> None:
    """Look at the run that ``make`` gives."""

    def action() -> None:
        job = make()
        _set_ups()[job.id] = setup
        st.session_state["job"], st.session_state["job_seen"] = job.id, (job.id, setup)

    attempt(action)


def go_on(job: jobs.Job) -> None:
    """Take up a run that was stopped on this page, from its folder."""
    made = _set_ups()[job.id]
    look_at(made, lambda: jobs.resume_run(job.folder, cache.data(made.source), held_out(made.source)))


def watch(job: jobs.Job) -> None:
    """Look at a run of this process that goes on already."""
    look_at(_set_ups()[job.id], lambda: job)


def attempt(action: Callable, *arguments) -> None:
    """What a button does; what goes wrong is said in one sentence and nothing is lost."""
    st.session_state.pop("train_error", None)
    try:
        action(*arguments)
        st.session_state["train_changed"] = True
    except (jobs.JobError, TrainingError, DataError, CheckpointError, ConfigError, OSError) as error:
        st.session_state["train_error"] = (str(error).splitlines() or ["This did not work."])[0]
    except MemoryError:
        st.session_state["train_error"] = "This machine's memory is full; a smaller batch or network helps."


def follow_rate(setup: Setup, job: jobs.Job) -> None:
    """A learning rate moved in the sidebar goes to the run on the page, and only when it was moved."""
    rate = setup.run.training.learning_rate
    before = st.session_state.get("rate_seen", (job.id, rate))
    st.session_state["rate_seen"] = (job.id, rate)
    if before[0] == job.id and before[1] != rate and job.status in ALIVE:
        job.set_learning_rate(rate)


def _named(setup: Setup) -> jobs.JobConfig:
    if setup.name:
        return setup.named(setup.name)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{setup.run.data.name}_{setup.run.network.name}")
    taken = {info.name for info in jobs.runs()} | set(checkpoints.list_checkpoints())
    return setup.named(next(name for i in range(1, 100_000) if (name := f"{stem}_{i}") not in taken))
