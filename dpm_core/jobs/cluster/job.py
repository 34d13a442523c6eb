"""A job in a cluster, as the program sees it: it waits for a place, and may move to another node."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

import ray
from ray.exceptions import GetTimeoutError, RayError
from torch import Tensor

from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.remote.job import WAIT, RemoteJob
from dpm_core.jobs.remote.messages import LineLost, Reply, pack, unpack_reply

AT_ONCE = 5.0  # seconds within which a free cluster has started a run; one that takes longer is queued
SOON = 0.5  # the same where no place is free, as a place may just be given back
WAITING = "This run waits for a place in the cluster; it can be stopped, and all else once it trains."
MOVED = "The node that trained this run was lost. The cluster continues it elsewhere from the last state that was saved."
LOOK_AGAIN = 0.5  # seconds between two looks whether a lost run is back


Actor = Any  # a handle of a RunActor; the methods that a handle has are not typed


class RayLine:
    """Requests to an actor."""

    def __init__(self, actor: Actor):
        self._actor = actor

    def ask(self, op: str, tensors: Mapping[str, Tensor] | None = None, /, **arguments: Any) -> Reply:
        """Return the reply to a request. Raises what the actor reports, and LineLost when it cannot be reached."""
        try:
            reply = ray.get(self._actor.ask.remote(pack({"op": op, **arguments}, tensors)))
        except Exception:  # Ray's own, of the network, or of a connection that has been given up
            raise LineLost from None
        return unpack_reply(reply)

    def close(self) -> None:
        """Nothing is held."""


class ClusterJob(RemoteJob):
    """One training run in an actor, whose name in the cluster is ``name``."""

    def __init__(self, id: str, config: JobConfig, folder: Path, name: str, actor: Actor):
        super().__init__(id, None, config, folder, RayLine(actor), RayLine(actor))
        self._name, self._actor = name, actor
        _open.add(self)
        self._state = {
            "status": "queued", "message": "", "queue_position": 1, "done": False, "ending": False, "suggested_batch": None, "step": 0,
            "learning_rate": config.run.training.learning_rate,
        }  # fmt: skip

    def begin(self, patience: float) -> ClusterJob:
        """Follow the run from its start; if that takes more than ``patience`` seconds, later. Raises JobError when it cannot start."""
        first: ray.ObjectRef[bytes] = self._actor.first.remote()
        try:
            unpack_reply(ray.get(first, timeout=patience))
        except GetTimeoutError:
            threading.Thread(target=self._follow_later, args=(first,), name=f"wait for {self.config.name}", daemon=True).start()
            return self
        except JobError:
            ray.kill(self._actor)
            raise
        except (RayError, ConnectionError):
            raise LineLost from None
        self.follow()
        return self

    def close(self) -> None:
        super().close()
        _open.discard(self)

    def _follow_later(self, first: ray.ObjectRef) -> None:
        while not (self._closed or self.done):
            try:
                unpack_reply(ray.get(first))
                self.follow()
                return
            except (LineLost, RayError, ConnectionError):
                self._lose()
                first = self._actor.first.remote()
            except (JobError, ValueError, OSError) as error:  # that the actor reports
                self._end("failed", str(error))

    def _command(self, op: str, **arguments: Any) -> None:
        if self.status != "queued":
            super()._command(op, **arguments)
        elif op == "stop":
            self._end("stopped", "")  # first: who waits for the start takes the loss of the actor for a failure
            ray.kill(self._actor, no_restart=True)
        elif op != "resume":
            raise JobError(WAITING)

    def _lose(self) -> None:
        """Note that the run moves to another node and forget what comes again; unless the cluster has given it up."""
        if self.done or not self._exists():
            super()._lose()
            return
        with self._changed:
            self._rows, self._snapshots = [], {}
            self._state = self._state | {"status": "queued", "queue_position": 1, "message": MOVED}
            self._changed.notify_all()
        time.sleep(LOOK_AGAIN)

    def _exists(self) -> bool:
        try:
            ray.get_actor(self._name)
        except Exception:  # it does not exist, or nobody can be asked
            return False
        return True


_open = WeakSet[ClusterJob]()


@atexit.register  # later than Ray's own, and so called before it: a question after its end ends the program with an error
def _hang_up() -> None:
    """Ask nothing more; the runs go on."""
    jobs = list(_open)
    for job in jobs:
        job.close()
    for job in jobs:
        job.join_follower(2 * WAIT)
