"""The Forward page with bits: the chain, and the posterior of its start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.figures import image_sheets
from dpm_core.figures.palette import DATA, Role
from dpm_core.figures.rasters import frame_numbers
from pages.ui import session
from pages.ui.controls import widgets
from pages.ui.controls.schedule import python_schedule
from pages.ui.kinds.bits import recordings, source
from pages.ui.kinds.bits.source import BitSource, dataset, is_sequence
from pages.ui.kinds.records import Export, Playback, Snippet

ROWS = (8, 16, 32, 64, 100, 200)
GIF_FRAMES = 61


@dataclass(frozen=True)
class BitSettings:
    """How many rows or images, their seed, and whether each row is shifted so that its first 1 comes first."""

    n: int
    seed: int
    align: bool


def controls(source: BitSource) -> BitSettings:
    """The settings, from controls."""
    sequences = is_sequence(source)
    n = session.bind(st.select_slider, "Rows" if sequences else "Images", ROWS, 64 if sequences else 16, key=f"rows_{sequences:d}")
    help = "Shift every row so that the first 1 of its final state comes first."
    align = sequences and session.bind(st.toggle, "Align first pulse", False, key="align", help=help)
    return BitSettings(n, widgets.seed(), bool(align))


def playback(source: BitSource, schedule: ScheduleConfig, settings: BitSettings) -> Playback:
    """The stage and what can be downloaded. Raises DataError, ScheduleError."""
    shown = recordings.forward(source, schedule, settings.n, settings.seed, settings.align)
    made = snippet(source, schedule)
    python = f"""import numpy as np
import torch
{made.imports}

{made.statements}
x0 = data.sample({settings.n}, torch.Generator().manual_seed({settings.seed}))
trajectory = diffusion.forward_trajectory(x0, torch.Generator().manual_seed({settings.seed + 1}))
print(trajectory.shape, trajectory.mean(-1)[:: max(1, diffusion.T // 5), 0])
print(diffusion.q_sample(x0, {schedule.T // 2}).shape)  # one jump to t = T/2
"""
    gif = partial(animation, shown.x, DATA, session.is_dark())
    return Playback(shown.payload, Export("dpm-forward", python, {"t": shown.times, "x": shown.x}, shown.numbers, gif))


def snippet(chosen: BitSource, schedule: ScheduleConfig) -> Snippet:
    """The Python that makes the bits and their diffusion."""
    return Snippet(
        "import numpy as np\nfrom dpm_core.data import uploads\nfrom dpm_core.data.bits import make_bits\n"
        "from dpm_core.process import BinomialDiffusion\nfrom dpm_core.schedules import make_schedule",
        f"data = {source.python(chosen)}\ndiffusion = BinomialDiffusion({python_schedule(schedule)}, {dataset(chosen).rate:.6g})",
    )


def animation(x: np.ndarray, role: Role, dark: bool) -> bytes:
    """Bits ``[F, n, *shape]`` as a GIF in the role's colour."""
    x = x[frame_numbers(len(x), GIF_FRAMES)]
    pixels = x[:, None] if x.ndim == 3 else x[:, :, 0]
    return image_sheets.gif([image_sheets.tinted(pixels, role, dark)], dark)
