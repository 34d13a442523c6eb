"""Locks that end with the process that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt


LOCK = "lock"  # the name of the file in a run's folder


def is_locked(folder: Path) -> bool:
    """Return whether some process trains the run in a folder; False also in a folder without lock files or permissions."""
    try:
        with open(folder / LOCK, "rb") as file:
            return not try_lock(file)
    except OSError:
        return False


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file exclusively without waiting; return False if another process holds the lock."""
    try:
        if fcntl is None:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
