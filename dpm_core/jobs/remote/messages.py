"""What a program and a worker say to each other: JSON with tensors. No pickle of either side is sent or read."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import load, save
from torch import Tensor

from dpm_core.checkpoints import CheckpointError
from dpm_core.config import RunConfig
from dpm_core.data.errors import DataError
from dpm_core.data.kinds import DATA_KINDS, kind_of, kind_of_dataset, register
from dpm_core.files import in_words
from dpm_core.jobs.config import JobError
from dpm_core.jobs.order import Order

UNNAMED = "unnamed"  # of a checkpoint on its way
LENGTH = 8  # bytes that hold the length of the JSON
ERRORS = {error.__name__: error for error in (JobError, CheckpointError, DataError, OSError, ValueError)}
Head = dict[str, Any]
Reply = tuple[Head, dict[str, Tensor]]


class Line(Protocol):
    """A connection to a worker. Safe to use from any thread."""

    def ask(self, op: str, tensors: Mapping[str, Tensor] | None = None, /, **arguments: Any) -> Reply:
        """Return the reply to a request. Raises what the worker reports, and LineLost when it is gone."""

    def close(self) -> None:
        """Hang up."""


class LineLost(JobError):
    """The worker is gone."""

    def __init__(self) -> None:
        super().__init__("The process of this run has ended, and its latest weights with it; resume the run first.")


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
    return pack({"error": in_words(error), "kind": kind})


def unpack_reply(message: bytes) -> Reply:
    """JSON and tensors of a reply. Raises what the worker reports."""
    head, tensors = unpack(message)
    if "error" in head:
        raise ERRORS.get(str(head.get("kind")), JobError)(head["error"])
    return head, tensors


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
