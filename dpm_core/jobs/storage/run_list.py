"""The list of runs on disk, or in object storage."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dpm_core.config import SettingError
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.storage.addresses import bucket_at, bucket_of
from dpm_core.jobs.storage.run_folder import RunFolder

STALE = 60.0  # seconds after which a run in object storage that has sent nothing is taken to be interrupted


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
    """Return the folder of all runs: $DPM_RUNS, or this machine's copy if that is an address such as s3://BUCKET/runs, or a usual one.

    Raises SettingError for an address that cannot be used.
    """
    base = os.environ.get("DPM_RUNS")
    if not base:
        return Path.home() / ".local" / "share" / "dpm-explorer" / "runs"
    if "://" not in base:
        return Path(base)
    try:
        return bucket_at(base).copy
    except OSError as error:
        raise SettingError(f"DPM_RUNS: {error}") from None


def runs(root: Path | None = None) -> list[RunInfo]:
    """Return every readable run on disk, the most recently written first."""
    found = []
    root = runs_folder() if root is None else root
    if bucket := bucket_of(root / "any"):
        with suppress(OSError):  # what is here is shown
            bucket.fetch_list()
    for path in root.glob("[!.]*/job.json"):
        folder = RunFolder(path.parent)
        try:
            config, header = folder.read_header()
            updated = max(file.stat().st_mtime for file in path.parent.iterdir())
        except (JobError, OSError):
            continue  # not a run, or being replaced at this moment
        status = str(header.get("status"))
        trains = folder.is_locked() or (bucket is not None and time.time() - updated < STALE)
        if status in ("running", "queued") and not trains:
            status = "interrupted"
        message, when = str(header.get("message", "")), datetime.fromtimestamp(updated, UTC)
        found.append(RunInfo(path.parent.name, path.parent, config, _step(folder, header), status, message, when))
    return sorted(found, key=lambda info: info.updated, reverse=True)


def saved_step(path: Path) -> int:
    """Return the step of the state from which the run in a folder would be resumed; 0 if there is none that can be read."""
    folder = RunFolder(path)
    try:
        if bucket := bucket_of(path):
            bucket.fetch_list()
        return _step(folder, folder.read_header()[1])
    except (JobError, OSError):
        return folder.state_step()


def remove_run(folder: Path) -> None:
    """Remove a run that nobody trains. Raises OSError when object storage cannot be reached."""
    if bucket := bucket_of(folder):
        bucket.remove(folder.name)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _step(folder: RunFolder, header: dict[str, Any]) -> int:
    """The step of the last state; that of a run in object storage may lie there alone, and its header says it."""
    step = header.get("step")
    return step if isinstance(step, int) and bucket_of(folder.path) else folder.state_step()
