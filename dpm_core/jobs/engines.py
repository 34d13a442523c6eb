"""Which engine carries out the jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from dpm_core.jobs.config import JobError
from dpm_core.jobs.order import Engine, T
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.thread.engine import ThreadEngine

THREADS = "threads"


def local_engine() -> Engine:
    """For short runs whose folder is on this machine alone: processes, or the program's own threads."""
    return ThreadEngine() if os.environ.get("DPM_CLUSTER", "") == THREADS else ProcessEngine()


def usual_engine() -> Engine:
    """The engine that the environment variable DPM_CLUSTER asks for: processes of this machine, the program's own threads, or a cluster.

    Raises JobError.
    """
    asked = os.environ.get("DPM_CLUSTER", "")
    if asked in ("", THREADS):
        return local_engine()
    if asked == "auto" or asked.startswith("ray://"):
        return _cluster(asked)
    raise JobError(f"DPM_CLUSTER is {asked!r}; leave it empty, or set it to {THREADS!r}, 'auto' or 'ray://HOST:PORT'.")


def call(function: Callable[..., T], *args: Any) -> T:
    """``function(*args)``, which must need nothing but its arguments: on the cluster of DPM_CLUSTER, or here. For work of over a second."""
    return _for_heavy_work().call(function, *args)


def stream(function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
    """The same for what ``function(*args)`` yields. Closing it ends the work."""
    return _for_heavy_work().stream(function, *args)


def _for_heavy_work() -> Engine:
    try:
        return usual_engine()
    except JobError:  # a wrong setting is reported when a job is started
        return local_engine()


@cache
def _cluster(address: str) -> Engine:
    """One connection for the whole program."""
    try:
        from dpm_core.jobs.cluster.engine import RayEngine
    except ImportError:
        raise JobError("DPM_CLUSTER asks for a Ray cluster; install what it needs: pip install -r requirements-cluster.txt.") from None
    return RayEngine(address)
