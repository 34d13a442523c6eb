"""Files that appear whole or not at all, and what to say when one cannot be written."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary file of the same suffix, beside ``path``, to be written in the block; it replaces ``path`` when the block ends.

    It is flushed to the disk first. On an error, such as an OSError of a full disk, it is removed and the file at ``path`` is as before.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "r+b") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all. Raises OSError."""
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def in_words(error: Exception) -> str:
    """What went wrong, in one sentence; for a full disk or a folder that may not be written, also what to do."""
    if not isinstance(error, OSError) or error.strerror is None:
        return (str(error).splitlines() or [type(error).__name__])[0]
    if error.errno in FULL:
        return "The disk is full, and nothing was changed; free some space and try again."
    if error.errno in LOCKED and error.filename:
        return f"Nothing may be written in {Path(error.filename).parent}; allow it, or choose another folder."
    if not error.filename:
        return f"{error.strerror}."
    path = Path(error.filename)
    return f"{error.strerror}: {path.parent if path.name.startswith('.') else path}."  # not the name of a temporary file
