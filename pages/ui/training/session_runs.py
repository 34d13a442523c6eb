"""Which run a session shows, and what its buttons do to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import CheckpointError
from dpm_core.config import ConfigError
from dpm_core.data.errors import DataError
from dpm_core.files import in_words
from dpm_core.training import TrainingError
from pages.ui import rights, session
from pages.ui.kinds import runs
from pages.ui.kinds.runs import ALIVE, Setup

GONE = "The run that was shown here is no longer in memory. Runs on disk are listed below and can be resumed."


def current(setup: Setup) -> tuple[jobs.Job | None, Setup]:
    """The run on the page and how it was set up; without one, the controls.

    It is the run that this visit started or that its link names, as long as it lives or the controls
    still describe it. Raises SettingError when there is no place for runs.
    """
    jobs.runs_folder()
    jobs.warm_up()
    id: str | None = session.RUN_ID.read(str, None)
    job = runs.find(id, setup)
    session.RUN_ID.show(id if job else None)
    if job is None:
        if id:
            session.RUN_ID.remember(None)
            session.TRAINING_ERROR.set(GONE)
        return None, setup
    job.keep_alive()
    seen = session.RUN_SEEN.get()
    if seen is None or seen[0] != id:
        seen = (id, setup)  # a session that opens a link need not have the controls that made the run
        session.RUN_SEEN.set(seen)
    made = runs.setup_of(job)
    if job.status in ALIVE or setup.same(made) or setup.same(seen[1]):
        return job, made
    return None, setup


def start(setup: Setup, resume_from: Path | None = None) -> None:
    """Start a run as the controls say, and show it."""
    show_run(setup, lambda: jobs.start(_allowed(setup), resume_from=resume_from, **setup.data()))


def start_by_step(setup: Setup) -> None:
    """Start a run paused, with its first step done."""

    def make() -> jobs.Job:
        job = jobs.start(_allowed(setup), paused=True, **setup.data())
        job.step_once()
        return job

    show_run(setup, make)


def show_run(setup: Setup, make: Callable[[], jobs.Job]) -> None:
    """Show the run that ``make`` gives; the session and its link refer to it from now on."""

    def action() -> None:
        job = make()
        rights.claim(job.folder)
        _show(job, setup)

    attempt(action)


def _show(job: jobs.Job, setup: Setup) -> None:
    runs.remember(job, setup)
    session.RUN_ID.remember(job.id)
    session.RUN_SEEN.set((job.id, setup))


def resume_stopped(job: jobs.Job) -> None:
    """Resume a run that was stopped on this page, from its folder."""
    resume(runs.setup_of(job), job.folder)


def resume(made: Setup, folder: Path) -> None:
    """Resume a run on disk, and show it."""

    def make() -> jobs.Job:
        rights.check_change(folder)
        return jobs.resume_run(folder, **made.data())

    show_run(made, make)


def watch(job: jobs.Job) -> None:
    """Show a run that is in progress."""
    _show(job, runs.setup_of(job))
    session.TRAINING_CHANGED.set(True)


def command(job: jobs.Job, action: Callable[[], object]) -> None:
    """Do what a button says to a run."""

    def act() -> None:
        rights.check_change(job.folder)
        action()

    attempt(act)


def attempt(action: Callable[..., object], *arguments: Any) -> None:
    """Do what a button says; an error is shown as one sentence and nothing is lost."""
    session.TRAINING_ERROR.set("")
    try:
        action(*arguments)
        session.TRAINING_CHANGED.set(True)
    except (rights.NotAllowed, jobs.JobError, TrainingError, DataError, CheckpointError, ConfigError, OSError) as error:
        session.TRAINING_ERROR.set(in_words(error))
    except MemoryError:
        session.TRAINING_ERROR.set("This machine has too little free memory. Choose a smaller batch or network.")


def follow_rate(setup: Setup, job: jobs.Job) -> None:
    """Pass a learning rate that was changed in the sidebar to the run on the page."""
    rate = setup.run.training.learning_rate
    before = session.RATE_SEEN.get() or (job.id, rate)
    session.RATE_SEEN.set((job.id, rate))
    if before[0] == job.id and before[1] != rate and job.status in ALIVE and rights.may_change(job.folder):
        job.set_learning_rate(rate)


def _allowed(setup: Setup) -> jobs.JobConfig:
    """The run's config, if it may be started. Raises NotAllowed."""
    config = _named(setup)
    rights.check_start(config.name)
    return config


def _named(setup: Setup) -> jobs.JobConfig:
    if setup.name:
        return setup.named(setup.name)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{setup.run.data.name}_{setup.run.network.name}")
    taken = {info.name for info in jobs.runs()} | set(checkpoints.list_checkpoints())
    return setup.named(next(name for i in range(1, 100_000) if (name := f"{stem}_{i}") not in taken))
