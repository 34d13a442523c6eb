"""Work done once: everything slow on a page, keyed by the frozen configs that determine it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
import torch

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.data.bits import BitDataset
from dpm_core.data.images import ImageDataset
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.figures import rasters
from dpm_core.figures.palette import Role
from dpm_core.process import BinomialDiffusion, GaussianDiffusion
from dpm_core.reverse import EmpiricalBits, EmpiricalReverse
from dpm_core.samplers import SAMPLERS, Recording, record
from dpm_core.schedules import make_schedule
from pages.ui.components.player import Lines, pack
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.bits.bit_controls import bits_of as bits
from pages.ui.kinds.images.image_controls import ImageSource
from pages.ui.kinds.points import stages

Source = PlaneSource | ImageSource | BitSource


@dataclass(frozen=True)
class ModelRef:
    """A checkpoint by path and time of writing, so that a file rewritten is read again."""

    path: str
    modified: float

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """The reference to the file as it is now."""
        return cls(str(path), path.stat().st_mtime)


@st.cache_resource(max_entries=32, show_spinner=False)
def dataset(source: PlaneSource) -> PlaneDataset:
    """The data set of a source."""
    return source.dataset()


@st.cache_resource(max_entries=8, show_spinner=False)
def images(source: ImageSource) -> ImageDataset:
    """The image set of a source. Raises DataError where its files are missing: nothing is downloaded here."""
    return source.dataset()


@st.cache_resource(max_entries=64, show_spinner=False)
def diffusion(config: ScheduleConfig) -> GaussianDiffusion:
    """The diffusion of a schedule."""
    return GaussianDiffusion(make_schedule(config.name, config.T, **dict(config.params)))


@st.cache_resource(max_entries=32, show_spinner=False)
def flips(source: BitSource, config: ScheduleConfig) -> BinomialDiffusion:
    """The binomial diffusion of a source's bits under a schedule."""
    return BinomialDiffusion(make_schedule(config.name, config.T, **dict(config.params)), bits(source).rate)


@st.cache_resource(max_entries=16, show_spinner=False)
def exact_flips(source: BitSource, config: ScheduleConfig) -> EmpiricalBits:
    """The exact reverse kernel of a source's patterns, of a pool that of the pool."""
    return bits(source).exact_reverse(flips(source, config))


def process(source: Source, config: ScheduleConfig) -> GaussianDiffusion | BinomialDiffusion:
    """The diffusion that suits a source."""
    return flips(source, config) if isinstance(source, BitSource) else diffusion(config)


def data(source: Source) -> PlaneDataset | ImageDataset | BitDataset:
    """The data set of any source. Raises DataError."""
    if isinstance(source, BitSource):
        return bits(source)
    return images(source) if isinstance(source, ImageSource) else dataset(source)


@st.cache_resource(max_entries=16, show_spinner=False)
def model(ref: ModelRef) -> checkpoints.Checkpoint:
    """A loaded checkpoint. Raises CheckpointError."""
    return checkpoints.load(ref.path)


@st.cache_data(max_entries=32, show_spinner=False)
def contours(source: PlaneSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> Lines:
    """Contours of q(x⁽ᵗ⁾): they do not depend on the particles."""
    return stages.contours(exact(source, schedule), times)


@st.cache_data(max_entries=32, show_spinner=False)
def _information(source: PlaneSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> list[float]:
    """Information left about the start, in bits per frame, on draws of its own."""
    x0 = dataset(source).sample(1000, torch.Generator().manual_seed(21))
    with torch.inference_mode():
        return stages.information_left_bits(exact(source, schedule), x0, times, 22)


@st.cache_data(max_entries=16, show_spinner=False)
def forward(source: PlaneSource, schedule: ScheduleConfig, n: int, seed: int) -> tuple[bytes, Recording]:
    """The Forward page's payload, and the particles that it shows."""
    process = diffusion(schedule)
    x0 = dataset(source).sample(n, torch.Generator().manual_seed(seed))
    frames = min(process.T + 1, stages.MAX_FRAMES)
    few = stages.shown(n, frames, 2)
    with torch.inference_mode():
        chain = process.forward_steps(x0, torch.Generator().manual_seed(seed + 1))
        steps = record(chain, process.T + 1, frames, few)
        times = tuple(int(t) for t in steps.times)
        # one noise per particle: each frame is a fresh closed-form jump, the motion between frames is smooth
        noise = torch.randn(few, 2, generator=torch.Generator().manual_seed(seed + 2))
        q = (process.q_marginal(x0[:few], t) for t in times[1:])
        jumps = Recording(steps.times, np.stack([x0[:few].numpy(), *[(k.mean + k.stddev * noise).numpy() for k in q]]))
    gap = [stages.sliced(torch.from_numpy(a), torch.from_numpy(b[::-1].copy())) for a, b in zip(steps.x, jumps.x)]
    note = "" if few == n else f"{few:,} of {n:,} shown"
    lines, information = contours(source, schedule, times), _information(source, schedule, times)
    return pack(stages.forward_stage(steps, jumps, process, lines, information, gap, note)), steps


@st.cache_resource(max_entries=32, show_spinner=False)
def exact(source: PlaneSource, schedule: ScheduleConfig) -> EmpiricalReverse:
    """The exact reverse kernel of a source under a schedule."""
    return dataset(source).exact_reverse(diffusion(schedule))


@st.cache_data(max_entries=16, show_spinner=False)
def hero(ref: ModelRef, n: int = 4000) -> bytes:
    """The first page's picture: a checkpoint's particles on their way from noise to data and back."""
    loaded = model(ref)
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(4))
    T = loaded.diffusion.T
    path = record(SAMPLERS["probability_flow"](loaded.model, loaded.diffusion, x_T, steps=T), T + 1)
    times = [int(t) for t in path.times]
    panel = stages.Panel("roll", "learned", "model", path.x, "swiss roll, probability flow")
    stage = stages.Stage(
        (panel,), times, T, stages.LO, stages.HI, duration=6.0, autoplay=True, loop=True, direction="pingpong", colour="position",
        height="hero", name="dpm-roll", start=T,
    )  # fmt: skip
    return pack(stage)


@st.cache_data(max_entries=64, show_spinner=False)
def strip(source: PlaneSource, schedule: ScheduleConfig, seed: int, colour: str, size: int = 150) -> tuple[bytes, list[int]]:
    """The data at up to eight times under a schedule, as one transparent PNG, and those times."""
    process = diffusion(schedule)
    times = rasters.frame_numbers(process.T + 1, 8).tolist()
    x0 = dataset(source).sample(2500, torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed + 1)
    states = [x0 if t == 0 else process.q_sample(x0, t, noise) for t in times]
    return rasters.png(rasters.strip_image([x.numpy() for x in states], size, colour)), times


def trajectory_gif(panels: list[tuple[Recording, Role]], dark: bool) -> bytes:
    """The particles of a stage as a looping GIF, at most 61 frames of 4,000 particles."""
    keep = rasters.frame_numbers(len(panels[0][0].times), 61)
    return rasters.gif([(recording.x[keep, :4000], role) for recording, role in panels], dark)
