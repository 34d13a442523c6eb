"""Files that are replaced as a whole, and locks that end with the process that holds them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt


def replace_file(path: Path, data: bytes) -> None:
    """Write a temporary file, flush it to the disk and rename it to ``path``. On an OSError the old file is unchanged."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


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
