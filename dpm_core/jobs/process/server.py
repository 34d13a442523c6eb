"""The worker process: it trains one run in a thread and answers the programs that watch it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpm_core.config import from_dict
from dpm_core.jobs.config import JobConfig, Stop
from dpm_core.jobs.order import InitialWeights, errors_in_one_sentence
from dpm_core.jobs.process.messages import ADDRESS_FILE, Address, Head, Reply, error_reply, pack, unpack, unpack_data
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.jobs.thread.job import ThreadJob

WAIT_FOR_ORDER = 60.0  # seconds after which a worker without a run ends
LINGER = 5.0  # seconds that the worker of an ended run waits for a connection before it ends
ORPHANED = 240.0  # the same for a paused run, which is then resumed from its folder
LOOK_EVERY = 0.02  # seconds between two looks for something new while a watcher waits


class Server:
    """One job and the connections to it."""

    def __init__(self, place: Address):
        self.place, self.job = place, None
        self._connections, self._quiet_since, self._asked = 0, time.monotonic(), False
        self._lock = threading.Lock()
        self._requests: dict[str, Callable[[Head, dict[str, Tensor]], Reply]] = {
            "start": self._start, "resume_run": self._resume_run, "watch": self._watch, "weights": self._weights, "save": self._save,
            "pause": self._command, "resume": self._command, "stop": self._command, "step_once": self._command,
            "set_learning_rate": self._set_learning_rate,
        }  # fmt: skip

    job: ThreadJob | None

    def serve(self) -> None:
        """Answer until there is nothing left to do."""
        listener = Listener(self.place.address, backlog=16, authkey=self.place.key.encode())
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        try:
            while not self._over():
                time.sleep(0.2)
        finally:
            if self.job is not None:
                self.job.leave(5.0)
                if Address.read(self.job.folder) == self.place:  # not of a new run of the same name
                    (self.job.folder / ADDRESS_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                os.unlink(self.place.address)

    def _over(self) -> bool:
        with self._lock:
            quiet = 0.0 if self._connections else time.monotonic() - self._quiet_since
        if self.job is None:
            return quiet > (LINGER if self._asked else WAIT_FOR_ORDER)
        if not self.job.folder.exists():  # removed while it trained: there is nobody to keep it for
            self.job.stop()
        return (self.job.done and quiet > LINGER) or (self.job.status == "paused" and quiet > ORPHANED)

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
                head, tensors = unpack(connection.recv_bytes())
                try:
                    reply = pack(*self._requests[head["op"]](head, tensors))
                except Exception as error:  # whatever goes wrong is said to who asked
                    reply = error_reply(error)
                connection.send_bytes(reply)
        except (EOFError, OSError):
            return
        finally:
            connection.close()
            with self._lock:
                self._connections, self._quiet_since = self._connections - 1, time.monotonic()

    def _start(self, head: Head, tensors: dict[str, Tensor]) -> Reply:
        config = from_dict(JobConfig, head["config"])
        weights = {k.removeprefix("initial."): v for k, v in tensors.items() if k.startswith("initial.")}
        with errors_in_one_sentence():
            order = unpack_data(Path(head["folder"]), head["paused"], config.run, head["data"], tensors)
            return self._begun(ThreadEngine().start(config, order, InitialWeights(head["source"], weights) if weights else None))

    def _resume_run(self, head: Head, tensors: dict[str, Tensor]) -> Reply:
        folder = Path(head["folder"])
        with errors_in_one_sentence():
            config, _ = RunFolder(folder).read_header()
            order = unpack_data(folder, head["paused"], config.run, head["data"], tensors)
            return self._begun(ThreadEngine().resume(order, None if head["stop"] is None else from_dict(Stop, head["stop"])))

    def _begun(self, job: ThreadJob) -> Reply:
        self.job = job
        self.place = Address(self.place.address, self.place.key, os.getpid(), job.id)
        self.place.write(job.folder)
        with contextlib.suppress(OSError), open(job.folder / "worker.log", "ab") as log:  # for what even Python cannot report
            os.dup2(log.fileno(), sys.stderr.fileno())
        return {"id": job.id, "pid": os.getpid()}, {}

    def _present(self) -> ThreadJob:
        if self.job is None:
            raise ValueError("This worker has no run yet.")
        return self.job

    def _watch(self, head: Head, _: dict[str, Tensor]) -> Reply:
        """What is new since the watcher last asked; waits for at most ``wait`` seconds until something is."""
        job, until = self._present(), time.monotonic() + head["wait"]
        if head["wanted"]:
            job.keep_alive()
        while (state := _state(job)) == head["state"] and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        rows, details, tensors = job.metrics(head["rows"]), job.last_step, dict[str, Tensor]()
        reply: Head = {"state": state, "progress": list(job.progress), "since": head["rows"], "rows": rows}
        if rows or not head["rows"]:
            times, losses = job.loss_per_time()
            tensors |= {"loss_times": torch.from_numpy(times), "losses": torch.from_numpy(losses)}
        has = {tuple(known) for known in head["snapshots"]}
        snapshots = {(s.step, s.weights is not None): s for s in job.snapshots}
        latest = next(reversed(snapshots.values()), None)  # pages show the estimate behind its K
        reply["snapshots"] = list(snapshots)
        for (step, weighted), snapshot in snapshots.items():
            if not {(step, weighted), (step, True)} & has:
                tensors[f"snapshot.{step}"] = torch.frombuffer(bytearray(snapshot.to_bytes(snapshot is latest)), dtype=torch.uint8)
        if details is not None and details.step != head["detail"]:
            numbers = ("step", "loss", "gradient_norm")
            reply["detail"] = {name: getattr(details, name) for name in numbers}
            tensors |= {f"detail.{name}": value for name, value in details._asdict().items() if name not in numbers}
        return reply, tensors

    def _weights(self, head: Head, _: dict[str, Tensor]) -> Reply:
        job = self._present()
        return {"shape": list(job.shape)}, dict(job.weights().state_dict())

    def _save(self, head: Head, _: dict[str, Tensor]) -> Reply:
        folder = None if head["folder"] is None else Path(head["folder"])
        return {"path": str(self._present().save(head["name"], folder))}, {}

    def _command(self, head: Head, _: dict[str, Tensor]) -> Reply:
        getattr(self._present(), head["op"])()
        return {}, {}

    def _set_learning_rate(self, head: Head, _: dict[str, Tensor]) -> Reply:
        self._present().set_learning_rate(head["value"])
        return {}, {}


def _state(job: ThreadJob) -> dict[str, Any]:
    """What a watcher waits for to change."""
    names = ("status", "message", "queue_position", "done", "ending", "suggested_batch", "step", "learning_rate")
    return {name: getattr(job, name) for name in names}


def serve(request: dict[str, Any]) -> None:
    """Be a worker: ``request`` has the address, the key and the environment variables DPM_… of the program that wants it."""
    for name in [name for name in os.environ if name.startswith("DPM_")]:
        del os.environ[name]  # the nursery may be older than what the program has set
    os.environ.update(request["environment"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # ends as a program does: the run is paused and saved
    Server(Address(request["address"], request["key"])).serve()


if __name__ == "__main__":
    serve(json.loads(sys.stdin.readline()))
