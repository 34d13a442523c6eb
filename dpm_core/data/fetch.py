"""The folder for data files, and downloading into it.

A file that the user puts into the data folder is used as it is (its reader checks the format); a downloaded file must have the
published checksum before it gets its final name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dpm_core.data.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 10  # seconds without a byte
ATTEMPTS = 3  # per address; each continues where the one before was interrupted
BLOCK = 1 << 16  # bytes read at a time

Progress = Callable[[str, int, int | None], None]  # (file name, bytes so far, bytes in all or None)

_one_at_a_time = threading.Lock()  # two sessions must not write the same partial file


def data_folder() -> Path:
    """$DPM_DATA, or "dpm-explorer/data" in this user's cache folder; it need not exist yet."""
    if own := os.environ.get("DPM_DATA"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dpm-explorer" / "data"


def find(folders: Iterable[str], candidates: Iterable[str]) -> Path | None:
    """The first of the files ``candidates`` in the first of ``folders`` (inside the data folder; "" is itself) that has any."""
    candidates = tuple(candidates)
    paths = (data_folder() / folder / name for folder in folders for name in candidates)
    return next((path for path in paths if os.path.isfile(path)), None)  # unlike is_file, never raises


def download(urls: Sequence[str], target: Path, checksum: str, max_bytes: int, progress: Progress | None = None) -> Path:
    """Download a file to ``target`` from the first address that gives the right one, unless it exists already; ``target``.

    ``checksum`` is "md5:…" or "sha256:…". A partial download stays in "<target>.part", from which the next
    attempt, or the next run, continues (HTTP Range); ``target`` itself appears complete and verified or not at
    all. Raises DataError, which says what to put where, when no address works or the folder cannot be written.
    """
    with _one_at_a_time, _alone(target):
        if target.is_file():
            return target
        part = target.with_name(target.name + ".part")
        new_folder = not target.parent.exists()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.open("ab").close()
        except OSError as error:
            raise DataError(
                f"The folder {target.parent} cannot be written ({_reason(error)}); set DPM_DATA to a folder that can be."
            ) from None
        reason = "no address is known"
        for url in urls:
            for _ in range(ATTEMPTS):
                before = _size(part)
                try:
                    _receive(url, part, max_bytes, progress)
                except _Refused as error:
                    reason = str(error)
                    break  # another attempt would give the same answer
                except (OSError, http.client.HTTPException) as error:
                    reason = _reason(error)
                    if _size(part) > before:
                        continue
                    break  # no answer at all: another timeout would not help
                if _digest(part, checksum) == checksum:
                    os.replace(part, target)
                    return target
                part.unlink()  # neither usable nor a beginning to continue from
                reason = "the file received does not have the published checksum"
                if not before:
                    break  # all of it came from this address; otherwise the earlier part may be the wrong one
        if not _size(part):  # leave no empty file behind
            part.unlink(missing_ok=True)
            if new_folder:
                target.parent.rmdir()
        hosts = " or ".join(dict.fromkeys(url.split("/")[2] for url in urls))
        raise DataError(f"{target.name} could not be downloaded from {hosts} ({reason}); put that file into {target.parent} by hand.")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Wait until no other process on this machine downloads the same file; without a lock where the system has none."""
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16]
    with ExitStack() as stack:
        if fcntl is not None:
            with suppress(OSError):
                handle = stack.enter_context((Path(tempfile.gettempdir()) / f"dpm-explorer-{name}.lock").open("a"))
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Refused(Exception):
    """An answer of the server that another attempt would not change."""


def _receive(url: str, part: Path, max_bytes: int, progress: Progress | None) -> None:
    """Append the missing bytes to ``part``. Raises OSError or HTTPException when it is interrupted, _Refused by the server."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "dpm-explorer", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # no bytes beyond those present: the checksum decides
            return
        raise _Refused(f"the server says {error.code} {error.reason}") from None
    with response:
        if start and not (response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")):
            start = 0  # the server starts from the beginning, so the file does too
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        done = start
        with part.open("ab" if start else "wb") as stream:
            while done <= max_bytes and (total is None or total <= max_bytes):
                if progress:
                    progress(part.name.removesuffix(".part"), done, total)
                block = response.read(BLOCK)
                if not block:
                    if total is not None and done < total:  # http.client does not report a short body
                        raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")
                    return
                stream.write(block)
                done += len(block)
    part.unlink()
    raise _Refused(f"the file is larger than the {max_bytes:,} bytes expected")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _digest(path: Path, checksum: str) -> str:
    algorithm = checksum.partition(":")[0]
    with path.open("rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


def _reason(error: Exception) -> str:
    """The error in a few words: URLError wraps another error, OSError has its text in strerror."""
    inner = getattr(error, "reason", None)
    error = inner if isinstance(inner, Exception) else error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
