"""The Forward and Reverse pages with bits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.figures import image_sheets
from dpm_core.figures.palette import DATA, EXACT, MODEL, Role
from dpm_core.figures.rasters import frame_numbers
from pages.ui import cache, page
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_controls, bit_work
from pages.ui.kinds.bits.bit_controls import BitSource

USUAL_STEPS = 50
ROWS = (8, 16, 32, 64, 100, 200)
GIF_FRAMES = 61
MOST_STEPS = 1 << 23  # steps times patterns


def settings(source: BitSource) -> tuple[int, int, bool]:
    """(n, seed, whether pulses are aligned), from controls."""
    sequences = len(cache.bits(source).shape) == 1
    n = widgets.linked(st.select_slider, "Rows" if sequences else "Images", ROWS, 64 if sequences else 16, key=f"rows_{sequences:d}")
    help = "Turn every row so that the first 1 of its end stands first."
    align = sequences and widgets.linked(st.toggle, "Align first pulse", False, key="align", help=help)
    return n, widgets.seed(), bool(align)


def forward(source: BitSource, schedule: ScheduleConfig, how: tuple[int, int, bool]) -> None:
    """The player and what can be taken along. Raises DataError and ScheduleError."""
    n, seed, align = how
    with page.working("Flipping bits …"):
        shown = bit_work.forward(source, schedule, n, seed, align)
    player(shown.payload, key="forward")
    python = f"""import numpy as np
import torch
from dpm_core.data import uploads
from dpm_core.data.bits import make_bits
from dpm_core.process import BinomialDiffusion
from dpm_core.schedules import make_schedule

data = {bit_controls.python(source)}
diffusion = BinomialDiffusion({widgets.python_schedule(schedule)}, {cache.bits(source).rate:.6g})
x0 = data.sample({n}, torch.Generator().manual_seed({seed}))
trajectory = diffusion.forward_trajectory(x0, torch.Generator().manual_seed({seed + 1}))
print(trajectory.shape, trajectory.mean(-1)[:: max(1, diffusion.T // 5), 0])
print(diffusion.q_sample(x0, {schedule.T // 2}).shape)  # one jump to the middle
"""
    arrays = {"t": shown.times, "x": shown.x}
    page.take_along("dpm-forward", python, arrays, shown.numbers, partial(_gif, shown.x, DATA, st.context.theme.type == "dark"))


def reverse_settings(source: BitSource, schedule: ScheduleConfig) -> tuple[int, int, int, bool]:
    """(steps, n, seed, whether pulses are aligned), from controls."""
    options = sorted({s for s in (10, 20, 50, 100, 250, 500, 1000) if s < schedule.T} | {schedule.T})
    if bit_work.exact_at_hand(source):  # so many states times so many patterns can be waited for
        options = [s for s in options if s * len(cache.bits(source).patterns) <= MOST_STEPS] or options[:1]
    with st.container(key="steps"):
        help = "Fewer steps than T jump over times."
        steps = widgets.linked(
            st.select_slider,
            "Sampler steps",
            options,
            min(USUAL_STEPS, options[-1]),
            key=f"bit_steps_{schedule.T}_{len(options)}",
            help=help,
        )
    return (steps, *settings(source))


def reverse(ref: cache.ModelRef | None, source: BitSource, schedule: ScheduleConfig, how: tuple[int, int, int, bool]) -> None:
    """The player and what can be taken along. Raises DataError and ScheduleError."""
    steps, n, seed, _ = how
    with page.working("Sampling …"):
        shown = bit_work.reverse(ref, source, schedule, *how)
    player(shown.payload, key="reverse")
    if ref:
        made = f"""from dpm_core.checkpoints import load
from dpm_core.samplers import ancestral

loaded = load({Path(ref.path).stem!r})
model, shape = loaded.model, loaded.shape"""
    else:
        made = f"""from dpm_core.data import uploads
from dpm_core.data.bits import make_bits
from dpm_core.process import BinomialDiffusion
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

data = {bit_controls.python(source)}
diffusion = BinomialDiffusion({widgets.python_schedule(schedule)}, {cache.bits(source).rate:.6g})
model, shape = data.exact_reverse(diffusion), data.shape"""
    python = f"""import numpy as np
import torch
{made}
x_T = model.diffusion.start(({n}, *shape), torch.Generator().manual_seed({seed}))
*_, (t, x) = ancestral(model, model.diffusion, x_T, steps={steps}, generator=torch.Generator().manual_seed({seed + 1}))
print(x.int())
"""
    gif = partial(_gif, shown.x, MODEL if ref else EXACT, st.context.theme.type == "dark")
    page.take_along("dpm-reverse", python, {"t": shown.times, "x": shown.x}, shown.numbers, gif)


def _gif(x: np.ndarray, role: Role, dark: bool) -> bytes:
    """Bits ``[F, n, *shape]`` as a GIF in the role's colour."""
    x = x[frame_numbers(len(x), GIF_FRAMES)]
    pixels = x[:, None] if x.ndim == 3 else x[:, :, 0]
    return image_sheets.gif([image_sheets.tinted(pixels, role, dark)], dark)
