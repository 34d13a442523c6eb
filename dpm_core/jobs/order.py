"""What a run is started or resumed with, and what carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.files import in_words
from dpm_core.jobs.config import JobConfig, JobError, Stop
from dpm_core.jobs.job import Job
from dpm_core.jobs.storage.run_folder import RunFolder

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Order:
    """The folder and the data of a run.

    ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``; ``held_out`` ``[N, ...]``; ``groups``
    ``[N]`` numbers what is independent among the held-out data. A ``paused`` run waits for ``resume`` or ``step_once``.
    """

    folder: Path
    dataset: Any
    held_out: Tensor
    groups: Tensor | None = None
    paused: bool = False


class InitialWeights(NamedTuple):
    """The weights that a run starts with. ``source``: {"checkpoint": name} or {"run": name}."""

    source: dict[str, str]
    tensors: dict[str, Tensor]


class Engine(Protocol):
    """Where jobs train: a thread of this process, a process of their own, or a cluster."""

    def start(self, config: JobConfig, order: Order, initial: InitialWeights | None) -> Job:
        """Start a new run. Raises JobError."""

    def resume(self, order: Order, stop: Stop | None) -> Job:
        """Resume the run in a folder, with other stopping conditions if given. Raises JobError."""

    def warm_up(self) -> None:
        """Prepare for a job to start quickly, and return at once."""

    def devices(self) -> tuple[str, ...]:
        """Where networks can train: "cpu" and, if present, "cuda" or "mps"."""

    def running(self, root: Path, known: set[str]) -> list[Job]:
        """The jobs of runs in ``root`` that train without being known to this program, whose ids are ``known``."""

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)``, computed where there is a processor for it. It must need nothing but its arguments."""

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        """The same for what ``function(*args)`` yields. Closing it ends the work."""


class ComputesHere:
    """An engine whose heavy work is done by the program itself."""

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)``."""
        return function(*args)

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        """What ``function(*args)`` yields."""
        return function(*args)


def read_initial_weights(source: Path | Checkpoint) -> InitialWeights:
    """Read the weights of a checkpoint, or the averaged ones of a run's folder. Raises CheckpointError, JobError, OSError."""
    if not isinstance(source, Checkpoint) and Path(source).is_dir():
        folder = RunFolder(Path(source))
        folder.fetch()
        state = folder.read_state() or {}
        weights = {k.removeprefix("average."): v for k, v in state.items() if k.startswith("average.")}
        return InitialWeights({"run": Path(source).name}, weights)
    found = source if isinstance(source, Checkpoint) else checkpoints.load(source)
    return InitialWeights({"checkpoint": found.name}, found.model.state_dict())


def own_devices() -> tuple[str, ...]:
    """The devices of this machine."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(name for name, present in available.items() if present)


@contextmanager
def errors_in_one_sentence() -> Iterator[None]:
    """Turn every error into a JobError of one sentence."""
    try:
        yield
    except JobError:
        raise
    except torch.OutOfMemoryError:
        raise JobError("The data or the network do not fit into this device's memory; choose a smaller batch or network.") from None
    except OSError as error:
        raise JobError(in_words(error)) from None
    except (ValueError, TypeError, KeyError) as error:
        line = in_words(error)
        raise JobError(line if line.endswith(".") else f"{line}.") from None
