"""Which engine carries out the jobs."""

from __future__ import annotations

from dpm_core.jobs.order import Engine
from dpm_core.jobs.thread.engine import ThreadEngine


def usual_engine() -> Engine:
    """The engine for jobs that name none."""
    return ThreadEngine()
