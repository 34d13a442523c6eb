"""The actor: it trains one run in a thread and answers the programs that watch it."""

from __future__ import annotations

import os
import threading
import time

import ray

from dpm_core.jobs.remote.messages import Head, error_reply, pack, unpack
from dpm_core.jobs.remote.requests import Requests
from dpm_core.jobs.storage.addresses import folder_at
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.jobs.thread.job import ThreadJob

LINGER = 3.0  # seconds after the last answer that an ended run, or one that could not start, waits for a question before it goes
ORPHANED = 240.0  # the same for a paused run, which is then resumed from its folder
LOCK_EXPIRES = 120.0  # seconds until shared storage notices that the node which held a lock is gone


class RunActor:
    """One run. When its node is lost, Ray makes the actor again on another one, and the run goes on from its last saved state."""

    def __init__(self, id: str, environment: dict[str, str], *order: bytes):
        """Carry out an order, which comes in pieces; ``environment``: the variables DPM_… of the program that gave it."""
        os.environ.update(environment)
        self._id, self._quiet_since, self._answering, self._counting = id, time.monotonic(), 0, threading.Lock()
        self._requests = Requests(ThreadEngine(queued=False), self._begun)
        self._first = self._carry_out(b"".join(order))
        self._quiet_since = time.monotonic()
        threading.Thread(target=self._leave_when_over, args=(ray.get_runtime_context().current_actor,), daemon=True).start()

    def first(self) -> bytes:
        """The reply to the order."""
        self._quiet_since = time.monotonic()
        return self._first

    def ask(self, message: bytes) -> bytes:
        """The reply to a request."""
        with self._counting:
            self._answering += 1
        try:
            return self._requests.reply(message)
        finally:
            with self._counting:
                self._answering, self._quiet_since = self._answering - 1, time.monotonic()

    def _carry_out(self, order: bytes) -> bytes:
        if not ray.get_runtime_context().was_current_actor_reconstructed:
            return self._requests.reply(order)
        try:
            return self._carry_on(order)
        except Exception as error:
            return error_reply(error)

    def _carry_on(self, order: bytes) -> bytes:
        """Go on with a run whose node was lost, as soon as its folder is free."""
        head, tensors = unpack(order)
        folder, until = RunFolder(folder_at(head["folder"])), time.monotonic() + LOCK_EXPIRES
        folder.fetch()
        if not (folder.path / "job.json").exists():
            return self._requests.reply(order)
        paused = folder.read_header()[1].get("status") == "paused"
        resume = pack({"op": "resume_run", "folder": head["folder"], "paused": paused, "stop": None, "data": head["data"]}, tensors)
        while True:
            reply = self._requests.reply(resume)
            if self._requests.job is not None or time.monotonic() > until:
                return reply
            time.sleep(0.5)

    def _begun(self, job: ThreadJob) -> Head:
        job.id = self._id
        return {"id": job.id}

    def _leave_when_over(self, myself: ray.actor.ActorHandle) -> None:
        """Free the place once there is nothing left to do."""
        while not self._over():
            time.sleep(0.5)
        if self._requests.job is not None:
            self._requests.job.leave(5.0)
        ray.kill(myself, no_restart=True)

    def _over(self) -> bool:
        job, quiet = self._requests.job, 0.0 if self._answering else time.monotonic() - self._quiet_since
        if job is not None and not job.folder.exists():  # removed while it trained: there is nobody to keep it for
            job.stop()
        if job is None or job.done:
            return quiet > LINGER
        return job.status == "paused" and quiet > ORPHANED
