"""The list of runs on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.storage.run_folder import RunFolder


@dataclass(frozen=True)
class RunInfo:
    """A run on disk. ``status`` is that of the job, or "interrupted" if the process that trained it no longer exists."""

    name: str
    folder: Path
    config: JobConfig
    step: int
    status: str
    message: str
    updated: datetime


def runs_folder() -> Path:
    """Return the folder of all runs: $DPM_RUNS, or runs/ in the user's data folder."""
    base = os.environ.get("DPM_RUNS")
    return Path(base) if base else Path.home() / ".local" / "share" / "dpm-explorer" / "runs"


def runs(root: Path | None = None) -> list[RunInfo]:
    """Return every readable run on disk, the most recently written first."""
    found = []
    for path in (runs_folder() if root is None else root).glob("[!.]*/job.json"):
        folder = RunFolder(path.parent)
        try:
            config, header = folder.read_header()
            updated = max(file.stat().st_mtime for file in path.parent.iterdir())
        except (JobError, OSError):
            continue  # not a run, or being replaced at this moment
        status = str(header.get("status"))
        if status in ("running", "queued") and not folder.is_locked():
            status = "interrupted"
        message, when = str(header.get("message", "")), datetime.fromtimestamp(updated, UTC)
        found.append(RunInfo(path.parent.name, path.parent, config, folder.state_step(), status, message, when))
    return sorted(found, key=lambda info: info.updated, reverse=True)
