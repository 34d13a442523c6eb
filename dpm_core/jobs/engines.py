"""Which engine carries out the jobs."""

from __future__ import annotations

import os

from dpm_core.jobs.config import JobError
from dpm_core.jobs.order import Engine
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.thread.engine import ThreadEngine

THREADS = "threads"


def usual_engine() -> Engine:
    """The engine that the environment variable DPM_CLUSTER asks for: processes of this machine, or the program's own threads."""
    asked = os.environ.get("DPM_CLUSTER", "")
    if asked == THREADS:
        return ThreadEngine()
    if asked:
        raise JobError(f"DPM_CLUSTER is {asked!r}; leave it empty for a process for each run, or set it to {THREADS!r}.")
    return ProcessEngine()
