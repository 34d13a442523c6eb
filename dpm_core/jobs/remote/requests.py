"""The worker's side: the requests about its one run, and the replies."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpm_core.config import from_dict, to_dict
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.order import InitialWeights, errors_in_one_sentence
from dpm_core.jobs.remote.messages import UNNAMED, Head, Reply, error_reply, pack, unpack, unpack_data
from dpm_core.jobs.storage.addresses import address_of, folder_at
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.jobs.thread.job import ThreadJob

LOOK_EVERY = 0.02  # seconds between two looks for something new while a watcher waits


class Requests:
    """One job, and the answers to what is asked of it. Safe to use from several threads.

    ``begun`` is called with the job once there is one, and returns what the reply to the start says of it.
    """

    job: ThreadJob | None = None

    def __init__(self, engine: ThreadEngine, begun: Callable[[ThreadJob], Head]):
        self._engine, self._begun, self._starting = engine, begun, threading.Lock()
        self._answers: dict[str, Callable[[Head, dict[str, Tensor]], Reply]] = {
            "start": self._start, "resume_run": self._resume_run, "about": self._about, "watch": self._watch, "weights": self._weights,
            "checkpoint": self._checkpoint, "set_learning_rate": self._set_learning_rate,
            "pause": self._command, "resume": self._command, "stop": self._command, "step_once": self._command,
        }  # fmt: skip

    def reply(self, message: bytes) -> bytes:
        """The reply to a message; whatever goes wrong is said to who asked."""
        try:
            head, tensors = unpack(message)
            return pack(*self._answers[head["op"]](head, tensors))
        except Exception as error:
            return error_reply(error)

    def _start(self, head: Head, tensors: dict[str, Tensor]) -> Reply:
        config = from_dict(JobConfig, head["config"])
        weights = {k.removeprefix("initial."): v for k, v in tensors.items() if k.startswith("initial.")}
        with self._starting, errors_in_one_sentence():
            order = unpack_data(folder_at(head["folder"]), head["paused"], config.run, head["data"], tensors)
            self.job = self._engine.start(config, order, InitialWeights(head["source"], weights) if weights else None)
            return self._begun(self.job), {}

    def _resume_run(self, head: Head, tensors: dict[str, Tensor]) -> Reply:
        with self._starting, errors_in_one_sentence():
            folder = folder_at(head["folder"])
            RunFolder(folder).fetch()
            config, _ = RunFolder(folder).read_header()
            order = unpack_data(folder, head["paused"], config.run, head["data"], tensors)
            self.job = self._engine.resume(order, None if head["stop"] is None else from_dict(Stop, head["stop"]))
            return self._begun(self.job), {}

    def _present(self) -> ThreadJob:
        if self.job is None:
            raise JobError("This worker has no run yet.")
        return self.job

    def _about(self, head: Head, _: dict[str, Tensor]) -> Reply:
        job = self._present()
        return {"config": to_dict(job.config), "folder": address_of(job.folder), "done": job.done}, {}

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

    def _checkpoint(self, head: Head, _: dict[str, Tensor]) -> Reply:
        """The two files of a checkpoint; the program gives them a name."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._present().save(UNNAMED, Path(folder))
            return {}, {file.name: torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in path.parent.iterdir()}

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
