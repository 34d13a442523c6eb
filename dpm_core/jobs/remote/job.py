"""A job that trains elsewhere, as the program sees it: a copy of what the worker last said, and commands to it."""

from __future__ import annotations

import copy
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.job import FINAL_STATUSES, Job, Progress, StepDetails
from dpm_core.jobs.remote.messages import Head, Line, LineLost
from dpm_core.jobs.remote.results import fetch_checkpoint, fetch_weights
from dpm_core.jobs.storage.run_list import saved_step
from dpm_core.jobs.thread.provenance import renamed
from dpm_core.training.snapshots import Snapshot, without_weights
from dpm_core.training.trainer import Model

PACE = 0.05  # seconds between two looks at the worker while it trains
WAIT = 1.0  # seconds for which the worker waits until there is something new
LOST = "The process that trained this run has ended unexpectedly. Resume the run to go on from step {:,}, the last one that was saved."


class RemoteJob(Job):
    """One training run in a worker; what its methods do is said in :class:`Job`.

    When the run has ended, its weights and its checkpoint are kept here, so that the worker may go.
    """

    def __init__(self, id: str, pid: int | None, config: JobConfig, folder: Path, requests: Line, watch: Line):
        """Watch the worker at the other end of two lines: one for requests, one on which it says what is new."""
        self.id, self.config, self.folder = id, config, folder
        self._pid, self._requests, self._watch = pid, requests, watch
        self._changed, self._keeping, self._closed = threading.Condition(), threading.Lock(), False
        self._follower: threading.Thread | None = None
        self._kept_alive, self._unreported = time.monotonic(), True
        self._state: dict[str, Any] = {}
        self._progress = Progress(0, 0.0, 0.0, 0.0, None, float("nan"), float("nan"), None)
        self._rows: list[dict[str, Any]] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._details: StepDetails | None = None
        self._losses = (np.zeros(0), np.zeros(0))
        self._weights: Model | None = None  # of an ended run
        self._checkpoint: Checkpoint | Exception | None = None  # of an ended run, or why it has none

    def follow(self) -> RemoteJob:
        """Take up the worker's present state, and every later one as it comes. Raises JobError."""
        self._look(self._requests, 0.0)
        self._follower = threading.Thread(target=self._follow, name=f"watch {self.config.name}", daemon=True)
        self._follower.start()
        return self

    def join_follower(self, timeout: float) -> None:
        """Wait until nothing more is asked, after ``close``."""
        if self._follower is not None:
            self._follower.join(timeout)

    @property
    def pid(self) -> int | None:
        return self._pid

    @property
    def status(self) -> str:
        return str(self._state["status"])

    @property
    def message(self) -> str:
        return str(self._state["message"])

    @property
    def queue_position(self) -> int | None:
        return self._state["queue_position"]

    @property
    def done(self) -> bool:
        return bool(self._state["done"])

    @property
    def ending(self) -> bool:
        return bool(self._state["ending"])

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self._kept_alive

    @property
    def suggested_batch(self) -> int | None:
        return self._state["suggested_batch"]

    @property
    def step(self) -> int:
        return int(self._state["step"])

    @property
    def last_step(self) -> StepDetails | None:
        return self._details

    @property
    def learning_rate(self) -> float:
        return float(self._state["learning_rate"])

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def snapshots(self) -> list[Snapshot]:
        with self._changed:
            return [self._snapshots[step] for step in sorted(self._snapshots)]

    def metrics(self, since: int = 0) -> list[dict[str, Any]]:
        with self._changed:
            return [dict(row) for row in self._rows[since:]]

    def loss_per_time(self) -> tuple[np.ndarray, np.ndarray]:
        return self._losses

    def keep_alive(self) -> None:
        self._kept_alive, self._unreported = time.monotonic(), True

    def pause(self) -> None:
        self._command("pause")

    def resume(self) -> None:
        self.keep_alive()
        self._command("resume")

    def stop(self) -> None:
        self._command("stop")

    def join(self, timeout: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.done, timeout)

    def step_once(self) -> None:
        self.keep_alive()
        if self.status in FINAL_STATUSES:
            raise JobError("This run has ended; resume it from its folder to continue.")
        self._command("step_once")

    def set_learning_rate(self, value: float) -> None:
        self._command("set_learning_rate", value=value)

    def _averaged(self) -> Any:
        return fetch_weights(self._requests, self.config.run) if self._weights is None else copy.deepcopy(self._weights)

    def save(self, name: str, folder: Path | None = None) -> Path:
        checkpoints.check_name(name)
        kept = fetch_checkpoint(self._requests) if self._checkpoint is None else self._checkpoint
        if isinstance(kept, Exception):
            raise kept
        return checkpoints.save(renamed(kept, name), folder)

    def _keep(self) -> None:
        """Keep what can still be asked of the run once its worker is gone."""
        try:
            self._weights = fetch_weights(self._requests, self.config.run)
            self._checkpoint = fetch_checkpoint(self._requests)
        except Exception as error:  # is raised when somebody asks for it
            self._checkpoint = error

    def leave(self, timeout: float) -> None:
        """Nothing is to be done: the worker goes on without this program."""

    def close(self) -> None:
        self._closed = True
        self._requests.close()
        self._watch.close()

    def _command(self, op: str, **arguments: Any) -> None:
        """Give the worker a command; what it has changed is known when this returns. Without effect after the end."""
        if not self.done:
            try:
                self._requests.ask(op, **arguments)
                self._look(self._requests, 0.0)
            except LineLost:
                self._lose()

    def _follow(self) -> None:
        """Keep the copy up to date, as long as the worker answers and the run has not ended."""
        while not (self._closed or self.done):
            try:
                self._look(self._watch, WAIT)
            except Exception:  # the worker is gone, or says what cannot be understood
                self._lose()
            time.sleep(PACE)
        self.close()

    def _look(self, line: Line, wait: float) -> None:
        """Ask for what is new, and note it. Two threads may do so at once: what comes twice changes nothing."""
        with self._changed:
            wanted, self._unreported = self._unreported, False
            known: dict[str, Any] = {
                "state": self._state, "rows": len(self._rows), "detail": None if self._details is None else self._details.step,
                "snapshots": [(s.step, s.weights is not None) for s in self._snapshots.values()],
            }  # fmt: skip
        about, tensors = line.ask("watch", wait=wait, wanted=wanted, **known)
        with self._keeping:
            if about["state"]["done"] and self._checkpoint is None:
                self._keep()
        with self._changed:
            self._note(about, tensors)
            self._changed.notify_all()

    def _note(self, about: Head, tensors: dict[str, Tensor]) -> None:
        self._state, self._progress = about["state"], Progress(*about["progress"])
        if about["since"] <= len(self._rows) < about["since"] + len(about["rows"]):
            self._rows[about["since"] :] = about["rows"]
        if "losses" in tensors:
            self._losses = (tensors["loss_times"].numpy(), tensors["losses"].numpy())
        found = dict(self._snapshots)
        for name, data in tensors.items():
            if name.startswith("snapshot."):
                snapshot = Snapshot.from_bytes(data.numpy().tobytes())
                found[snapshot.step] = snapshot
        kept = {step: found[step] if weighted else without_weights(found[step]) for step, weighted in about["snapshots"] if step in found}
        self._snapshots = kept
        if "detail" in about:
            fields: dict[str, Any] = {name.removeprefix("detail."): value for name, value in tensors.items() if name.startswith("detail.")}
            self._details = StepDetails(**(about["detail"] | fields))

    def _lose(self) -> None:
        """Note that the worker is gone; unless its run had ended, it has failed."""
        self._end("failed", LOST.format(saved_step(self.folder)))

    def _end(self, status: str, message: str) -> None:
        """Note that the run is over without its worker having said so."""
        with self._changed:
            if not self.done and not self._closed:
                self._checkpoint = LineLost()
                self._state |= {"status": status, "message": message, "queue_position": None, "done": True, "ending": True}
            self._changed.notify_all()
