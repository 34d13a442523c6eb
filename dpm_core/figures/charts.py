"""Altair and Plotly charts of arrays.

Charts define no background or font: the theme of the page supplies both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import plotly.graph_objects as go

from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, ROLES, SCHEDULE_LOOKS, Role, ScheduleLook
from dpm_core.figures.rasters import frame_numbers, rgb

CHART_HEIGHT = 230
RUN_LOOKS = (ScheduleLook(MODEL, [1, 0]), SCHEDULE_LOOKS[4])  # this run, and a second one for comparison
QUIET = Role("#6b7280", "#8b94a3")
_STEP = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=5, format="~s", grid=False), scale=alt.Scale(domainMin=0, nice=False))
Layered = alt.LayerChart | alt.FacetChart  # the type of a layered chart with properties


def kernel_figure(
    x: np.ndarray,
    y: np.ndarray,
    density: np.ndarray,
    gaussians: dict[str, tuple[np.ndarray, np.ndarray, str]],
    point: tuple[float, float],
    dark: bool,
) -> go.Figure:
    """Plot a density ``[ny, nx]`` as shades and diagonal Gaussians (mean ``[2]``, deviation ``[2]``, role) as ellipses at 1 and 2 σ."""
    shade = DATA.dark if dark else DATA.light
    clear = "rgba({:.0f},{:.0f},{:.0f},0)".format(*rgb(shade))
    figure = go.Figure(
        go.Heatmap(x=x, y=y, z=density, colorscale=[[0, clear], [1, shade]], showscale=False, name="exact q", zsmooth="best",
                   hovertemplate="density %{z:.3g}<extra></extra>")
    )  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, 120)
    for i, (name, (mean, deviation, role)) in enumerate(gaussians.items()):
        colour = ROLES[role].dark if dark else ROLES[role].light
        for ring in (1, 2):
            figure.add_scatter(
                x=mean[0] + ring * deviation[0] * np.cos(angle),
                y=mean[1] + ring * deviation[1] * np.sin(angle),
                mode="lines", name=name, legendgroup=name, showlegend=ring == 1, hoverinfo="name",
                line={"color": colour, "width": 2, "dash": "dash" if i else "solid"},
            )  # fmt: skip
    if x[0] <= point[0] <= x[-1] and y[0] <= point[1] <= y[-1]:
        figure.add_scatter(x=[point[0]], y=[point[1]], mode="markers", name="x⁽ᵗ⁾", marker={"color": NOISE.light, "size": 9, "symbol": "x"})
    figure.update_layout(
        height=380, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={"range": [x[0], x[-1]], "showgrid": False, "zeroline": False, "constrain": "domain"},
        yaxis={"range": [y[0], y[-1]], "scaleanchor": "x", "showgrid": False, "zeroline": False},
    )  # fmt: skip
    return figure


def schedule_chart(
    curves: dict[str, np.ndarray], title: str, looks: dict[str, ScheduleLook], dark: bool, log: bool = False, height: int = 260
) -> alt.Chart:
    """Plot curves over t (value i belongs to t = i + 1), each in its line style; non-finite values are omitted."""
    rows: list[dict] = []
    for name, values in curves.items():
        t = np.flatnonzero(np.isfinite(values) & ((values > 0) | (not log)))
        t = t[frame_numbers(len(t), 400)] if len(t) else t
        rows += [{"t": int(i) + 1, "value": float(values[i]), "schedule": name} for i in t]
    names = list(looks)
    colours = [look.colour.dark if dark else look.colour.light for look in looks.values()]
    decades = alt.Axis(values=[10.0**k for k in range(-8, 1)], format="~g") if log else alt.Axis(tickCount=5)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, clip=True, point=len(rows) <= 3 * len(curves))  # a single value has no line
        .encode(
            alt.X("t:Q", title="t", axis=alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False)),
            alt.Y("value:Q", title=title, scale=alt.Scale(type="log" if log else "linear"), axis=decades),
            alt.Color("schedule:N", scale=alt.Scale(domain=names, range=colours), legend=None),
            alt.StrokeDash("schedule:N", scale=alt.Scale(domain=names, range=[look.dash for look in looks.values()]), legend=None),
            tooltip=["schedule:N", "t:Q", alt.Tooltip("value:Q", format=".4g")],
        )
        .properties(height=height)
    )


def bound_chart(runs: list[str], limits: dict[str, tuple[float, str]], low: float, high: float, unit: str, dark: bool) -> Layered:
    """Plot K against the training step, for one run or two. Rows: step, value, low, high (± one standard error) and run.

    ``limits``: label → (bits, role), drawn as horizontal lines. ``low``, ``high``: the visible range in bits.
    """
    looks = RUN_LOOKS[: len(runs)]
    colour = alt.Color("run:N", scale=alt.Scale(domain=runs, range=[_ink(look.colour, dark) for look in looks]), legend=None)
    dash = alt.StrokeDash("run:N", scale=alt.Scale(domain=runs, range=[look.dash for look in looks]), legend=None)
    scale = alt.Scale(domain=[low, high], nice=False)
    value = alt.Y("value:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=5))
    tip = ["run:N", "step:Q", alt.Tooltip("value:Q", format=".3f", title="bits")]
    base = alt.Chart()
    band = base.mark_area(opacity=0.18, clip=True).encode(_STEP, alt.Y("low:Q", scale=scale, title=unit), alt.Y2("high:Q"), colour)
    line = base.mark_line(strokeWidth=2, clip=True).encode(_STEP, value, colour, dash)
    dots = base.mark_circle(size=22, opacity=1, clip=True).encode(_STEP, value, colour, tooltip=tip)
    return alt.layer(*_limits(limits, scale, dark), band, line, dots).properties(height=CHART_HEIGHT)


def loss_chart(dark: bool) -> Layered:
    """Plot the training loss on a log scale. Rows: step, loss (dots) and smooth (line)."""
    scale, axis = alt.Scale(type="log", nice=False), alt.Axis(tickCount=4, format=".3~g")
    tip = ["step:Q", alt.Tooltip("smooth:Q", format=".4g", title="loss")]
    up = alt.Y("loss:Q", title="training loss, nats per dimension", scale=scale, axis=axis)
    dots = alt.Chart().mark_circle(size=9, opacity=0.5).encode(_STEP, up, color=_fixed(NOISE, dark))
    line = alt.Chart().mark_line(strokeWidth=2).encode(_STEP, alt.Y("smooth:Q", scale=scale), color=_fixed(MODEL, dark), tooltip=tip)
    return alt.layer(dots, line).properties(height=CHART_HEIGHT)


def time_chart(T: int, best: Mapping[str, Sequence[float]] | None, unit: str, dark: bool) -> Layered:
    """Plot the contribution of each time step to −K. Rows: t and bits.

    ``best``: ``{"t", "bits"}`` of the best K with Gaussian steps, drawn as a dashed line, where it is known.
    """
    across = alt.X("t:Q", title="t", axis=alt.Axis(tickCount=5, format="d", grid=False), scale=alt.Scale(domain=[1, T], nice=False))
    up = alt.Y("bits:Q", title=f"KL of step t, {unit}", axis=alt.Axis(tickCount=4, format="~g"))
    tip = [alt.Tooltip("t:Q", format=".0f"), alt.Tooltip("bits:Q", format=".3g")]
    colour = _fixed(MODEL, dark)
    layers = [alt.Chart().mark_area(opacity=0.2).encode(across, up, color=colour)]
    layers.append(alt.Chart().mark_line(strokeWidth=2).encode(across, up, color=colour, tooltip=tip))
    if best is not None:
        selected = frame_numbers(len(best["t"]), 200)
        rows = alt.Data(values=[{name: best[name][i] for name in ("t", "bits")} for i in selected])
        line = alt.Chart(rows).mark_line(strokeWidth=2, strokeDash=[6, 3])
        layers.append(line.encode(across, up, color=_fixed(EXACT, dark), tooltip=tip))
    return alt.layer(*layers).properties(height=CHART_HEIGHT)


def _limits(limits: dict[str, tuple[float, str]], scale: alt.Scale, dark: bool) -> list[alt.Chart]:
    """Horizontal lines with labels, so that colour is not the only distinction."""
    layers = []
    for label, (value, role) in limits.items():
        base = alt.Chart(alt.Data(values=[{"value": value, "label": label}]))
        up = alt.Y("value:Q", scale=scale)
        layers.append(base.mark_rule(strokeDash=[6, 3], strokeWidth=1.5, clip=True).encode(up, color=_fixed(ROLES[role], dark)))
        text = base.mark_text(align="right", baseline="bottom", dy=-4, fontSize=11)
        layers.append(text.encode(up, x=alt.value("width"), text="label:N", color=_fixed(QUIET, dark)))
    return layers


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def _fixed(role: Role, dark: bool) -> Any:
    return alt.value(_ink(role, dark))
