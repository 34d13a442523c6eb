"""The charts of the Relatives page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from dpm_core.figures.palette import DATA, MODEL, NOISE, RELATIVE, Role

HEIGHT = 280
METHODS = {"diffusion": ("Diffusion", MODEL), "vae": ("VAE", RELATIVE)}
ROLES = {"data": DATA, "diffusion": MODEL, "vae": RELATIVE}


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def _colour(dark: bool, legend: bool = True) -> alt.Color:
    titles = [title for title, _ in METHODS.values()]
    inks = [_ink(role, dark) for _, role in METHODS.values()]
    place = alt.Legend(title=None, orient="top", symbolType="stroke") if legend else None
    return alt.Color("method:N", scale=alt.Scale(domain=titles, range=inks), sort=None, legend=place)


def bound_chart(rows: Sequence[dict[str, Any]], seconds: float, low: float, unit: str, dark: bool) -> alt.Chart:
    """K over seconds of training; ``rows`` of method, seconds and bits; the axis begins at the baseline ``low``."""
    top = max((row["bits"] for row in rows), default=low + 1)
    scale = alt.Scale(domain=[low, max(top + 0.05 * (top - low), low + 0.1)], clamp=True, nice=True)
    return (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18))
        .encode(
            alt.X("seconds:Q", title="seconds of training", scale=alt.Scale(domain=[0, seconds])),
            alt.Y("bits:Q", title=f"K (ELBO), {unit}", scale=scale),
            _colour(dark),
            alt.StrokeDash("method:N", sort=None, legend=None),
            tooltip=[alt.Tooltip("method:N"), alt.Tooltip("seconds:Q", format=".1f"), alt.Tooltip("bits:Q", format=".3f")],
        )
        .properties(height=HEIGHT)
    )


def scatter(x: np.ndarray, role: str, dark: bool, reach: float = 3.2) -> alt.Chart:
    """Points in the plane in the colour of their role."""
    rows = [{"x": round(float(a), 3), "y": round(float(b), 3)} for a, b in x]
    scale = alt.Scale(domain=[-reach, reach])
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=7, opacity=0.55, clip=True, color=_ink(ROLES[role], dark))
        .encode(alt.X("x:Q", title=None, scale=scale), alt.Y("y:Q", title=None, scale=scale))
        .properties(height=HEIGHT)
    )


def latent_chart(x: np.ndarray, colour: Sequence[float], labels: Sequence[str], titles: tuple[str, str]) -> alt.Chart:
    """A latent space, each datum in the colour of its class, or of its distance from the centre."""
    shown = [labels[int(c)] for c in colour] if labels else [round(float(c), 3) for c in colour]
    rows = [{"x": round(float(a), 3), "y": round(float(b), 3), "c": c} for (a, b), c in zip(x, shown)]
    legend = alt.Legend(title=None, orient="bottom", columns=5, symbolOpacity=1)
    hue = alt.Color("c:N", scale=alt.Scale(scheme="tableau10"), sort=list(labels), legend=legend)
    if not labels:
        hue = alt.Color("c:Q", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(title="distance from the centre", orient="bottom"))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(size=14, opacity=0.75)
        .encode(alt.X("x:Q", title=titles[0]), alt.Y("y:Q", title=titles[1]), hue, tooltip=["c:N" if labels else "c:Q"])
        .properties(height=HEIGHT + 60)
    )  # fmt: skip


def collapse_chart(bits: Sequence[float], threshold: float, dark: bool) -> alt.LayerChart:
    """KL(q(z|x) ‖ p(z)) of each latent dimension in bits, the largest first; below the line a dimension has collapsed."""
    rows = [{"dimension": str(i), "bits": max(b, 1e-4)} for i, b in enumerate(sorted(bits, reverse=True), 1)]
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=_ink(RELATIVE, dark))
        .encode(
            alt.X("dimension:N", title="latent dimension, sorted", sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            alt.Y("bits:Q", title="KL of the dimension, bits", scale=alt.Scale(zero=True)),
            tooltip=[alt.Tooltip("dimension:N"), alt.Tooltip("bits:Q", format=".3f")],
        )
    )
    rule = alt.Chart(alt.Data(values=[{"bits": threshold}])).mark_rule(color=_ink(NOISE, dark), strokeDash=[4, 3]).encode(alt.Y("bits:Q"))
    return (bars + rule).properties(height=HEIGHT)


def information_chart(information: Sequence[float], rate: float, t: int, dark: bool) -> alt.LayerChart:
    """The bits that x⁽ᵗ⁾ carries about x⁽⁰⁾, the VAE's rate as a level, and the chosen time."""
    T = len(information)
    top = 1.6 * max(rate, 1.0)
    rows = [{"t": i, "bits": b} for i, b in enumerate(information, 1)]
    y = alt.Y("bits:Q", title="information about x⁽⁰⁾, bits", scale=alt.Scale(domain=[0, top]))
    curve = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2, color=_ink(MODEL, dark), clip=True).encode(
        alt.X("t:Q", title="time t", scale=alt.Scale(domain=[0, T], nice=False)), y, tooltip=["t:Q", alt.Tooltip("bits:Q", format=".2f")]
    )  # fmt: skip
    level = alt.Chart(alt.Data(values=[{"bits": rate, "what": "rate of the VAE"}]))
    rule = level.mark_rule(color=_ink(RELATIVE, dark), strokeWidth=2, strokeDash=[6, 3]).encode(y)
    name = level.mark_text(align="right", dy=-7, fontSize=11, color=_ink(RELATIVE, dark)).encode(
        y, alt.Text("what:N"), x=alt.value("width")
    )
    now = alt.Chart(alt.Data(values=[{"t": t}])).mark_rule(color=_ink(NOISE, dark)).encode(alt.X("t:Q"))
    return (curve + rule + name + now).properties(height=HEIGHT)
