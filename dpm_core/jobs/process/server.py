"""The worker process: it trains one run in a thread and answers the programs that watch it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection, Listener
from typing import Any

from dpm_core.jobs.process.address import ADDRESS_FILE, Address
from dpm_core.jobs.remote.messages import Head
from dpm_core.jobs.remote.requests import Requests
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.jobs.thread.job import ThreadJob

WAIT_FOR_ORDER = 60.0  # seconds after which a worker without a run ends
LINGER = 5.0  # seconds that the worker of an ended run waits for a connection before it ends
ORPHANED = 240.0  # the same for a paused run, which is then resumed from its folder


class Server:
    """One job and the connections to it."""

    def __init__(self, place: Address):
        self.place, self._requests = place, Requests(ThreadEngine(), self._begun)
        self._connections, self._quiet_since, self._asked = 0, time.monotonic(), False
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer until there is nothing left to do."""
        listener = Listener(self.place.address, backlog=16, authkey=self.place.key.encode())
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            while not self._over():
                time.sleep(0.2)
        finally:
            if (job := self._requests.job) is not None:
                job.leave(5.0)
                if Address.read(job.folder) == self.place:  # not of a new run of the same name
                    (job.folder / ADDRESS_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.unlink(self.place.address)

    def _over(self) -> bool:
        with self._lock:
            quiet = 0.0 if self._connections else time.monotonic() - self._quiet_since
        if (job := self._requests.job) is None:
            return quiet > (LINGER if self._asked else WAIT_FOR_ORDER)
        if not job.folder.exists():  # removed while it trained: there is nobody to keep it for
            job.stop()
        return (job.done and quiet > LINGER) or (job.status == "paused" and quiet > ORPHANED)

    def _accept(self, listener: Listener) -> None:
        while True:
            with contextlib.suppress(Exception):  # a stranger with a wrong key, or one who hung up
                connection = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        """Answer one connection until it closes."""
        with self._lock:
            self._connections, self._asked = self._connections + 1, True
        try:
            while True:
                connection.send_bytes(self._requests.reply(connection.recv_bytes()))
        except (EOFError, OSError):
            return
        finally:
            connection.close()
            with self._lock:
                self._connections, self._quiet_since = self._connections - 1, time.monotonic()

    def _begun(self, job: ThreadJob) -> Head:
        self.place = Address(self.place.address, self.place.key, os.getpid(), job.id)
        self.place.write(job.folder)
        with contextlib.suppress(OSError), open(job.folder / "worker.log", "ab") as log:  # for what even Python cannot report
            os.dup2(log.fileno(), sys.stderr.fileno())
        return {"id": job.id, "pid": os.getpid()}


def serve(request: dict[str, Any]) -> None:
    """Be a worker: ``request`` has the address, the key and the environment variables DPM_… of the program that wants it."""
    for name in [name for name in os.environ if name.startswith("DPM_")]:
        del os.environ[name]  # the nursery may be older than what the program has set
    os.environ.update(request["environment"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # ends as a program does: the run is paused and saved
    Server(Address(request["address"], request["key"])).serve()


if __name__ == "__main__":
    serve(json.loads(sys.stdin.readline()))
