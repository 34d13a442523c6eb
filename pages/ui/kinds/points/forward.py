"""The Forward page with points: the chain step by step, and the closed-form jump beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.palette import DATA
from dpm_core.samplers import Recording, record
from pages.ui import cache, session
from pages.ui.components.player import pack
from pages.ui.controls import widgets
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource, dataset
from pages.ui.kinds.records import Export, Playback, Snippet


@dataclass(frozen=True)
class ForwardSettings:
    """How many particles, and their seed."""

    n: int
    seed: int


def controls() -> ForwardSettings:
    """The settings, from controls."""
    return ForwardSettings(widgets.particles(), widgets.seed())


@st.cache_data(max_entries=16, show_spinner=False)
def recorded(source: PointSource, schedule: ScheduleConfig, settings: ForwardSettings) -> tuple[bytes, Recording]:
    """The packed stage, and the particles in it."""
    process, n, seed = cache.diffusion(schedule), settings.n, settings.seed
    x0 = dataset(source).sample(n, torch.Generator().manual_seed(seed))
    frames = min(process.T + 1, stages.MAX_FRAMES)
    few = stages.shown(n, frames, 2)
    with torch.inference_mode():
        chain = process.forward_steps(x0, torch.Generator().manual_seed(seed + 1))
        steps = record(chain, process.T + 1, frames, few)
        times = tuple(int(t) for t in steps.times)
        # one noise per particle: each frame is a fresh closed-form jump, and the motion between frames is smooth
        noise = torch.randn(few, 2, generator=torch.Generator().manual_seed(seed + 2))
        q = (process.q_marginal(x0[:few], t) for t in times[1:])
        jumps = Recording(steps.times, np.stack([x0[:few].numpy(), *[(k.mean + k.stddev * noise).numpy() for k in q]]))
    gap = [stages.sliced(torch.from_numpy(a), torch.from_numpy(b[::-1].copy())) for a, b in zip(steps.x, jumps.x)]
    note = "" if few == n else f"{few:,} of {n:,} shown"
    lines, information = cached.contours(source, schedule, times), cached.information_left(source, schedule, times)
    return pack(stages.forward_stage(steps, jumps, process, lines, information, gap, note)), steps


def playback(source: PointSource, schedule: ScheduleConfig, settings: ForwardSettings, made: Snippet) -> Playback:
    """The stage and what can be downloaded. Raises DataError, ScheduleError."""
    payload, steps = recorded(source, schedule, settings)
    times = steps.times.tolist()
    t, curves = torch.tensor(times), cache.schedule(schedule)
    python = f"""import torch
{made.imports}
{made.statements}
x0 = data.sample({settings.n}, torch.Generator().manual_seed({settings.seed}))
trajectory = diffusion.forward_trajectory(x0, torch.Generator().manual_seed({settings.seed + 1}))
print(trajectory.shape)  # T + 1 states, step by step
print(diffusion.q_sample(x0, {schedule.T // 2}).shape)  # one jump to t = T/2
"""
    table = {name: getattr(curves, name)(t).tolist() for name in ("beta", "alpha_bar", "log_snr")} | {"t": times}
    gif = partial(cached.trajectory_gif, [(steps, DATA)], session.is_dark())
    return Playback(payload, Export("dpm-forward", python, {"t": steps.times, "x": steps.x}, table, gif))
