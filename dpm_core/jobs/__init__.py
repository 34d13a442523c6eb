"""Training in the background: a config goes in, snapshots come out.

A few jobs per device train at once, the others are queued. A job without ``keep_alive`` calls pauses itself. What is on disk survives.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from dpm_core.checkpoints import Checkpoint
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.engines import call, local_engine, stream, usual_engine
from dpm_core.jobs.job import FINAL_STATUSES, Job, Progress, StepDetails
from dpm_core.jobs.order import Engine, Order, errors_in_one_sentence, read_initial_weights
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.storage.run_list import RunInfo, remove_run, runs, runs_folder
from dpm_core.jobs.thread.commands import STOP_AFTER
from dpm_core.training.snapshots import Snapshot

__all__ = ["Job", "JobConfig", "JobError", "Progress", "RunInfo", "Snapshot", "StepDetails", "Stop"]
__all__ += ["call", "devices", "get", "jobs", "local_engine", "remove_run", "resume_run", "runs", "runs_folder", "start", "stream"]
__all__ += ["warm_up"]

EXIT_TIMEOUT = 5.0  # seconds to wait for a job that is ending, or when the program exits
MAX_ENDED_JOBS = 8  # ended jobs in memory, the most recently used
_jobs: dict[str, Job] = {}
_starting = threading.Lock()  # only one job is created at a time


def start(
    config: JobConfig,
    dataset: Any,
    held_out: Tensor,
    root: Path | None = None,
    resume_from: Path | Checkpoint | None = None,
    *,
    groups: Tensor | None = None,
    paused: bool = False,
    engine: Engine | None = None,
) -> Job:
    """Start a run in the background, or queue it; a ``paused`` one waits for ``resume`` or ``step_once``.

    ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``; ``held_out`` ``[N, ...]``.
    ``groups`` ``[N]`` numbers what is independent among the held-out data, for the error of K; by default each datum is.
    ``resume_from``: a checkpoint, its path or a run's folder, whose weights to start with. A finished run of the same name is moved to
    ``.name.old``. Raises JobError, in one sentence.
    """
    with _starting, errors_in_one_sentence():
        initial = None if resume_from is None else read_initial_weights(resume_from)
        folder = _after_end((runs_folder() if root is None else root) / config.name)
        return _registered((engine or usual_engine()).start(config, Order(folder, dataset, held_out, groups, paused), initial))


def resume_run(
    folder: Path,
    dataset: Any,
    held_out: Tensor,
    *,
    stop: Stop | None = None,
    groups: Tensor | None = None,
    paused: bool = False,
    engine: Engine | None = None,
) -> Job:
    """Resume a run on disk, exactly from its last saved state; ``stop`` replaces its stopping conditions; ``groups`` as in ``start``.

    Rows and snapshots after that state are dropped. Raises JobError, in one sentence.
    """
    with _starting, errors_in_one_sentence():
        folder = _after_end(Path(folder))
        RunFolder(folder).fetch()
        return _registered((engine or usual_engine()).resume(Order(folder, dataset, held_out, groups, paused), stop))


def jobs(root: Path | None = None) -> list[Job]:
    """Return the active jobs of ``root`` that are found on this machine, or of all folders that this program has used; oldest first."""
    _find(runs_folder() if root is None else root, wait=False)
    return [job for job in list(_jobs.values()) if job.status not in FINAL_STATUSES and (root is None or job.folder.parent == root)]


def get(id: str) -> Job | None:
    """Return a job by its id, also one that another program has started; an ended job remains available for a while."""
    if id not in _jobs:
        _find(runs_folder(), wait=True)
    return _jobs.get(id)


def warm_up() -> None:
    """Prepare for a job to start quickly, in the background."""
    usual_engine().warm_up()


def devices() -> tuple[str, ...]:
    """Where networks can train: "cpu" and, if present, "cuda" or "mps"; of the cluster, if there is one."""
    return usual_engine().devices()


def _find(root: Path, wait: bool) -> None:
    """Take up the jobs that another program, or this one before a restart, has started; unless a job is just being created."""
    if _starting.acquire(blocking=wait):
        try:
            with contextlib.suppress(JobError):  # a wrong setting is reported when a job is started
                for job in usual_engine().running(root, set(_jobs)):
                    _registered(job)
        finally:
            _starting.release()


def _registered(job: Job) -> Job:
    ended = sorted((old for old in _jobs.values() if old.done), key=lambda old: old.idle_seconds)
    for n, old in enumerate(ended):
        if n >= MAX_ENDED_JOBS or old.idle_seconds > STOP_AFTER:
            _jobs.pop(old.id).close()
    _jobs[job.id] = job
    return job


def _after_end(folder: Path) -> Path:
    """Return the run's folder, once a job that is just ending there has written everything."""
    for job in list(_jobs.values()):
        if not job.done and job.ending and job.folder.resolve() == folder.resolve():
            job.join(EXIT_TIMEOUT)
    return folder


@atexit.register
def _leave_all() -> None:
    """See that nothing is lost when the program exits normally."""
    until, alive = time.monotonic() + EXIT_TIMEOUT, [job for job in list(_jobs.values()) if not job.done]
    for job in alive:
        job.leave(0)  # first all of them, so that none trains while another one is waited for
    for job in alive:
        job.leave(max(0.0, until - time.monotonic()))
