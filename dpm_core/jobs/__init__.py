"""Training in the background: a config goes in, snapshots come out.

Each job is one thread around a Trainer; nothing live leaves it but copies. A few jobs per device train at once, the
others queue; a job that nobody looks at pauses itself; what is on disk survives the process.
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
from dpm_core.jobs import run_context
from dpm_core.jobs.commands import ENDS, FORGOTTEN
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.record import Progress
from dpm_core.jobs.run_folder import Log, RunFolder, RunInfo, runs, runs_folder
from dpm_core.jobs.worker import StepDetails
from dpm_core.training.snapshots import Snapshot

__all__ = ["Job", "JobConfig", "JobError", "Progress", "RunInfo", "StepDetails", "Snapshot", "Stop"]
__all__ += ["get", "jobs", "resume_run", "runs", "runs_folder", "start"]

ENDING = 5.0  # seconds for which a job that is ending, or a program that is closing, is waited for
REMEMBERED = 8  # jobs that are over, the last looked at
_jobs: dict[str, Job] = {}
_starting = threading.Lock()  # one job is made at a time


def start(
    config: JobConfig,
    dataset: Any,
    held_out: Tensor,
    root: Path | None = None,
    resume_from: Path | Checkpoint | None = None,
    *,
    paused: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Begin a run in the background, or queue it; ``paused`` waits for ``resume`` or ``step_once``.

    ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``; ``held_out``
    ``[N, ...]``. ``resume_from``: a checkpoint, its path or a run's folder, whose weights to begin with. A run of the
    same name that is over is moved to ``.name.old``. Raises JobError, in one sentence.
    """
    with _one_at_a_time():
        made = run_context.make(config, dataset, held_out)
        if resume_from is not None:
            made = replace(made, resume_from=run_context.begin_with(made.trainer, resume_from))
        files = _after_its_end((runs_folder() if root is None else root) / config.name)
        files.create({**made.header(), "status": "paused" if paused else "queued", "message": ""})
        with _released_on_error(files):
            log = Log(files.path / "metrics.jsonl")
            return _launch(Job(made, files, log, paused, clock), None)


def resume_run(
    folder: Path,
    dataset: Any,
    held_out: Tensor,
    *,
    stop: Stop | None = None,
    paused: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Go on with a run found on disk, exactly from its last state; ``stop`` replaces the old end.

    Rows and snapshots from after that state are dropped. Raises JobError, in one sentence.
    """
    with _one_at_a_time():
        config, header = RunFolder(Path(folder)).read_header()
        if stop is not None:
            config = replace(config, stop=stop)
        made = run_context.again(run_context.make(config, dataset, held_out), header)
        files = _after_its_end(Path(folder))
        files.claim()
        with _released_on_error(files):
            state, threads = files.read_state(), header.get("threads")
            log = Log(files.path / "metrics.jsonl", None if state is None else int(state["step"]))
            # the same number of threads adds in the same order, so the same bits come out
            threads = threads if isinstance(threads, int) and threads > 0 else None
            return _launch(Job(made, files, log, paused, clock, threads), state)


def jobs(root: Path | None = None) -> list[Job]:
    """The live jobs of this process, oldest first."""
    return [job for job in list(_jobs.values()) if job.status not in ENDS and (root is None or job.folder.parent == root)]


def get(id: str) -> Job | None:
    """A job of this process by its id, for a while also after its end."""
    return _jobs.get(id)


def _launch(job: Job, state: dict[str, Tensor] | None) -> Job:
    over = sorted((old for old in _jobs.values() if old.done), key=lambda old: old.idle_seconds)
    for n, old in enumerate(over):
        if n >= REMEMBERED or old.idle_seconds > FORGOTTEN:
            del _jobs[old.id]
    job.begin(state)
    _jobs[job.id] = job
    return job


def _after_its_end(path: Path) -> RunFolder:
    """The run's folder, once a job that is just ending there has written everything."""
    for job in list(_jobs.values()):
        if not job.done and job.ending and job.folder.resolve() == path.resolve():
            job.join(ENDING)
    return RunFolder(path)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Whatever is wrong with what was asked for, as a JobError of one sentence."""
    with _starting:
        try:
            yield
        except JobError:
            raise
        except torch.OutOfMemoryError:
            raise JobError("The data or the network do not fit this device's memory.") from None
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
    """A program that closes in good order loses nothing: every run is written as paused."""
    until, alive = time.monotonic() + ENDING, [job for job in list(_jobs.values()) if not job.done]
    for job in alive:
        job.leave(0)  # so that none still trains while another one is waited for
    for job in alive:
        job.leave(max(0.0, until - time.monotonic()))
