"""Jobs as processes: how workers are made, started and found again."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import AuthenticationError
from pathlib import Path
from typing import Any

from torch import Tensor

import dpm_core
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.order import ComputesHere, InitialWeights, Order, own_devices
from dpm_core.jobs.process.address import Address, SocketLine
from dpm_core.jobs.remote.job import RemoteJob
from dpm_core.jobs.remote.messages import Head
from dpm_core.jobs.remote.orders import resume_request, start_request
from dpm_core.jobs.storage.run_folder import RunFolder

ANSWER_WITHIN = 60.0  # seconds until a new worker must answer; where no nursery can be used it first imports everything


class ProcessEngine(ComputesHere):
    """Starts a worker process for each job."""

    def start(self, config: JobConfig, order: Order, initial: InitialWeights | None = None) -> RemoteJob:
        """Start a new run. Raises JobError."""
        return self._begun(order, *start_request(config, order, initial))

    def resume(self, order: Order, stop: Stop | None = None) -> RemoteJob:
        """Resume a run from its last saved state. Raises JobError."""
        return self._begun(order, *resume_request(RunFolder(order.folder).read_header()[0], order, stop))

    def _begun(self, order: Order, head: Head, tensors: dict[str, Tensor]) -> RemoteJob:
        """Have a new worker carry out the order, and watch it."""
        place, line = nursery.worker()
        try:
            reply, _ = line.ask(head.pop("op"), tensors, **head)
            config, _ = RunFolder(order.folder).read_header()
            return _followed(Address(place.address, place.key, reply["pid"], reply["id"]), config, order.folder)
        finally:
            line.close()

    def warm_up(self) -> None:
        """Start what makes workers."""
        nursery.warm_up()

    def devices(self) -> tuple[str, ...]:
        """The devices of this machine."""
        return own_devices()

    def running(self, root: Path, known: set[str]) -> list[Job]:
        """The jobs of workers that another program, or this one before a restart, has started."""
        found: list[Job] = []
        for path in root.glob("[!.]*/worker.json"):
            place, files = Address.read(path.parent), RunFolder(path.parent)
            if place is not None and place.id not in known and files.is_locked():
                with contextlib.suppress(OSError, EOFError, AuthenticationError, JobError):
                    found.append(_followed(place, files.read_header()[0], path.parent))
        return found


def _followed(place: Address, config: JobConfig, folder: Path) -> RemoteJob:
    """The job of the worker at an address. Raises OSError, EOFError or AuthenticationError when it does not answer, JobError."""
    return RemoteJob(place.id, place.pid, config, folder, SocketLine(place), SocketLine(place)).follow()


class Nursery:
    """Makes worker processes; one that is ready to fork them is started by the first call of ``warm_up``, and ends with this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def warm_up(self) -> None:
        """Start what makes workers quickly, and return at once. Only Linux can use it: elsewhere a process with threads cannot fork."""
        with self._lock:
            self._ready()

    def worker(self) -> tuple[Address, SocketLine]:
        """Make a new worker, and return its address and a line to it. Raises JobError."""
        place = Address(_new_address(), secrets.token_hex(16))
        own = {name: value for name, value in os.environ.items() if name.startswith("DPM_")}
        request = json.dumps({"address": place.address, "key": place.key, "environment": own})
        with self._lock:
            if (process := self._ready()) is None:
                process = _python("dpm_core.jobs.process.server", start_new_session=True)
            assert process.stdin is not None
            process.stdin.write(request + "\n")
            process.stdin.flush()
        until = time.monotonic() + ANSWER_WITHIN
        while True:
            try:
                return place, SocketLine(place)
            except (OSError, EOFError, AuthenticationError):
                if time.monotonic() > until or process.poll() is not None:
                    raise JobError("The process for this run could not be started; look at the program's output for the reason.") from None
                time.sleep(0.005)

    def _ready(self) -> subprocess.Popen[str] | None:
        if sys.platform != "linux":
            return None
        if self._process is None or self._process.poll() is not None:
            self._process = _python("dpm_core.jobs.process.nursery")
        return self._process

    def close(self) -> None:
        """End it; the workers go on."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
                self._process.wait(5)
                self._process = None


nursery = Nursery()
atexit.register(nursery.close)


def _python(module: str, **options: Any) -> subprocess.Popen[str]:
    """A Python process that finds this program's modules wherever it was started, and reads requests from its standard input.

    It looks for GPUs without starting CUDA, which no process that it forks could then use.
    """
    places = [str(Path(dpm_core.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    command = [sys.executable, "-m", module]
    return subprocess.Popen(command, text=True, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **options)


def _new_address() -> str:
    """An address that only this user can reach."""
    token = secrets.token_hex(8)
    if sys.platform == "win32":
        return rf"\\.\pipe\dpm-{token}"
    folder = Path(tempfile.gettempdir()) / f"dpm-workers-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise JobError(f"The folder {folder} belongs to somebody else; set TMPDIR to a folder of your own.")
    return str(folder / token)
