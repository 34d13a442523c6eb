"""The directory of a run: everything needed to go on after the process was killed. Safetensors and JSON only.

``job.json`` what was asked for; ``metrics.jsonl`` a row per half second; ``state.safetensors`` everything the
next step depends on; ``snapshots/`` one file each. Files appear whole or not at all; a lock tells who is alive.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dpm_core.config import from_dict
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.training.snapshots import Snapshot

try:
    import fcntl
except ImportError:  # on Windows only this process's own jobs are known to be alive
    fcntl = None  # type: ignore[assignment]

FORMAT = "dpm-run-1"


@dataclass(frozen=True)
class RunInfo:
    """A run found on disk. ``status`` as a job's, or "interrupted" when the process that trained it is gone."""

    name: str
    folder: Path
    config: JobConfig
    step: int
    status: str
    message: str
    updated: datetime


def runs_folder() -> Path:
    """Where runs live: $DPM_RUNS, or runs/ in the user's data folder."""
    base = os.environ.get("DPM_RUNS")
    return Path(base) if base else Path.home() / ".local" / "share" / "dpm-explorer" / "runs"


def runs(root: Path | None = None) -> list[RunInfo]:
    """Every readable run on disk, the last written first."""
    found = []
    for path in (runs_folder() if root is None else root).glob("[!.]*/job.json"):
        folder = RunFolder(path.parent)
        try:
            config, header = folder.read_header()
            updated = max(file.stat().st_mtime for file in path.parent.iterdir())
        except (JobError, OSError):
            continue  # no run, or being replaced just now
        status = str(header.get("status"))
        if status in ("running", "queued") and not folder.alive():
            status = "interrupted"
        message, when = str(header.get("message", "")), datetime.fromtimestamp(updated, UTC)
        found.append(RunInfo(path.parent.name, path.parent, config, folder.state_step(), status, message, when))
    return sorted(found, key=lambda info: info.updated, reverse=True)


class RunFolder:
    """One run's directory."""

    def __init__(self, path: Path):
        self.path, self.snapshots = path, path / "snapshots"
        self._lock: IO[bytes] | None = None
        self._heavy: set[Path] = set()  # snapshots with weights on disk

    def create(self, header: dict[str, Any]) -> None:
        """Make it afresh and claim it; a run of the same name that is over is kept once more as ``.name.old``.

        The new one is whole before it takes the old one's place. Raises JobError when that run is alive, and OSError
        when the disk refuses; then all is as it was.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.aside")
        if aside.exists() and not self.path.exists():
            aside.rename(self.path)  # a program was killed in what follows
        if self.path.exists():
            self.claim()
        new = RunFolder(self.path.with_name(f".{self.path.name}.new-{secrets.token_hex(4)}"))
        try:
            self._keep(aside)
            new.snapshots.mkdir(parents=True)
            new.claim()
            replace_file(new.path / "metrics.jsonl", b"")
            new.write_header(header)
            if self.path.exists():
                self.path.rename(aside)
            new.path.rename(self.path)
        except BaseException:
            if aside.exists() and not self.path.exists():
                aside.rename(self.path)
            self.release()
            new.release()
            shutil.rmtree(new.path, ignore_errors=True)
            raise
        self.release()
        self._lock = new._lock
        with suppress(OSError):  # the run itself is in order; the next one of this name tries again
            self._keep(aside)

    def _keep(self, aside: Path) -> None:
        """Make what was moved aside ``.name.old``, unless there is nothing in it to go on with."""
        old = self.path.with_name(f".{self.path.name}.old")
        if (aside / "job.json").exists() and (aside / "state.safetensors").exists():
            if old.exists():
                shutil.rmtree(old)
            aside.rename(old)
        elif aside.exists():
            shutil.rmtree(aside)

    def claim(self) -> None:
        """Hold the lock until ``release`` or the end of the process. Raises JobError when another run holds it, OSError."""
        self._lock = open(self.path / "lock", "ab")  # noqa: SIM115 - stays open, which is what holds the lock
        for wait in (0.02, 0.1, 0):
            if _try_lock(self._lock):
                for half_written in self.path.glob(".*"):
                    half_written.unlink()
                return
            time.sleep(wait)  # somebody may only be looking whether it is held
        self.release()
        raise JobError(f"A run named {self.path.name!r} is going on; stop it first, or choose another name.")

    def release(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def alive(self) -> bool:
        """Whether some process holds the lock; False too where nobody can, as in a folder without locks or permission."""
        try:
            with open(self.path / "lock", "rb") as file:
                return not _try_lock(file)
        except OSError:
            return False

    def write_header(self, header: dict[str, Any]) -> None:
        """``job.json``; the config stands under "job"."""
        replace_file(self.path / "job.json", (json.dumps({"format": FORMAT, **header}, indent=2) + "\n").encode())

    def read_header(self) -> tuple[JobConfig, dict[str, Any]]:
        """The config and the whole header. Raises JobError when it is missing, corrupt or foreign."""
        try:
            header = json.loads((self.path / "job.json").read_text())
            if header["format"] != FORMAT:
                raise ValueError
            return from_dict(JobConfig, header["job"]), header
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise JobError(f"{self.path.name!r} holds no run that can be read ({type(error).__name__} in its job.json).") from None

    def write_state(self, state: dict[str, Tensor]) -> None:
        """Replace the last state. Raises OSError, and then the last one is still there."""
        replace_file(self.path / "state.safetensors", save(state))

    def read_state(self) -> dict[str, Tensor] | None:
        """The last state, or None when none was written yet. Raises JobError when it is corrupt."""
        path = self.path / "state.safetensors"
        try:
            return load_file(path) if path.exists() else None
        except (OSError, SafetensorError, ValueError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise JobError(f"The saved state of {self.path.name!r} cannot be read: {line}.") from None

    def state_step(self) -> int:
        """The step of the last state; 0 when there is none that can be read."""
        try:
            with safe_open(self.path / "state.safetensors", "pt") as file:
                return int(file.get_tensor("step"))
        except (OSError, SafetensorError, ValueError):
            return 0

    def write_snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Write those not on disk yet, again those whose weights were let go, and delete those no longer kept. Raises OSError."""
        wanted = {self.snapshots / f"{s.step:09d}.safetensors": s for s in snapshots}
        there = set(self.snapshots.glob("*.safetensors"))
        for path in there - wanted.keys():
            path.unlink(missing_ok=True)
        lighter = {path for path in self._heavy & wanted.keys() if wanted[path].weights is None}
        for path in sorted((wanted.keys() - there) | lighter):
            replace_file(path, wanted[path].to_bytes())
            (self._heavy.discard if wanted[path].weights is None else self._heavy.add)(path)
        self._heavy &= wanted.keys()

    def read_snapshots(self, last_step: int) -> tuple[list[Snapshot], int]:
        """Those up to ``last_step``, and how many could not be read."""
        found, bad = [], 0
        for path in sorted(self.snapshots.glob("*.safetensors")):
            try:
                with safe_open(path, "np") as file:
                    metadata = file.metadata()
                found.append(Snapshot.from_tensors(load_file(path), metadata))
                if found[-1].weights is not None:
                    self._heavy.add(path)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError):
                bad += 1
        return [snapshot for snapshot in found if snapshot.step <= last_step], bad


class Log:
    """``metrics.jsonl``: every row in memory, appended to the file as it comes. Safe to use from several threads."""

    def __init__(self, path: Path, last_step: int | None = None):
        """Rows on disk up to ``last_step`` (none unless given) stay; a line cut short by a crash is dropped. Raises OSError."""
        self._path, self._guard = path, threading.Lock()
        self._rows: list[dict[str, Any]] = []
        if last_step is not None and path.exists():
            rows = map(_row, path.read_text(errors="replace").splitlines())
            self._rows = [row for row in rows if row and row["step"] <= last_step]
        text = _lines(self._rows)
        if not path.exists() or path.read_bytes() != text:
            replace_file(path, text)
        self._written, self._size = len(self._rows), len(text)

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """Copies of the rows from number ``since`` on."""
        with self._guard:
            return [dict(row) for row in self._rows[since:]]

    def add(self, row: dict[str, Any]) -> None:
        """Take a row; ``flush`` writes it."""
        with self._guard:
            self._rows.append(row)

    def flush(self) -> None:
        """Append what is not on disk yet. After an OSError the next call writes it all the same, and nothing twice."""
        with self._guard:
            rows = self._rows[self._written :]
            if not rows:
                return
            text = _lines(rows)
            with open(self._path, "r+b") as file:
                file.truncate(self._size)  # a part of a row may have been written before the disk was full
                file.seek(self._size)
                file.write(text)
            self._written, self._size = self._written + len(rows), self._size + len(text)


def replace_file(path: Path, data: bytes) -> None:
    """Write beside it, flush to the disk, rename. Raises OSError and leaves the old file."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _try_lock(file: IO[bytes]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
