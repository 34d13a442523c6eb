"""Where a worker process listens, and the connection to it."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

from torch import Tensor

from dpm_core.jobs.remote.messages import LineLost, Reply, pack, unpack_reply

ADDRESS_FILE = "worker.json"  # in a run's folder, while its worker lives


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


class SocketLine:
    """A connection to a worker process: one request at a time, each with its reply."""

    def __init__(self, place: Address):
        """Raises OSError, EOFError or AuthenticationError when nobody answers."""
        self._connection, self._lock = Client(place.address, authkey=place.key.encode()), threading.Lock()

    def ask(self, op: str, tensors: Mapping[str, Tensor] | None = None, /, **arguments: Any) -> Reply:
        """Return the reply to a request. Raises what the worker reports, and LineLost when it is gone."""
        with self._lock:
            try:
                self._connection.send_bytes(pack({"op": op, **arguments}, tensors))
                reply = self._connection.recv_bytes()
            except (OSError, EOFError):
                raise LineLost from None
        return unpack_reply(reply)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
