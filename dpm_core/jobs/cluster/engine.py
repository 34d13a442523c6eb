"""Jobs as detached actors of a Ray cluster, which queues them and restarts them on another node; every connected program finds them."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import ray
from ray.exceptions import RayError
from torch import Tensor

from dpm_core.config import from_dict
from dpm_core.jobs.cluster import tasks
from dpm_core.jobs.cluster.actor import RunActor
from dpm_core.jobs.cluster.job import AT_ONCE, SOON, Actor, ClusterJob
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.order import InitialWeights, Order, T
from dpm_core.jobs.remote.messages import Head, pack, unpack_reply
from dpm_core.jobs.remote.orders import resume_request, start_request
from dpm_core.jobs.storage.addresses import folder_at
from dpm_core.jobs.storage.run_folder import RunFolder

NAMESPACE = "dpm-explorer"
CLIENT_PORT = 10001  # where Ray listens unless told otherwise
REQUESTS_AT_ONCE = 64  # to one actor; each program that watches it always has one open
PRIVATE = ("DPM_SECRET", "DPM_LECTURER")  # stay with the app
PIECE = 65_536  # bytes of an order that Ray keeps with the actor, to start it again when this program is gone
REACHED_WITHIN = 2.0  # seconds for a connection to a cluster elsewhere
TRY_AGAIN = 10.0  # seconds during which a cluster that could not be reached is not tried again
FOUND_WITHIN = 1.0  # seconds that a new actor has to say what it trains; one that waits for a place cannot say it


class Named(NamedTuple):
    """What the name of an actor says."""

    created: str
    id: str
    run: str

    def __str__(self) -> str:
        return " ".join(self)


class RayEngine:
    """Starts an actor for each job. ``address``: "auto", or "ray://HOST:PORT" of a cluster elsewhere."""

    def __init__(self, address: str):
        self._address, self._connecting = address, threading.Lock()
        self._failed, self._failure = -math.inf, ""  # when and why it could not be reached
        self._asked: dict[str, ray.ObjectRef] = {}  # what each actor that is not known yet has been asked about itself

    def start(self, config: JobConfig, order: Order, initial: InitialWeights | None = None) -> ClusterJob:
        """Start a new run, or have it wait for a place. Raises JobError."""
        return self._begun(config, order, *start_request(config, order, initial))

    def resume(self, order: Order, stop: Stop | None = None) -> ClusterJob:
        """Resume a run from its last saved state. Raises JobError."""
        config, _ = RunFolder(order.folder).read_header()
        return self._begun(config, order, *resume_request(config, order, stop))

    def _begun(self, config: JobConfig, order: Order, head: Head, tensors: dict[str, Tensor]) -> ClusterJob:
        self._connect()
        places = {"num_cpus": config.threads or 1, "num_gpus": int(config.device == "cuda")}
        self._check(places)
        self._end_earlier(config.name)
        name, message = Named(f"{time.time_ns():020d}", secrets.token_hex(6), config.name), pack(head, tensors)
        own = {name: value for name, value in os.environ.items() if name.startswith("DPM_") and name not in PRIVATE}
        make = ray.remote(RunActor).options(
            name=str(name), namespace=NAMESPACE, lifetime="detached", max_restarts=-1, max_concurrency=REQUESTS_AT_ONCE, **places
        )
        actor: Actor = make.remote(name.id, own, *(message[i : i + PIECE] for i in range(0, len(message), PIECE)))
        free = ray.available_resources().get("CPU", 0) >= places["num_cpus"]
        return ClusterJob(name.id, config, order.folder, str(name), actor).begin(AT_ONCE if free else SOON)

    def _check(self, places: dict[str, int]) -> None:
        """Raise JobError for what the whole cluster does not have."""
        available = ray.cluster_resources()
        for kind, word in (("num_gpus", "GPU"), ("num_cpus", "CPU")):
            if available.get(word, 0) < places[kind]:
                raise JobError(f"The cluster has {available.get(word, 0):.0f} {word}s and this run needs {places[kind]}.")

    def _end_earlier(self, run: str) -> None:
        """Remove the actor of an ended run of this name. Raises JobError when there is one that has not ended."""
        for name in self._names():
            if name.run == run:
                actor: Actor = ray.get_actor(str(name), NAMESPACE)
                try:
                    about = ray.get(actor.ask.remote(pack({"op": "about"})), timeout=FOUND_WITHIN)
                    done = unpack_reply(about)[0]["done"]
                except (RayError, JobError):
                    done = False
                if not done:
                    raise JobError(f"A run named {run!r} is still training; stop it first, or choose another name.")
                ray.kill(actor, no_restart=True)

    def warm_up(self) -> None:
        """Connect to the cluster in the background."""
        threading.Thread(target=self._try_to_connect, daemon=True).start()

    def running(self, root: Path, known: set[str]) -> list[Job]:
        """The jobs of the cluster that other programs, or this one before a restart, have started."""
        try:
            return self._running(root, known) if self._try_to_connect() else []
        except (RayError, ConnectionError, ValueError):  # an actor has ended just now, or the connection is lost
            return []

    def _running(self, root: Path, known: set[str]) -> list[Job]:
        strange = {name.id: name for name in self._names() if name.id not in known}
        new = [name for name in strange.values() if name.id not in self._asked]
        for name in new:
            self._asked[name.id] = ray.get_actor(str(name), NAMESPACE).ask.remote(pack({"op": "about"}))
        self._asked = {id: ref for id, ref in self._asked.items() if id in strange}
        answered: list[Any] = []
        if self._asked:
            answered, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=FOUND_WITHIN if new else 0)
        found: list[Job] = []
        for id in [id for id, ref in self._asked.items() if ref in answered]:
            try:
                about, _ = unpack_reply(ray.get(self._asked.pop(id)))
                folder = folder_at(about["folder"])
                if folder.parent.resolve() == root.resolve():
                    actor = ray.get_actor(str(strange[id]), NAMESPACE)
                    found.append(ClusterJob(id, from_dict(JobConfig, about["config"]), folder, str(strange[id]), actor).begin(AT_ONCE))
            except (RayError, JobError, ValueError, OSError):
                pass  # it has ended just now, or could not start
        return found

    def devices(self) -> tuple[str, ...]:
        """The devices of the whole cluster."""
        return ("cpu", "cuda") if self._try_to_connect() and ray.cluster_resources().get("GPU", 0) else ("cpu",)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)`` on a node; here, if the cluster cannot do it."""
        return tasks.call(function, *args) if self._try_to_connect() else function(*args)

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        """What ``function(*args)`` yields on a node; here, if the cluster cannot do it."""
        return tasks.stream(function, *args) if self._try_to_connect() else function(*args)

    def _names(self) -> list[Named]:
        """The actors of all jobs, in the order in which they were started."""
        names = [entry["name"].split(" ") for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE]
        return sorted(Named(*parts) for parts in names if len(parts) == 3)

    def _connect(self) -> None:
        """Raises JobError."""
        with self._connecting:
            if ray.is_initialized():
                return
            if time.monotonic() < self._failed + TRY_AGAIN:
                raise JobError(self._failure)
            try:
                self._probe()
                ray.shutdown()  # what is left of a lost connection
                ray.init(self._address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray's own, of the network, or of a wrong address
                line = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
                self._failed, self._failure = time.monotonic(), f"The cluster {self._address} cannot be reached ({line})."
                raise JobError(self._failure) from None

    def _probe(self) -> None:
        """See whether somebody listens; Ray itself would try for half a minute. Raises OSError or ValueError."""
        place = urlsplit(self._address)
        if place.scheme == "ray":
            socket.create_connection((place.hostname, place.port or CLIENT_PORT), REACHED_WITHIN).close()

    def _try_to_connect(self) -> bool:
        try:
            self._connect()
        except JobError:
            return False
        return True
