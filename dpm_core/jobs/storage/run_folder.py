"""The folder of a run: everything needed to resume after the process was killed.

``job.json``: config and status; ``metrics.jsonl``: a row per half second; ``state.safetensors``: everything the next step depends on;
``snapshots/``: one file each. Files are replaced atomically; a lock shows which runs belong to a live process.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dpm_core.config import from_dict
from dpm_core.files import replace_file
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.storage.addresses import bucket_of
from dpm_core.jobs.storage.locks import LOCK, is_locked, try_lock
from dpm_core.training.snapshots import Snapshot

FORMAT = "dpm-run-1"
SENT_WITHIN = 20.0
RENAMED_KEYS = {"watch": "snapshot_samples"}  # of a JobConfig: old name -> present name


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path):
        self.path, self.snapshots = path, path / "snapshots"
        self._lock: IO[bytes] | None = None
        self._with_weights: set[Path] = set()  # snapshots on disk that include weights

    def create(self, header: dict[str, Any]) -> None:
        """Create the folder and acquire its lock; a finished run of the same name is archived as ``.name.old``.

        The new folder is complete before it replaces the old one. Raises JobError when the other run is still training, and OSError when
        the disk cannot be written; in both cases nothing has changed.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fetch()
        aside = self.path.with_name(f".{self.path.name}.aside")
        if aside.exists() and not self.path.exists():
            aside.rename(self.path)  # an earlier program was killed between the two renames below
        if self.path.exists():
            self.acquire()
        new = RunFolder(self.path.with_name(f".{self.path.name}.new-{secrets.token_hex(4)}"))
        try:
            self._archive(aside)
            new.snapshots.mkdir(parents=True)
            new.acquire()
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
        with suppress(OSError):  # the new run is complete; the next one of this name will archive it
            self._archive(aside)
        with suppress(OSError):  # is tried again with the first state
            self.share()

    def _archive(self, aside: Path) -> None:
        """Move the replaced run to ``.name.old`` if it can be resumed; delete it otherwise."""
        old = self.path.with_name(f".{self.path.name}.old")
        if (aside / "job.json").exists() and (aside / "state.safetensors").exists():
            if old.exists():
                shutil.rmtree(old)
            aside.rename(old)
        elif aside.exists():
            shutil.rmtree(aside)

    def acquire(self) -> None:
        """Hold the lock until ``release`` or the end of the process. Raises JobError when another run holds it, OSError."""
        self._lock = open(self.path / LOCK, "ab")  # noqa: SIM115 - the lock is held while the file is open
        for wait in (0.02, 0.1, 0):
            if try_lock(self._lock):
                for temporary in self.path.glob(".*"):
                    temporary.unlink()
                return
            time.sleep(wait)  # another process may hold it briefly, in is_locked
        self.release()
        raise JobError(f"A run named {self.path.name!r} is still training; stop it first, or choose another name.")

    def fetch(self) -> None:
        """Bring the copy of a run in object storage up to date. Raises OSError."""
        if bucket := bucket_of(self.path):
            bucket.fetch(self.path.name)

    def share(self) -> None:
        """Send a run to object storage, in the background. Raises OSError when that has failed before."""
        if bucket := bucket_of(self.path):
            bucket.send_later(self.path.name)

    def release(self) -> None:
        """Release the lock, when object storage has everything or SENT_WITHIN seconds are over; then whoever comes next sends it."""
        if self._lock is not None and (bucket := bucket_of(self.path)):
            bucket.wait(self.path.name, SENT_WITHIN)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_locked(self) -> bool:
        """Return whether some process holds the lock; False also in a folder without lock files or permissions."""
        return is_locked(self.path)

    def write_header(self, header: dict[str, Any]) -> None:
        """Write ``job.json``; the config is stored under "job"."""
        replace_file(self.path / "job.json", (json.dumps({"format": FORMAT, **header}, indent=2) + "\n").encode())

    def read_header(self) -> tuple[JobConfig, dict[str, Any]]:
        """Return the config and the whole header. Raises JobError when the file is missing, corrupt or of another format."""
        try:
            header = json.loads((self.path / "job.json").read_text())
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']!r}")
            return from_dict(JobConfig, _current_keys(header["job"])), header
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise JobError(f"The folder {self.path.name!r} contains no readable run ({type(error).__name__} in job.json).") from None

    def write_state(self, state: dict[str, Tensor]) -> None:
        """Replace the saved state. Raises OSError, in which case the previous state is unchanged."""
        replace_file(self.path / "state.safetensors", save(state))

    def read_state(self) -> dict[str, Tensor] | None:
        """Return the saved state, or None if none was written yet. Raises JobError when it is corrupt."""
        path = self.path / "state.safetensors"
        try:
            return load_file(path) if path.exists() else None
        except (OSError, SafetensorError, ValueError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise JobError(f"The saved state of {self.path.name!r} cannot be read: {line}.") from None

    def state_step(self) -> int:
        """Return the step of the saved state; 0 if there is none that can be read."""
        try:
            with safe_open(self.path / "state.safetensors", "pt") as file:
                return int(file.get_tensor("step"))
        except (OSError, SafetensorError, ValueError):
            return 0

    def write_snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Make the files match ``snapshots``: write new ones, rewrite those whose weights were discarded, delete all others.

        Raises OSError.
        """
        wanted = {self.snapshots / f"{s.step:09d}.safetensors": s for s in snapshots}
        on_disk = set(self.snapshots.glob("*.safetensors"))
        for path in on_disk - wanted.keys():
            path.unlink(missing_ok=True)
        without_weights = {path for path in self._with_weights & wanted.keys() if wanted[path].weights is None}
        for path in sorted((wanted.keys() - on_disk) | without_weights):
            replace_file(path, wanted[path].to_bytes())
            (self._with_weights.discard if wanted[path].weights is None else self._with_weights.add)(path)
        self._with_weights &= wanted.keys()

    def read_snapshots(self, last_step: int) -> tuple[list[Snapshot], int]:
        """Return the snapshots up to ``last_step``, and the number of files that could not be read."""
        found, bad = [], 0
        for path in sorted(self.snapshots.glob("*.safetensors")):
            try:
                with safe_open(path, "np") as file:
                    metadata = file.metadata()
                found.append(Snapshot.from_tensors(load_file(path), metadata))
                if found[-1].weights is not None:
                    self._with_weights.add(path)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError):
                bad += 1
        return [snapshot for snapshot in found if snapshot.step <= last_step], bad


def _current_keys(job: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of a stored JobConfig that older versions wrote under another name."""
    return {RENAMED_KEYS.get(key, key): value for key, value in job.items()}
