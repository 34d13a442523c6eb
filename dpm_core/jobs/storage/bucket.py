"""Runs in object storage, and this machine's copy of them.

Whoever trains a run works in the copy, as in any folder. What has changed there is sent to the storage in the background, the header
last, so that it never speaks of a state that is not there yet. All others fetch what they need. What a new run of the same name
replaces stays on this machine alone. Nothing here keeps two machines from training one run: Ray does.
"""

from __future__ import annotations

import json
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

HEADER = "job.json"
UNSENT = "unsent"  # marks a copy that is newer than the storage, and holds the signature of the header that was there
FILES = re.compile(r"job\.json|metrics\.jsonl|state\.safetensors|error\.txt|owner|snapshots/\d{1,12}\.safetensors")
TRAINED = re.compile(r"state\.safetensors|error\.txt|snapshots/.*")  # leave the storage when they leave the folder
HEAVY = re.compile(r"state\.safetensors|snapshots/.*")  # is fetched only to go on with a run
RUN = re.compile(r"\w[\w.-]*")
LOOK_EVERY = 4.0  # seconds between two looks at the list of runs
TRY_AGAIN = 5.0  # seconds after a failure to send
Signature = list[str]  # of a file: another one when it has changed
Here = tuple[int, int]


class Bucket:
    """The runs at one address. Safe to use from several threads; a run is sent by the process that trains it."""

    def __init__(self, url: str, copy: Path):
        """Raises OSError when the address is wrong, or the package that reaches it is not installed."""
        import fsspec  # the only part of this program that needs it

        self.url, self.copy = url.rstrip("/"), copy
        with self._reached():
            self._storage, base = fsspec.url_to_fs(self.url)
        self._storage.auto_mkdir, self._base = True, base.rstrip("/")
        self._fetching, self._sending, self._changed = threading.RLock(), threading.RLock(), threading.Condition()
        self._there: dict[str, Signature] = {}  # by path below the address: what was last seen there
        self._sent: dict[str, Here] = {}  # the same for what was here when it was sent
        self._pending: dict[str, int] = {}  # by run: how often it has changed since it was sent
        self._failures: dict[str, str] = {}  # by run: why it could not be sent
        self._sender: threading.Thread | None = None
        self._looked = -LOOK_EVERY
        copy.mkdir(parents=True, exist_ok=True)

    def send_later(self, run: str) -> None:
        """Send what has changed in the copy of a run, in the background. Raises OSError with the reason when that failed before."""
        with self._changed:
            self._mark(run)
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
        with self._sending, self._reached():
            for name in found:
                try:
                    status, path, data = (folder / name).stat(), f"{run}/{name}", (folder / name).read_bytes()
                except FileNotFoundError:
                    continue  # a snapshot that has just been thinned out
                if self._sent.get(path) != (here := (status.st_size, status.st_mtime_ns)):
                    self._storage.pipe_file(f"{self._base}/{path}", data)
                    self._sent[path] = here
            if names is None:
                for path, info in self._list(run).items():
                    self._there[path] = _signature(info)
                    if TRAINED.fullmatch(name := path.split("/", 1)[1]) and name not in found:
                        self._storage.rm_file(f"{self._base}/{path}")

    def fetch(self, run: str) -> None:
        """Bring the copy of a run up to date, unless it is newer than the storage. Raises OSError."""
        with self._fetching, self._reached():
            self._copy(run, self._list(run), whole=True)

    def fetch_list(self) -> None:
        """Bring all copies up to date but for states and snapshots, every few seconds; remove those whose run is gone. Raises OSError."""
        with self._fetching:
            if time.monotonic() < self._looked + LOOK_EVERY:
                return
            self._looked = time.monotonic()
            with self._reached():
                found, runs = self._list(), dict[str, dict[str, Any]]()
                for path, info in found.items():
                    runs.setdefault(path.split("/")[0], {})[path] = info
                for run, files in runs.items():
                    if RUN.fullmatch(run):
                        self._copy(run, files, whole=False)
            # a storage without any run may be one that is not mounted
            for folder in [path for path in self.copy.glob("[!.]*") if runs and path.name not in runs and not _is_newer(path)]:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self, run: str) -> None:
        """Remove a run, here and there. Raises OSError."""
        with self._sending, self._reached():
            for path in sorted(self._list(run), key=lambda path: path == f"{run}/{HEADER}"):
                self._storage.rm_file(f"{self._base}/{path}")
        shutil.rmtree(self.copy / run, ignore_errors=True)

    def _copy(self, run: str, found: Mapping[str, Any], whole: bool) -> None:
        folder = self.copy / run
        if is_locked(folder):
            return
        if (folder / UNSENT).exists():  # whoever trained it here has ended before all was sent
            if _marked(folder) == _signature(found.get(f"{run}/{HEADER}", {})):
                self.send(run)
                (folder / UNSENT).unlink(missing_ok=True)
                return
            aside = folder.with_name(f".{run}.old")  # another machine has gone on with it
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        for path, info in found.items():
            name = path.split("/", 1)[1]
            here, now = folder / name, _signature(info)
            if not FILES.fullmatch(name) or (self._there.get(path) == now and here.exists()):
                continue
            if HEAVY.fullmatch(name) and not whole:
                continue  # what is here may be of an earlier state, or of a process that is about to go on with the run
            here.parent.mkdir(parents=True, exist_ok=True)
            replace_file(here, self._storage.cat_file(f"{self._base}/{path}"))
            if (moment := _moment(info)) is not None:
                os.utime(here, (moment, moment))
            self._there[path] = now
        for name in _files(folder):
            if f"{run}/{name}" not in found and (whole or not HEAVY.fullmatch(name)):
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
                    with suppress(OSError):
                        self._mark(run)
                    if self._pending[run] == changes:  # otherwise it has changed meanwhile
                        del self._pending[run]
                        with suppress(OSError):
                            (self.copy / run / UNSENT).unlink(missing_ok=True)
                self._changed.notify_all()
            time.sleep(TRY_AGAIN if failure else 0.0)

    def _mark(self, run: str) -> None:
        (self.copy / run / UNSENT).write_text(json.dumps(self._there.get(f"{run}/{HEADER}", [])))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each kind of storage has its own
            line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise OSError(f"The storage {self.url} cannot be used ({line}).") from None


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in names if FILES.fullmatch(name)]


def _is_newer(folder: Path) -> bool:
    """Whether a copy has, or is just about to have, what the storage lacks."""
    return (folder / UNSENT).exists() or is_locked(folder)


def _marked(folder: Path) -> Signature | None:
    """What the header's signature in the storage was when the copy became newer; None where the mark cannot be read."""
    try:
        return json.loads((folder / UNSENT).read_text())
    except (OSError, ValueError):
        return None


def _signature(info: Mapping[str, Any]) -> Signature:
    """By the checksum where the storage has one, otherwise by the time, as its list says them."""
    for names in (("ETag", "etag", "md5Hash"), ("LastModified", "mtime", "last_modified", "updated", "created")):
        if known := [str(info[name]) for name in names if info.get(name) is not None]:
            return [str(info.get("size")), *known]
    return []


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
