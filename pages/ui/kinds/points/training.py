"""The Train page with points: the stage of a run, one step in detail, and what K is compared with."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.config import ScheduleConfig
from dpm_core.figures.palette import DATA, INK, MODEL, NOISE
from dpm_core.figures.rasters import PLANE, grid
from dpm_core.measure.bound import NATS_PER_BIT, evaluate_bound
from dpm_core.reverse import ReverseKernel
from pages.ui import cache, session
from pages.ui.components.player import Arrows, Lines, Panel, Stage, pack
from pages.ui.kinds import snapshots
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource
from pages.ui.kinds.records import ReferenceValues, Version

POINTS = 1000  # shown of a snapshot
ARROWS = 13  # a side: every version has a field of its own
CAPTION = (
    "The [contours](contours) show the exact density of the data at t. The [drift](drift) is the mean step of the learned kernel: "
    "during training it bends from the centre towards the data."
)
BACKGROUND_POINTS = 150


def drift(kernel: ReverseKernel, times: Sequence[int]) -> np.ndarray:
    """Ends of the drift's arrows at each of the times, ``[F, m, 2]``."""
    return stages.drift(kernel, times, "drift", "drift", "model", ARROWS).end


def stage(source: PointSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str) -> bytes:
    """Samples of every snapshot beside the data at the same t."""
    process, contours = cache.diffusion(schedule), cached.contours(source, schedule, tuple(times))
    chosen, moments, frames, n = snapshots.reduced(versions, times, POINTS, 4)
    samples = snapshots.stacked(chosen, frames, n)
    truth = snapshots.noised(cached.held_out(source)[:n], moments, process)
    panels = (
        Panel("samples", label, "model", samples, "same noise", _layers(chosen, contours)),
        Panel("data", "data", "data", truth, "at the same t", (contours,)),
    )
    return pack(
        Stage(
            panels, moments, process.T, stages.LO, stages.HI, caption=snapshots.CAPTION + CAPTION, on=("contours",), duration=4.0,
            name="dpm-train", start=0, versions=[version.label for version in chosen],
        )
    )  # fmt: skip


def _layers(versions: Sequence[Version], contours: Lines) -> tuple:
    known = [version.drift for version in versions if version.drift is not None]
    if not known:
        return (contours,)
    missing = np.full_like(known[0], np.nan)
    ends = np.stack([missing if version.drift is None else version.drift for version in versions])
    return contours, Arrows("drift", "drift", "model", grid(ARROWS, 0.94 * PLANE), ends)


@st.cache_data(max_entries=32, show_spinner=False)
def reference_values(source: PointSource, schedule: ScheduleConfig) -> ReferenceValues:
    """L_null and the best K with Gaussian steps, on the held-out points."""
    x0, process = cached.held_out(source), cache.diffusion(schedule)
    baseline = float(process.prior(tuple(x0.shape)).log_prob(x0).flatten(1).sum(1).mean()) / NATS_PER_BIT
    kernel, few = cached.exact(source, schedule), x0[: cached.points_for_a_second(schedule.T)]
    best = evaluate_bound(kernel, process, few, torch.Generator().manual_seed(12))
    per_time = tuple(range(2, schedule.T + 1)), tuple((best.kl_nats / NATS_PER_BIT).tolist())
    return ReferenceValues("bits", 1.0, baseline, "points", best.bound_bits, "best K with Gaussian steps", per_time)


def single_step_rows(seen: jobs.StepDetails, source: PointSource) -> str:
    """One small plot for each datum: the target, the network's input and its output with its standard deviation."""
    dark = session.is_dark()
    ink, blue, red, quiet = (role.dark if dark else role.light for role in (INK, DATA, MODEL, NOISE))
    behind = "".join(_dot(point, 0.035, ink, 0.3) for point in cached.held_out(source)[:BACKGROUND_POINTS].numpy())
    width = seen.variance.mean(1).sqrt().tolist()
    cells = ["<span>Blue: target x⁽⁰⁾. Grey: input x⁽ᵗ⁾. Red: output, with a ring of one standard deviation.</span>"]
    for x0, xt, answer, deviation in zip(seen.x0.numpy(), seen.xt.numpy(), seen.prediction.numpy(), width):
        lines = _line(x0, xt, ink) + _line(xt, answer, ink)
        ring = f'<circle cx="{answer[0]:.3f}" cy="{-answer[1]:.3f}" r="{deviation:.3f}" fill="none" stroke="{red}" stroke-width="0.09"/>'
        dots = _dot(xt, 0.14, quiet) + _dot(x0, 0.17, blue) + _dot(answer, 0.14, red)
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2.6 -2.6 5.2 5.2">{behind}{lines}{ring}{dots}</svg>'
        # as an image: the page's sanitiser removes drawings from HTML
        data = base64.b64encode(svg.encode()).decode()
        cells.append(f'<img src="data:image/svg+xml;base64,{data}" alt="target, input and output of the network" class="plane">')
    return "".join(cells)


def _dot(point: np.ndarray, radius: float, colour: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{point[0]:.3f}" cy="{-point[1]:.3f}" r="{radius}" fill="{colour}" opacity="{opacity}"/>'


def _line(a: np.ndarray, b: np.ndarray, ink: str) -> str:
    return f'<path d="M{a[0]:.3f} {-a[1]:.3f}L{b[0]:.3f} {-b[1]:.3f}" stroke="{ink}" stroke-opacity="0.35" stroke-width="0.05"/>'
