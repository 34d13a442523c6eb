"""What a program and a worker process say to each other: JSON with tensors. No pickle is sent or read."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from dpm_core.checkpoints import CheckpointError
from dpm_core.config import RunConfig
from dpm_core.data.errors import DataError
from dpm_core.data.kinds import DATA_KINDS, kind_of, kind_of_dataset, register
from dpm_core.jobs.config import JobError
from dpm_core.jobs.order import Order

LENGTH = 8  # bytes that hold the length of the JSON
ADDRESS_FILE = "worker.json"  # in a run's folder, while its worker lives
ERRORS = {error.__name__: error for error in (JobError, CheckpointError, DataError, OSError, ValueError)}
Head = dict[str, Any]
Reply = tuple[Head, dict[str, Tensor]]


@dataclass(frozen=True)
class Address:
    """Where a worker process listens, and the key that proves the right to talk to it."""

    address: str
    key: str
    pid: int = 0
    id: str = ""  # of its job

    def write(self, folder: Path) -> None:
        """Note the address in the run's folder, for its owner alone. Raises OSError."""
        handle, name = tempfile.mkstemp(prefix=f".{ADDRESS_FILE}-", dir=folder)  # readable by its owner alone
        with open(handle, "w") as file:
            json.dump(asdict(self), file)
        os.replace(name, folder / ADDRESS_FILE)

    @classmethod
    def read(cls, folder: Path) -> Address | None:
        """The address noted in a run's folder, or None."""
        try:
            found = json.loads((folder / ADDRESS_FILE).read_text())
            return cls(str(found["address"]), str(found["key"]), int(found["pid"]), str(found["id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Line:
    """A connection to a worker: one request at a time, each with its reply. Safe to use from any thread."""

    def __init__(self, place: Address):
        """Raises OSError, EOFError or AuthenticationError when nobody answers."""
        self._connection, self._lock = Client(place.address, authkey=place.key.encode()), threading.Lock()

    def ask(self, op: str, tensors: Mapping[str, Tensor] | None = None, **arguments: Any) -> Reply:
        """Return the reply to a request. Raises what the worker reports, and LineLost when it is gone."""
        with self._lock:
            try:
                self._connection.send_bytes(pack({"op": op, **arguments}, tensors))
                reply = unpack(self._connection.recv_bytes())
            except (OSError, EOFError):
                raise LineLost("The process of this run has ended, and its latest weights with it; resume the run first.") from None
        if "error" in reply[0]:
            raise ERRORS.get(str(reply[0].get("kind")), JobError)(reply[0]["error"])
        return reply

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class LineLost(JobError):
    """The worker process is gone."""


def pack(head: Head, tensors: Mapping[str, Tensor] | None = None) -> bytes:
    """A message as bytes."""
    text = json.dumps(head).encode()
    return len(text).to_bytes(LENGTH, "little") + text + save({k: v.detach().cpu().contiguous() for k, v in (tensors or {}).items()})


def unpack(message: bytes) -> Reply:
    """JSON and tensors of a message."""
    end = LENGTH + int.from_bytes(message[:LENGTH], "little")
    return json.loads(message[LENGTH:end]), load(message[end:])


def error_reply(error: Exception) -> bytes:
    """The reply to a request that failed."""
    kind = next((name for name, known in ERRORS.items() if isinstance(error, known)), "JobError")
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return pack({"error": line, "kind": kind})


def pack_data(run: RunConfig, order: Order) -> Reply:
    """The data of a run: by name where they can be made again, otherwise their tensors."""
    tensors = {"held_out": order.held_out} | ({} if order.groups is None else {"groups": order.groups})
    if isinstance(order.dataset, Tensor):
        return {}, tensors | {"dataset": order.dataset}
    kind = kind_of_dataset(order.dataset) or kind_of(run.data.name)
    about = {"constants": kind.constants(order.dataset), "kind": [kind.name, type(kind).__module__, type(kind).__name__]}
    return about, tensors | kind.tensors(run.data, order.dataset)


def unpack_data(folder: Path, paused: bool, run: RunConfig, about: Head, tensors: dict[str, Tensor]) -> Order:
    """The order whose data ``pack_data`` has packed. Raises DataError, KeyError, TypeError or ValueError."""
    dataset = tensors.get("dataset")
    if dataset is None:
        name, module, of = about["kind"]
        if name not in DATA_KINDS:  # one that only the program has entered
            register(getattr(importlib.import_module(module), of)())
        kind = kind_of(run.data.name)
        dataset = kind.of_checkpoint(kind.rebuild(run.data, about["constants"], tensors), run.data)
    return Order(folder, dataset, tensors["held_out"], tensors.get("groups"), paused)
