"""Training in the background: a config goes in, snapshots come out.

Each job is one thread around a Trainer; other threads receive copies only. A few jobs per device train at once, the others are queued.
A job without ``keep_alive`` calls pauses itself. What is on disk survives the process.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpm_core.checkpoints import Checkpoint
from dpm_core.jobs.commands import FINAL_STATUSES, STOP_AFTER
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.record import Progress
from dpm_core.jobs.run_context import load_initial_weights, make_run_context, with_saved_header
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.storage.run_list import RunInfo, runs, runs_folder
from dpm_core.jobs.worker import StepDetails
from dpm_core.training.snapshots import Snapshot

__all__ = ["Job", "JobConfig", "JobError", "Progress", "RunInfo", "Snapshot", "StepDetails", "Stop"]
__all__ += ["get", "jobs", "resume_run", "runs", "runs_folder", "start"]

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
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Start a run in the background, or queue it; a ``paused`` one waits for ``resume`` or ``step_once``.

    ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``; ``held_out`` ``[N, ...]``.
    ``groups`` ``[N]`` numbers what is independent among the held-out data, for the error of K; by default each datum is.
    ``resume_from``: a checkpoint, its path or a run's folder, whose weights to start with. A finished run of the same name is moved to
    ``.name.old``. Raises JobError, in one sentence.
    """
    with _one_at_a_time():
        context = make_run_context(config, dataset, held_out, groups)
        if resume_from is not None:
            context = replace(context, resume_from=load_initial_weights(context.trainer, resume_from))
        files = _folder_after_end((runs_folder() if root is None else root) / config.name)
        files.create({**context.header(), "status": "paused" if paused else "queued", "message": ""})
        with _released_on_error(files):
            log = MetricsLog(files.path / "metrics.jsonl")
            return _launch(Job(context, files, log, paused, clock), None)


def resume_run(
    folder: Path,
    dataset: Any,
    held_out: Tensor,
    *,
    stop: Stop | None = None,
    groups: Tensor | None = None,
    paused: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Resume a run on disk, exactly from its last saved state; ``stop`` replaces its stopping conditions; ``groups`` as in ``start``.

    Rows and snapshots after that state are dropped. Raises JobError, in one sentence.
    """
    with _one_at_a_time():
        config, header = RunFolder(Path(folder)).read_header()
        if stop is not None:
            config = replace(config, stop=stop)
        context = with_saved_header(make_run_context(config, dataset, held_out, groups), header)
        files = _folder_after_end(Path(folder))
        files.acquire()
        with _released_on_error(files):
            state, threads = files.read_state(), header.get("threads")
            log = MetricsLog(files.path / "metrics.jsonl", None if state is None else int(state["step"]))
            # the same number of threads sums in the same order, which gives identical results
            threads = threads if isinstance(threads, int) and threads > 0 else None
            return _launch(Job(context, files, log, paused, clock, threads), state)


def jobs(root: Path | None = None) -> list[Job]:
    """Return the active jobs of this process, oldest first."""
    return [job for job in list(_jobs.values()) if job.status not in FINAL_STATUSES and (root is None or job.folder.parent == root)]


def get(id: str) -> Job | None:
    """Return a job of this process by its id; an ended job remains available for a while."""
    return _jobs.get(id)


def _launch(job: Job, state: dict[str, Tensor] | None) -> Job:
    ended = sorted((old for old in _jobs.values() if old.done), key=lambda old: old.idle_seconds)
    for n, old in enumerate(ended):
        if n >= MAX_ENDED_JOBS or old.idle_seconds > STOP_AFTER:
            del _jobs[old.id]
    job.launch(state)
    _jobs[job.id] = job
    return job


def _folder_after_end(path: Path) -> RunFolder:
    """Return the run's folder, once a job that is just ending there has written everything."""
    for job in list(_jobs.values()):
        if not job.done and job.ending and job.folder.resolve() == path.resolve():
            job.join(EXIT_TIMEOUT)
    return RunFolder(path)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Create one job at a time, and turn every error into a JobError of one sentence."""
    with _starting:
        try:
            yield
        except JobError:
            raise
        except torch.OutOfMemoryError:
            raise JobError("The data or the network do not fit into this device's memory; choose a smaller batch or network.") from None
        except OSError as error:
            raise JobError(f"The run's folder cannot be used ({error.strerror or error}: {error.filename}).") from None
        except (ValueError, TypeError, KeyError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise JobError(line if line.endswith(".") else f"{line}.") from None


@contextmanager
def _released_on_error(files: RunFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        files.release()
        raise


@atexit.register
def _pause_all() -> None:
    """Save every run as paused when the program exits normally."""
    until, alive = time.monotonic() + EXIT_TIMEOUT, [job for job in list(_jobs.values()) if not job.done]
    for job in alive:
        job.pause_for_exit(0)  # first all of them, so that none trains while another one is waited for
    for job in alive:
        job.pause_for_exit(max(0.0, until - time.monotonic()))
