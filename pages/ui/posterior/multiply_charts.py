"""The Multiply page's pictures: p × r = p̃ as three plates, distances as bars, and the distribution of the free coordinate."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import torch

from dpm_core.figures import rasters
from dpm_core.figures.charts import QUIET, Layered
from dpm_core.figures.palette import DATA, EXACT, MODEL, Role
from dpm_core.figures.rasters import PLANE
from dpm_core.posterior.products import ExactProduct
from pages.ui.components.data_uri import data_uri
from pages.ui.kinds.points import cached
from pages.ui.posterior.multiply_compute import Draw, Question, Run

PLATE = 180  # pixels of a plate's side


def role(rule: str) -> str:
    """The colour role of a rule."""
    return "exact" if rule == "exact" else "model"


def plates(question: Question, truth: ExactProduct, dark: bool) -> str:
    """p(x) × r(x) = p̃(x) as three captioned pictures in one line."""
    axis = torch.from_numpy(rasters.grid(PLATE).reshape(PLATE, PLATE, 2)[0, :, 0].copy())
    p = cached.exact(question.source, question.schedule).marginal_on_grid(axis, 0).numpy()
    if question.r.is_delta:
        r, product = _line(question), _profile(question, truth)
    else:
        r = question.r.factor().log_prob(torch.from_numpy(rasters.grid(PLATE))).exp().numpy().reshape(PLATE, PLATE)
        product = p * r
    shown = ((p, DATA, "p(x), data"), (r, QUIET, "r(x)"), (product, EXACT, "p̃(x) = p r / Z"))
    figures = [
        f'<figure style="margin:0;flex:1 1 0;min-width:0;max-width:10.5rem"><img src="{_shade(values, look, dark)}" alt="{words}" style="'
        'width:100%;display:block;border:1px solid rgba(128,128,128,.28);border-radius:12px">'
        f'<figcaption style="font-size:0.85rem;opacity:0.8;text-align:center">{words}</figcaption></figure>'
        for values, look, words in shown
    ]
    sign = '<span style="font-size:1.2rem;opacity:0.7;align-self:center;margin-bottom:1.4rem">{}</span>'
    between = [sign.format("×"), sign.format("=")]
    return f'<div style="display:flex;gap:0.6rem">{figures[0]}{between[0]}{figures[1]}{between[1]}{figures[2]}</div>'


def _shade(values: np.ndarray, look: Role, dark: bool) -> str:
    """A density ``[m, m]``, rows from below, as shades of a colour; the square root makes low values visible."""
    image = np.empty((*values.shape, 4), np.uint8)
    image[..., :3] = rasters.rgb(look.dark if dark else look.light)
    image[..., 3] = 255 * np.sqrt(np.clip(values / max(np.quantile(values, 0.995), values.max() / 5, 1e-300), 0, 1))
    return data_uri(rasters.png(image[::-1]))


def _line(question: Question) -> np.ndarray:
    """The line on which one coordinate has its known value."""
    across = np.linspace(-PLANE, PLANE, PLATE)
    line = np.tile(np.abs(across - question.r.values[1]) < 1.5 * PLANE / PLATE, (PLATE, 1)).astype(float)
    return line if question.r.values[0] == 0 else line.T


def _profile(question: Question, truth: ExactProduct) -> np.ndarray:
    """The density of the other coordinate, drawn to one side of that line."""
    across = np.linspace(-PLANE, PLANE, PLATE)
    height = 1.6 * np.interp(across, truth.axis, truth.density) / truth.density.max()
    away = across[None, :] - question.r.values[1]
    inside = ((away >= -0.02) & (away <= height[:, None])).astype(float)
    return inside if question.r.values[0] == 0 else inside.T


def bars(question: Question, truth: ExactProduct, draw: Draw, runs: dict[str, Run], dark: bool) -> Layered:
    """Total variation at t = 0 under every rule, with the Monte Carlo floor."""
    mean, spread = truth.monte_carlo_floor(draw.n)
    ends = {rule: run.total_variation[-1] for rule, run in runs.items()}
    rows = [
        {"rule": question.rules[rule], "tv": end, "role": role(rule), "label": f"{end:.3f} ± {runs[rule].error:.3f}"}
        for rule, end in ends.items()
    ]
    far = max(mean, *ends.values())
    scale = alt.Scale(domain=[0, 1.5 * far], nice=False)
    across = alt.X("tv:Q", title="total variation to the exact product p̃", scale=scale, axis=alt.Axis(tickCount=4, grid=False))
    up = alt.Y("rule:N", sort=None, title=None, axis=alt.Axis(labelLimit=160, ticks=False, domain=False))
    colours = alt.Scale(domain=["model", "exact"], range=[look.dark if dark else look.light for look in (MODEL, EXACT)])
    base = alt.Chart(alt.Data(values=rows)).encode(across, up)
    bar = base.mark_bar(height=14, cornerRadiusEnd=3).encode(color=alt.Color("role:N", scale=colours, legend=None))
    # to the right of the floor line too, so that a bar that reaches it is not covered
    beside = [row | {"at": max(end, mean + 2 * spread)} for row, end in zip(rows, ends.values())]
    text = alt.Chart(alt.Data(values=beside)).mark_text(align="left", dx=6)
    value = text.encode(alt.X("at:Q", scale=scale), up, text="label:N", color=_quiet(dark))
    marked = alt.Chart(alt.Data(values=[{"low": mean - 2 * spread, "mean": mean, "high": mean + 2 * spread, "label": "Monte Carlo floor"}]))
    band = marked.mark_rect(opacity=0.3).encode(alt.X("low:Q", scale=scale), alt.X2("high:Q"), color=_quiet(dark))
    line = marked.mark_rule(strokeDash=[4, 3], strokeWidth=1.5).encode(alt.X("mean:Q", scale=scale), color=_quiet(dark))
    label = marked.mark_text(baseline="bottom", dy=-3, fontSize=11).encode(
        alt.X("mean:Q", scale=scale), y=alt.value(0), text="label:N", color=_quiet(dark)
    )
    return alt.layer(band, bar, line, label, value).properties(height=190)


def coordinate_chart(truth: ExactProduct, run: Run, rule: str, dark: bool) -> Layered:
    """With a known coordinate: the samples of the other one as an area, and the exact probability of every bin as a line."""
    counts = truth.counts(run.x) / len(run.x)
    rows = [{"at": float(low), "samples": float(n), "exact": float(p)} for low, n, p in zip(truth.edges, counts, truth.bin_probabilities)]
    look = EXACT if rule == "exact" else MODEL
    title = f"free coordinate x{'₁₂'[truth.coordinates[0]]}"
    across = alt.X("at:Q", title=title, axis=alt.Axis(tickCount=6, grid=False), scale=alt.Scale(domain=[-PLANE, PLANE], nice=False))
    tallest = max(max(row["samples"], row["exact"]) for row in rows)
    scale = alt.Scale(domain=[0, 1.05 * tallest], nice=False)
    axis = alt.Axis(tickCount=3, format=".0%", grid=False)
    tip = [alt.Tooltip("samples:Q", format=".3f"), alt.Tooltip("exact:Q", format=".3f")]
    base = alt.Chart(alt.Data(values=rows)).encode(across)
    filled = base.mark_area(interpolate="step-after", opacity=0.55, clip=True).encode(
        alt.Y("samples:Q", title="probability per bin", scale=scale, axis=axis),
        tooltip=tip,
        color=alt.value(look.dark if dark else look.light),
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=1.5, clip=True).encode(alt.Y("exact:Q", scale=scale), color=_quiet(dark))
    return alt.layer(filled, line).properties(height=190)


def _quiet(dark: bool) -> Any:
    return alt.value(QUIET.dark if dark else QUIET.light)
