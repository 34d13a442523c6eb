"""One optimiser step in slow motion: what the network was shown, what it should have said and what it said."""

from __future__ import annotations

import base64

import numpy as np
import streamlit as st

from dpm_core import jobs
from dpm_core.figures import rasters
from dpm_core.figures.palette import DATA, MODEL, NOISE, Role
from pages.ui import cache, session
from pages.ui.training.run_setup import Setup, held_out
from pages.ui.training.snapshot_stage import grey

_TABLE = """<style>
.dpm-step { display: grid; grid-template-columns: 7.5rem repeat(%(n)d, minmax(2.6rem, 5.5rem)); gap: 0.35rem 0.5rem; align-items: center;
  overflow-x: auto; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
.dpm-step > span { opacity: 0.74; line-height: 1.25; }
.dpm-step > i { font-style: normal; text-align: center; }
.dpm-step img { width: 100%%; image-rendering: pixelated; border-radius: 3px; display: block; }
.dpm-step img.plane { image-rendering: auto; border: 1px solid color-mix(in srgb, currentColor 14%%, transparent); border-radius: 6px; }
</style><div class="dpm-step">%(cells)s</div>"""
INK = Role("#1d2330", "#e8eaee")
_AROUND = 150  # points of the data drawn behind


def show(made: Setup, job: jobs.Job) -> None:
    """The last single step of a run, as long as the run stands still after it."""
    seen = job.last_step
    if seen is None or seen.step != job.step or job.status in ("queued", "running"):
        return
    clip = job.config.run.training.clip
    cut = f", cut to {clip:g}" if seen.gradient_norm > clip else ""
    st.markdown(f"**Step {seen.step:,} in slow motion**")
    st.html(_points(seen, made) if made.kind == "plane" else _images(seen, made))
    st.caption(
        f"Of each batch of {job.config.run.training.batch}, these are {len(seen.t)}. The loss is the mean over the batch, "
        f"{seen.loss:.3g} nats per dimension; its gradient over all weights has length {seen.gradient_norm:.3g}{cut}. "
        f"Every weight then moves a little against it, at learning rate {job.learning_rate:g}."
    )


def _images(seen: jobs.StepDetails, made: Setup) -> str:
    spec = cache.data(made.source).spec
    rows = {"Data x⁽⁰⁾, the target": seen.x0, "With noise, x⁽ᵗ⁾": seen.xt, "The network’s answer": seen.prediction}
    cells = _head(seen)
    for title, x in rows.items():
        cells.append(f"<span>{title}</span>")
        shown = grey(x.numpy(), spec)
        shown = shown.repeat(max(1, shown.shape[2] // 5), 1) if shown.shape[1] == 1 else shown  # a row of bits as a band
        cells += [f'<img src="{session.data_uri(rasters.png(picture))}" alt="{title}">' for picture in shown]
    return _TABLE % {"n": len(seen.t), "cells": "".join([*cells, *_foot(seen)])}


def _points(seen: jobs.StepDetails, made: Setup) -> str:
    dark = st.context.theme.type == "dark"
    ink, blue, red, quiet = (role.dark if dark else role.light for role in (INK, DATA, MODEL, NOISE))
    behind = "".join(_dot(point, 0.035, ink, 0.3) for point in held_out(made.source)[:_AROUND].numpy())
    width = seen.variance.mean(1).sqrt().tolist()
    cells = [*_head(seen), "<span>Blue: target. Grey: with noise. Red: the answer, and a ring as wide as its doubt.</span>"]
    for x0, xt, answer, doubt in zip(seen.x0.numpy(), seen.xt.numpy(), seen.prediction.numpy(), width):
        lines = _line(x0, xt, ink) + _line(xt, answer, ink)
        ring = f'<circle cx="{answer[0]:.3f}" cy="{-answer[1]:.3f}" r="{doubt:.3f}" fill="none" stroke="{red}" stroke-width="0.09"/>'
        dots = _dot(xt, 0.14, quiet) + _dot(x0, 0.17, blue) + _dot(answer, 0.14, red)
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2.6 -2.6 5.2 5.2">{behind}{lines}{ring}{dots}</svg>'
        # as an image: the page's cleaner takes drawings out of HTML
        data = base64.b64encode(svg.encode()).decode()
        cells.append(f'<img src="data:image/svg+xml;base64,{data}" alt="a point, with noise, and the answer" class="plane">')
    return _TABLE % {"n": len(seen.t), "cells": "".join([*cells, *_foot(seen)])}


def _head(seen: jobs.StepDetails) -> list[str]:
    return ["<span>Time t</span>", *(f"<i>{int(t)}</i>" for t in seen.t)]


def _foot(seen: jobs.StepDetails) -> list[str]:
    return ["<span>Its loss, nats</span>", *(f"<i>{float(loss):.2g}</i>" for loss in seen.losses)]


def _dot(point: np.ndarray, radius: float, colour: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{point[0]:.3f}" cy="{-point[1]:.3f}" r="{radius}" fill="{colour}" opacity="{opacity}"/>'


def _line(a: np.ndarray, b: np.ndarray, ink: str) -> str:
    return f'<path d="M{a[0]:.3f} {-a[1]:.3f}L{b[0]:.3f} {-b[1]:.3f}" stroke="{ink}" stroke-opacity="0.35" stroke-width="0.05"/>'
