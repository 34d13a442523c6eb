"""What is computed once of points under a schedule: the exact kernel, contours, information, held-out data, pictures."""

from __future__ import annotations

import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures import rasters
from dpm_core.figures.palette import Role
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import Recording
from pages.ui import cache
from pages.ui.components.player import Lines
from pages.ui.kinds.points import stages
from pages.ui.kinds.points.source import PointSource, dataset

HELD_OUT = 2000  # points by which K of a run is measured


@st.cache_resource(max_entries=32, show_spinner=False)
def exact(source: PointSource, schedule: ScheduleConfig) -> EmpiricalReverse:
    """The exact reverse kernel of a source under a schedule. Raises DataError, ScheduleError."""
    return dataset(source).exact_reverse(cache.diffusion(schedule))


@st.cache_data(max_entries=32, show_spinner=False)
def contours(source: PointSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> Lines:
    """Contours of q(x⁽ᵗ⁾), which do not depend on the particles."""
    return stages.contours(exact(source, schedule), times)


@st.cache_data(max_entries=32, show_spinner=False)
def information_left(source: PointSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> list[float]:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) in bits at each time, by Monte Carlo on draws of its own."""
    x0 = dataset(source).sample(1000, torch.Generator().manual_seed(21))
    with torch.inference_mode():
        return stages.information_left_bits(exact(source, schedule), x0, times, 22)


@st.cache_resource(max_entries=16, show_spinner=False)
def held_out(source: PointSource) -> torch.Tensor:
    """Points that no step trains on, by which K of a run is measured."""
    return dataset(source).sample(HELD_OUT, torch.Generator().manual_seed(11))


def points_for_a_second(T: int) -> int:
    """The number of points whose bound under T steps takes about a second."""
    return max(200, min(2000, 80_000 // T))


def fresh_points(source: PointSource, T: int) -> torch.Tensor:
    """Fresh points for a bound that takes about a second."""
    return dataset(source).sample(points_for_a_second(T), torch.Generator().manual_seed(11))


@st.cache_data(max_entries=64, show_spinner=False)
def strip(source: PointSource, schedule: ScheduleConfig, seed: int, colour: str, size: int = 150) -> tuple[bytes, list[int]]:
    """The data at up to eight times under a schedule, as one transparent PNG, and those times."""
    process = cache.diffusion(schedule)
    times = rasters.frame_numbers(process.T + 1, 8).tolist()
    x0 = dataset(source).sample(2500, torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed + 1)
    states = [x0 if t == 0 else process.q_sample(x0, t, noise) for t in times]
    return rasters.png(rasters.strip_image([x.numpy() for x in states], size, colour)), times


def trajectory_gif(panels: list[tuple[Recording, Role]], dark: bool) -> bytes:
    """The particles of a stage as a looping GIF of at most 61 frames and 4,000 particles."""
    keep = rasters.frame_numbers(len(panels[0][0].times), 61)
    return rasters.gif([(recording.x[keep, :4000], role) for recording, role in panels], dark)
