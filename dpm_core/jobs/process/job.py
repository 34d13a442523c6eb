"""A job that trains in a process of its own, as the program sees it: a copy of what the worker last said, and commands to it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.job import FINAL_STATUSES, Job, Progress, StepDetails
from dpm_core.jobs.process.messages import Address, Head, Line, LineLost
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.process import make_diffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.training.snapshots import Snapshot, without_weights

PACE = 0.05  # seconds between two looks at the worker while it trains
WAIT = 1.0  # seconds for which the worker waits until there is something new
LOST = "The process that trained this run has ended unexpectedly. Resume the run to go on from step {:,}, the last one that was saved."


class ProcessJob(Job):
    """One training run in a worker process; what its methods do is said in :class:`Job`."""

    def __init__(self, place: Address, config: JobConfig, folder: Path):
        """Watch the worker at ``place``. Raises OSError, EOFError or AuthenticationError when it does not answer."""
        self.id, self.config, self.folder = place.id, config, folder
        self._place, self._requests, self._watch = place, Line(place), Line(place)
        self._changed, self._closed = threading.Condition(), False
        self._kept_alive, self._unreported = time.monotonic(), True
        self._state: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._details: StepDetails | None = None
        self._losses = (np.zeros(0), np.zeros(0))
        self._look(self._requests, 0.0)
        threading.Thread(target=self._follow, name=f"watch {config.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._place.pid

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

    def _averaged(self) -> ReverseModel:
        about, weights = self._requests.ask("weights")
        run = self.config.run
        model = build_model(run.network, make_diffusion(run), tuple(about["shape"]), run.training.seed)
        model.load_state_dict(weights)
        return model.eval()

    def save(self, name: str, folder: Path | None = None) -> Path:
        target = checkpoints.user_folder() if folder is None else folder
        return Path(self._requests.ask("save", name=name, folder=str(target.resolve()))[0]["path"])

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
        """Keep the copy up to date, as long as the worker answers."""
        while not self._closed:
            try:
                self._look(self._watch, WAIT)
            except Exception:  # the worker is gone, or says what cannot be understood
                self._lose()
                return
            time.sleep(PACE)

    def _look(self, line: Line, wait: float) -> None:
        """Ask for what is new, and note it. Two threads may do so at once: what comes twice changes nothing."""
        with self._changed:
            wanted, self._unreported = self._unreported, False
            known: dict[str, Any] = {
                "state": self._state, "rows": len(self._rows), "detail": None if self._details is None else self._details.step,
                "snapshots": [(s.step, s.weights is not None) for s in self._snapshots.values()],
            }  # fmt: skip
        about, tensors = line.ask("watch", wait=wait, wanted=wanted, **known)
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
        with self._changed:
            if not self.done and not self._closed:
                message = LOST.format(RunFolder(self.folder).state_step())
                self._state |= {"status": "failed", "message": message, "queue_position": None, "done": True, "ending": True}
            self._changed.notify_all()
