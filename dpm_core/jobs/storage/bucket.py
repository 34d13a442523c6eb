"""Runs in object storage, and this machine's copy of them.

Whoever trains a run works in the copy, as in any folder. What has changed there is sent to the storage in the background, the header
last, so that it never speaks of a state that is not there yet. All others fetch what they need. The storage is any address of fsspec, such
as ``s3://BUCKET/runs``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dpm_core.files import replace_file
from dpm_core.jobs.storage.locks import is_locked

HEADER, UNSENT = "job.json", "unsent"  # the second marks a copy that is newer than the storage
FILES = re.compile(r"job\.json|metrics\.jsonl|state\.safetensors|error\.txt|owner|snapshots/\d{1,12}\.safetensors")
TRAINED = re.compile(r"state\.safetensors|error\.txt|snapshots/.*")  # leave the storage when they leave the folder
HEAVY = re.compile(r"state\.safetensors|snapshots/.*")  # is fetched only to go on with a run
RUN = re.compile(r"\w[\w.-]*")
LOOK_EVERY = 4.0  # seconds between two looks at the list of runs
TRY_AGAIN = 5.0  # seconds after a failure to send
Signature = tuple[Any, ...]


class Bucket:
    """The runs at one address. Safe to use from several threads; a run is sent by the process that trains it."""

    def __init__(self, url: str, copy: Path):
        """Raises OSError when the address is wrong, or the package that reaches it is not installed."""
        import fsspec  # the only part of this program that needs it

        self.url, self.copy = url.rstrip("/"), copy
        with self._reached():
            self._storage, base = fsspec.url_to_fs(self.url)
        self._storage.auto_mkdir, self._base = True, base.rstrip("/")
        self._lock, self._changed = threading.RLock(), threading.Condition()
        self._there: dict[str, Signature] = {}  # by path below the address: what was last seen there
        self._sent: dict[str, Signature] = {}  # the same for what was here when it was sent
        self._pending: dict[str, int] = {}  # by run: how often it has changed since it was sent
        self._failures: dict[str, str] = {}  # by run: why it could not be sent
        self._sender: threading.Thread | None = None
        self._looked = -LOOK_EVERY
        copy.mkdir(parents=True, exist_ok=True)

    def send_later(self, run: str) -> None:
        """Send what has changed in the copy of a run, in the background. Raises OSError with the reason when that failed before."""
        with self._changed:
            (self.copy / run / UNSENT).touch()
            self._pending[run] = self._pending.get(run, 0) + 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name=f"send to {self.url}", daemon=True)
                self._sender.start()
            self._changed.notify_all()
            if reason := self._failures.get(run):
                raise OSError(reason)

    def wait(self, run: str, timeout: float) -> bool:
        """Wait until a run has been sent; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: run not in self._pending, timeout)

    def send(self, run: str, names: Iterable[str] | None = None) -> None:
        """Send what has changed in the copy of a run, or some of its files. Raises OSError."""
        folder = self.copy / run
        found = sorted(_files(folder) if names is None else names, key=lambda name: (name == HEADER, not name.startswith("snapshots")))
        with self._lock, self._reached():
            for name in found:
                status, path = (folder / name).stat(), f"{run}/{name}"
                if self._sent.get(path) != (here := (status.st_size, status.st_mtime_ns)):
                    self._storage.pipe_file(f"{self._base}/{path}", (folder / name).read_bytes())
                    self._there[path], self._sent[path] = _signature(self._storage.info(f"{self._base}/{path}")), here
            if names is None:
                for path in self._list(run):
                    if TRAINED.fullmatch(name := path.split("/", 1)[1]) and name not in found:
                        self._storage.rm_file(f"{self._base}/{path}")

    def fetch(self, run: str) -> None:
        """Bring the copy of a run up to date, unless it is newer than the storage. Raises OSError."""
        with self._lock, self._reached():
            self._copy(run, self._list(run), whole=True)

    def fetch_list(self) -> None:
        """Bring all copies up to date but for states and snapshots, every few seconds; remove those whose run is gone. Raises OSError."""
        with self._lock:
            if time.monotonic() < self._looked + LOOK_EVERY:
                return
            with self._reached():
                found, runs = self._list(), dict[str, dict[str, Any]]()
                for path, info in found.items():
                    runs.setdefault(path.split("/")[0], {})[path] = info
                for run, files in runs.items():
                    if RUN.fullmatch(run):
                        self._copy(run, files, whole=False)
            for folder in [path for path in self.copy.glob("[!.]*") if path.is_dir() and path.name not in runs and not _is_newer(path)]:
                shutil.rmtree(folder, ignore_errors=True)
            self._looked = time.monotonic()

    def remove(self, run: str) -> None:
        """Remove a run, here and there. Raises OSError."""
        shutil.rmtree(self.copy / run, ignore_errors=True)
        with self._lock, self._reached():
            for path in self._list(run):
                self._storage.rm_file(f"{self._base}/{path}")

    def _copy(self, run: str, found: Mapping[str, Any], whole: bool) -> None:
        folder = self.copy / run
        if _is_newer(folder):
            if not is_locked(folder):  # whoever trained it here has ended before all was sent
                self.send(run)
                (folder / UNSENT).unlink(missing_ok=True)
            return
        for path, info in found.items():
            name = path.split("/", 1)[1]
            here, now = folder / name, _signature(info)
            if not FILES.fullmatch(name) or (self._there.get(path) == now and here.exists()):
                continue
            if HEAVY.fullmatch(name) and not whole:
                here.unlink(missing_ok=True)  # of an earlier state
                continue
            here.parent.mkdir(parents=True, exist_ok=True)
            replace_file(here, self._storage.cat_file(f"{self._base}/{path}"))
            if (moment := _moment(info)) is not None:
                os.utime(here, (moment, moment))
            self._there[path] = now
        for name in _files(folder):
            if f"{run}/{name}" not in found:
                (folder / name).unlink(missing_ok=True)

    def _list(self, run: str = "") -> dict[str, Any]:
        """What the storage has, by path below the address."""
        self._storage.invalidate_cache()
        place = f"{self._base}/{run}".rstrip("/")
        try:
            found = self._storage.find(place, detail=True)
        except FileNotFoundError:
            return {}
        return {str(path).removeprefix(self._base).lstrip("/"): info for path, info in found.items()}

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                run, changes = next(iter(self._pending.items()))
            try:
                self.send(run)
                failure = ""
            except OSError as error:
                failure = str(error) if (self.copy / run).exists() else ""  # it may have been removed
            with self._changed:
                if failure:
                    self._failures[run] = failure
                    self._pending[run] = self._pending.pop(run)  # the others first
                else:
                    self._failures.pop(run, None)
                    if self._pending[run] == changes:  # otherwise it has changed meanwhile
                        del self._pending[run]
                        (self.copy / run / UNSENT).unlink(missing_ok=True)
                self._changed.notify_all()
            time.sleep(TRY_AGAIN if failure else 0.0)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each kind of storage has its own
            line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise OSError(f"The storage {self.url} cannot be used ({line}).") from None


_buckets: dict[str, Bucket] = {}
_making = threading.Lock()


def bucket_at(url: str) -> Bucket:
    """The runs at an address. Raises OSError."""
    with _making:
        if url not in _buckets:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            _buckets[url] = Bucket(url, base / "dpm-explorer" / "runs" / hashlib.sha256(url.encode()).hexdigest()[:16])
        return _buckets[url]


def bucket_of(folder: Path) -> Bucket | None:
    """The storage to which a run's folder is a copy; None for a folder that is none."""
    parent = folder.resolve().parent
    return next((bucket for bucket in list(_buckets.values()) if bucket.copy.resolve() == parent), None)


def address_of(folder: Path) -> str:
    """What another machine finds a run by: its address in the storage, or the path of its folder."""
    bucket = bucket_of(folder)
    return str(folder.resolve()) if bucket is None else f"{bucket.url}/{folder.name}"


def folder_at(address: str) -> Path:
    """The folder of a run, or this machine's copy of it, by ``address_of`` another machine. Raises OSError."""
    if "://" not in address:
        return Path(address)
    url, _, run = address.rpartition("/")
    return bucket_at(url).copy / run


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in names if FILES.fullmatch(name)]


def _is_newer(folder: Path) -> bool:
    """Whether a copy has, or is just about to have, what the storage lacks."""
    return (folder / UNSENT).exists() or is_locked(folder)


def _signature(info: Mapping[str, Any]) -> Signature:
    names = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "last_modified", "updated", "created")
    return tuple(str(info[name]) for name in names if info.get(name) is not None)


def _moment(info: Mapping[str, Any]) -> float | None:
    """When a file was last changed; None where the storage does not say."""
    for name in ("LastModified", "mtime", "last_modified", "updated"):
        value = info.get(name)
        with suppress(ValueError):
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None
