"""Work that is done once for all sessions, by the frozen config that determines it: loaded checkpoints and processes.

What only one kind of data needs is cached in that kind's own modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.schedules import Schedule, make_schedule


@dataclass(frozen=True)
class ModelRef:
    """A checkpoint by its path and time of writing, so that a file written again is read again."""

    path: str
    modified: float

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """The reference to the file as it is now. Raises OSError."""
        return cls(str(path), path.stat().st_mtime)

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return Path(self.path).stem


@st.cache_resource(max_entries=16, show_spinner=False)
def model(ref: ModelRef) -> checkpoints.Checkpoint:
    """A loaded checkpoint. Raises CheckpointError."""
    return checkpoints.load(ref.path)


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
