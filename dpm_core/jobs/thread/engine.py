"""Jobs as threads of this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.order import ComputesHere, InitialWeights, Order, own_devices
from dpm_core.jobs.storage.addresses import bucket_of
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.job import ThreadJob
from dpm_core.jobs.thread.run_context import make_run_context, use_initial_weights, with_saved_header


class ThreadEngine(ComputesHere):
    """Starts threads; ``clock`` gives the seconds by which they measure. Without ``queued`` each trains at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, queued: bool = True):
        self._clock, self._queued = clock, queued

    def start(self, config: JobConfig, order: Order, initial: InitialWeights | None = None) -> ThreadJob:
        """Start a new run; a finished one of the same name is moved to ``.name.old``. Raises JobError and what the data raise."""
        context = make_run_context(config, order.dataset, order.held_out, order.groups)
        if initial is not None:
            use_initial_weights(context.trainer, initial)
            context = replace(context, resume_from=initial.source)
        files = RunFolder(order.folder)
        files.create({**context.header(), "status": "paused" if order.paused else "queued", "message": ""})
        with _released_on_error(files):
            log = MetricsLog(files.path / "metrics.jsonl")
            job = ThreadJob(context, files, log, order.paused, self._clock, queued=self._queued)
            job.launch()
            return job

    def resume(self, order: Order, stop: Stop | None = None) -> ThreadJob:
        """Resume a run from its last saved state. Raises JobError and what the data raise."""
        files = RunFolder(order.folder)
        config, header = files.read_header()
        config = config if stop is None else replace(config, stop=stop)
        context = with_saved_header(make_run_context(config, order.dataset, order.held_out, order.groups), header)
        files.acquire()
        with _released_on_error(files):
            state, threads = files.read_state(), header.get("threads")
            if state is None and header.get("step") and bucket_of(files.path):
                raise JobError(f"The saved state of {files.path.name!r} is not here yet; try again in a moment.")
            log = MetricsLog(files.path / "metrics.jsonl", None if state is None else int(state["step"]))
            # the same number of threads sums in the same order, which gives identical results
            threads = threads if isinstance(threads, int) and threads > 0 else None
            job = ThreadJob(context, files, log, order.paused, self._clock, threads, self._queued)
            job.launch(state)
            return job

    def warm_up(self) -> None:
        """Nothing: a thread starts at once."""

    def devices(self) -> tuple[str, ...]:
        """The devices of this machine."""
        return own_devices()

    def running(self, root: Path, known: set[str]) -> list[Job]:
        """None: a thread ends with the program that started it."""
        return []


@contextmanager
def _released_on_error(files: RunFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        files.release()
        raise
