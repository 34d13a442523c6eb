"""Who may change what, and how much each person may have.

On one's own machine everybody may do everything. In a lecture only the lecturer may change runs and models. Where several people
share a server, each may change what is marked as theirs: a run's folder has a file ``owner``, a model one with this suffix beside it.
"""

from __future__ import annotations

import hmac
import time
from contextlib import suppress
from pathlib import Path

from dpm_core import jobs
from dpm_core.checkpoints import user_folder
from dpm_core.jobs.storage.addresses import bucket_of
from dpm_core.jobs.storage.locks import is_locked
from pages.ui import session

READ_ONLY = "Only the lecturer can start or change runs and models here."
OTHERS = "This belongs to somebody else: you can look at it, but not change it."
MARK = "owner"
MAX_JOBS = 2  # of one person at a time
MAX_BYTES = 500_000_000  # of one person's runs and models together
KEEP_DAYS = 30.0  # since the last change, after which what is marked is removed


class NotAllowed(ValueError):
    """What this session may not do; the message is one sentence."""


def may_start() -> bool:
    """Whether this session may start runs and add models."""
    return not session.in_lecture() or session.is_lecturer()


def may_change(thing: Path) -> bool:
    """Whether this session may change a run, given by its folder, or a model, given by its file."""
    return may_start() and (session.role() != "shared" or _owns(thing))


def check_start(name: str = "") -> None:
    """Raise NotAllowed when this session may not start a run, or one of this name, or has enough, OSError when object storage is away."""
    if not may_start():
        raise NotAllowed(READ_ONLY)
    if session.role() != "shared":
        return
    remove_old()
    folder = jobs.runs_folder() / name
    if bucket := bucket_of(folder):
        bucket.fetch_list()
    if name and folder.exists() and not _owns(folder):
        raise NotAllowed(f"A run named {name!r} belongs to somebody else; choose another name.")
    if sum(_owns(job.folder) for job in jobs.jobs()) >= MAX_JOBS:
        raise NotAllowed(f"You have {MAX_JOBS} runs in progress already; stop one of them first.")
    check_space()


def check_space() -> None:
    """Raise NotAllowed when this session may add no model, or its user has used up the space."""
    if not may_start():
        raise NotAllowed(READ_ONLY)
    if session.role() == "shared" and (used := used_bytes()) > MAX_BYTES:
        raise NotAllowed(f"Your runs and models take {used / 1e6:,.0f} MB of {MAX_BYTES / 1e6:,.0f} MB; delete some of them first.")


def check_change(thing: Path) -> None:
    """Raise NotAllowed when this session may not change a run or a model."""
    if not may_change(thing):
        raise NotAllowed(OTHERS if may_start() else READ_ONLY)


def claim(thing: Path) -> None:
    """Mark a run's folder or a model as this user's, where people share a server. Raises OSError."""
    if session.role() == "shared":
        bucket = bucket_of(thing)
        if bucket:
            thing.mkdir(parents=True, exist_ok=True)  # the run may train on another machine
        _mark(thing).write_text(session.user())
        if bucket:
            bucket.send(thing.name, [MARK])


def move_mark(old: Path, new: Path | None) -> None:
    """Let the mark follow a model that was renamed, or remove it where ``new`` is None."""
    if (mark := _mark(old)).exists():
        mark.unlink() if new is None else mark.rename(_mark(new))


def used_bytes() -> int:
    """The size of everything that is marked as this user's."""
    runs = [path for path in jobs.runs_folder().glob("[!.]*") if path.is_dir() and _owns(path)]
    models = [path for path in user_folder().glob("*.safetensors") if _owns(path)]
    return sum(file.stat().st_size for file in [*models, *(file for run in runs for file in run.rglob("*") if file.is_file())])


def remove_old(now: float | None = None) -> list[Path]:
    """Remove marked runs and models that have not changed for ``KEEP_DAYS``, and return them; never a run in progress."""
    limit, removed = (time.time() if now is None else now) - KEEP_DAYS * 86_400, []
    for mark in [*jobs.runs_folder().glob(f"*/{MARK}"), *user_folder().glob(f"*.{MARK}")]:
        is_run = mark.name == MARK
        thing = mark.parent if is_run else mark.with_suffix(".safetensors")
        files = list(thing.iterdir()) if is_run else [path for path in (mark, thing, mark.with_suffix(".json")) if path.exists()]
        if max(file.stat().st_mtime for file in files) > limit or (is_run and is_locked(thing)):
            continue
        if is_run:
            with suppress(OSError):  # another time
                jobs.remove_run(thing)
        else:
            for file in files:
                file.unlink(missing_ok=True)
        removed.append(thing)
    return removed


def _mark(thing: Path) -> Path:
    return thing / MARK if thing.is_dir() else thing.with_suffix(f".{MARK}")


def _owns(thing: Path) -> bool:
    try:
        return hmac.compare_digest(_mark(thing).read_text(), session.user())
    except (OSError, ValueError):
        return False
