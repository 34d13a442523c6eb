"""Work that is done once for all sessions, by the frozen config that determines it: loaded checkpoints and processes.

What only one kind of data needs is cached in that kind's own modules.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from dpm_core.data import sources
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.schedules import Schedule, make_schedule

T = TypeVar("T")


@dataclass(frozen=True)
class ModelRef:
    """A checkpoint by its path and time of writing, so that a file written again is read again.

    ``label``: the class that a class-conditional model is given, with classifier-free guidance of weight ``guidance``.
    """

    path: str
    modified: float
    label: int | None = None
    guidance: float = 0.0

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """The reference to the file as it is now. Raises OSError."""
        return cls(str(path), path.stat().st_mtime)

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return Path(self.path).stem

    @property
    def python(self) -> str:
        """The Python that loads it."""
        given = "" if self.label is None else f".given({self.label}, {self.guidance:g})"
        return f"checkpoints.load({self.name!r}){given}"

    @property
    def python_class(self) -> str:
        """What follows a data set in Python, to leave that of the class."""
        return "" if self.label is None else f".of_class({self.label})"


class Once(Generic[T]):
    """A value that is made by whoever asks first, outside of Streamlit's caches, so that progress can be shown meanwhile.

    Keep it in a function under ``st.cache_resource``, by the config that determines it.
    """

    def __init__(self) -> None:
        self._lock, self._made = threading.Lock(), list[T]()

    def get(self, make: Callable[[], T]) -> T:
        """The value; others who ask meanwhile wait."""
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]


@st.cache_resource(max_entries=16, show_spinner=False)
def model(ref: ModelRef) -> checkpoints.Checkpoint:
    """A loaded checkpoint, its model that of the class if one is given. Raises CheckpointError, and ValueError for a wrong label."""
    if ref.label is None:
        return checkpoints.load(ref.path)
    return model(replace(ref, label=None, guidance=0.0)).given(ref.label, ref.guidance)


def data_of(ref: ModelRef) -> Any:
    """The data of a checkpoint, of the class only if one is given. Raises DataError where they are not on this machine."""
    loaded = model(replace(ref, label=None, guidance=0.0))
    found = sources.of_checkpoint(loaded.dataset, loaded.config.data)
    return found if ref.label is None else found.of_class(ref.label)


def gaussian(kernel: ReverseKernel) -> GaussianDiffusion:
    """The forward process of a kernel of points or of images, which is Gaussian."""
    return cast(GaussianDiffusion, kernel.diffusion)


@st.cache_data(max_entries=256, show_spinner=False)
def description(ref: ModelRef) -> tuple[RunConfig | None, tuple[int, ...]]:
    """A checkpoint's run and the shape of its images as its JSON file says; (None, ()) where that cannot be read."""
    try:
        header = checkpoints.read_header(Path(ref.path))
        return from_dict(RunConfig, header["config"]), tuple(header["data"].get("shape", ()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None, ()


def schedule(config: ScheduleConfig) -> Schedule:
    """The schedule of a config. Raises ScheduleError."""
    return make_schedule(config.name, config.T, **dict(config.params))


@st.cache_resource(max_entries=64, show_spinner=False)
def diffusion(config: ScheduleConfig) -> GaussianDiffusion:
    """The Gaussian diffusion of a schedule. Raises ScheduleError."""
    return GaussianDiffusion(schedule(config))
