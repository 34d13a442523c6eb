"""The queue of jobs before each device: a few train at once, the others wait in order of arrival, also those of other processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dpm_core.jobs.storage.locks import try_lock

CAPACITY = {"cpu": 2, "cuda": 1, "mps": 1}  # jobs that train at once on each device
FOLDER = ".queue"  # beside the runs that share the queue
WAITING, TRAINING = "waiting", "training"


class Ticket:
    """A place in the queue: a locked file ``DEVICE-STATE-TIME-TOKEN``. The lock ends with the process, and with it the place."""

    def __init__(self, folder: Path, device: str):
        """Take the last place. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        waiting = (path.name.split("-")[2] for path in folder.glob(f"{device}-{WAITING}-*"))
        moment = max([time.time_ns(), *(int(other) + 1 for other in waiting if other.isdecimal())])  # the clock may have been set back
        self._folder, self._device, self._rest = folder, device, f"{moment:020d}-{secrets.token_hex(4)}"
        self.path = self._named(WAITING)
        new = folder / f".{self.path.name}"
        self._file: IO[bytes] = open(new, "xb")  # noqa: SIM115 - the lock is held while the file is open
        try_lock(self._file)
        os.rename(new, self.path)  # nobody sees it before it is locked
        self.admitted = False

    def position(self) -> int:
        """1 for the next job to train, 0 once this one trains."""
        if not self.admitted:
            try:
                with _alone(self._folder):
                    others = [path.name for path in self._folder.glob(f"{self._device}-*") if path != self.path and _alive(path)]
                    training = sum(name.startswith(f"{self._device}-{TRAINING}") for name in others)
                    ahead = training + sum(name < self.path.name for name in others if name.startswith(f"{self._device}-{WAITING}"))
                    if (behind := ahead - CAPACITY[self._device] + 1) > 0:
                        return behind
                    os.rename(self.path, self._named(TRAINING))
                    self.path = self._named(TRAINING)
            except OSError:  # a disk that cannot be written keeps nobody from training
                pass
            self.admitted = True
        return 0

    def give_back(self) -> None:
        """Leave the queue."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _named(self, state: str) -> Path:
        return self._folder / f"{self._device}-{state}-{self._rest}"


class JobQueue:
    """The tickets of this process. Hold ``condition`` to call any method."""

    def __init__(self) -> None:
        self.condition = threading.Condition()  # its lock is reentrant
        self._tickets: dict[object, Ticket | None] = {}

    def enter(self, job: object, device: str, runs: Path | None) -> None:
        """Append a job to the queue of a device, which all runs in the folder ``runs`` share; if it cannot be written, the job trains."""
        try:
            self._tickets[job] = None if runs is None else Ticket(runs / FOLDER, device)
        except OSError:
            self._tickets[job] = None
        self.condition.notify_all()

    def leave(self, job: object) -> None:
        """Remove a job, if it is queued."""
        if ticket := self._tickets.pop(job, None):
            ticket.give_back()
        self.condition.notify_all()

    def position(self, job: object) -> int:
        """Return 1 for the next job to train, 0 for a job that trains or is not queued."""
        ticket = self._tickets.get(job)
        return ticket.position() if ticket else 0


job_queue = JobQueue()


def _alive(path: Path) -> bool:
    """Whether the process that holds a ticket lives; the ticket of one that has ended is removed."""
    try:
        with open(path, "rb") as file:
            if not try_lock(file):
                return True
            path.unlink()
    except OSError:
        pass  # given back at this moment
    return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Look at the queue while nobody else does. Raises OSError."""
    with open(folder / ".lock", "ab") as file:
        while not try_lock(file):
            time.sleep(0.001)
        yield
