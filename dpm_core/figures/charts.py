"""Arrays into Altair and Plotly charts; no torch, no streamlit.

Charts have no background or font of their own: the page's theme supplies both.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import plotly.graph_objects as go

from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, ROLES, SCHEDULE_LOOKS, Role, ScheduleLook
from dpm_core.figures.rasters import frame_numbers, rgb

CHART_HEIGHT = 230
RUN_LOOKS = (ScheduleLook(MODEL, [1, 0]), SCHEDULE_LOOKS[4])  # this run, and one laid over it
QUIET = Role("#6b7280", "#8b94a3")
_STEP = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=5, format="~s", grid=False), scale=alt.Scale(domainMin=0, nice=False))
Layered = alt.LayerChart | alt.FacetChart  # what Altair says a layered chart with properties is


def kernel_figure(
    x: np.ndarray,
    y: np.ndarray,
    density: np.ndarray,
    gaussians: dict[str, tuple[np.ndarray, np.ndarray, str]],
    point: tuple[float, float],
    dark: bool,
) -> go.Figure:
    """A density ``[ny, nx]`` as shades, diagonal Gaussians (mean ``[2]``, deviation ``[2]``, role) as rings at 1 and 2 σ."""
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
    """Curves over t (value i belongs to t = i + 1), each in its look; values that are not finite are left out."""
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
        .mark_line(strokeWidth=2, clip=True, point=len(rows) <= 3 * len(curves))  # a lone value has no line
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
    """K against the training step, for one run or two, to be given rows with step, value, low, high (± one error) and run.

    ``limits``: label → (bits, role), as straight lines. ``low``, ``high``: the visible range in bits; what lies outside is cut.
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
    """The training loss on a log scale, to be given rows with step, loss (dots) and smooth (a line)."""
    scale, axis = alt.Scale(type="log", nice=False), alt.Axis(tickCount=4, format=".3~g")
    tip = ["step:Q", alt.Tooltip("smooth:Q", format=".4g", title="loss")]
    up = alt.Y("loss:Q", title="nats per dimension", scale=scale, axis=axis)
    dots = alt.Chart().mark_circle(size=9, opacity=0.5).encode(_STEP, up, color=_fixed(NOISE, dark))
    line = alt.Chart().mark_line(strokeWidth=2).encode(_STEP, alt.Y("smooth:Q", scale=scale), color=_fixed(MODEL, dark), tooltip=tip)
    return alt.layer(dots, line).properties(height=CHART_HEIGHT)


def time_chart(T: int, best: dict[str, list[float]] | None, unit: str, dark: bool) -> Layered:
    """Each time step's share of −K, to be given rows with t and bits; the best chain's ``{"t", "bits"}`` as a line where known."""
    across = alt.X("t:Q", title="t", axis=alt.Axis(tickCount=5, format="d", grid=False), scale=alt.Scale(domain=[1, T], nice=False))
    up = alt.Y("bits:Q", title=f"{unit}, in step t", axis=alt.Axis(tickCount=4, format="~g"))
    tip = [alt.Tooltip("t:Q", format=".0f"), alt.Tooltip("bits:Q", format=".3g")]
    colour = _fixed(MODEL, dark)
    layers = [alt.Chart().mark_area(opacity=0.2).encode(across, up, color=colour)]
    layers.append(alt.Chart().mark_line(strokeWidth=2).encode(across, up, color=colour, tooltip=tip))
    if best is not None:
        keep = frame_numbers(len(best["t"]), 200)
        rows = alt.Data(values=[{name: best[name][i] for name in ("t", "bits")} for i in keep])
        line = alt.Chart(rows).mark_line(strokeWidth=2, strokeDash=[6, 3])
        layers.append(line.encode(across, up, color=_fixed(EXACT, dark), tooltip=tip))
    return alt.layer(*layers).properties(height=CHART_HEIGHT)


def _limits(limits: dict[str, tuple[float, str]], scale: alt.Scale, dark: bool) -> list[alt.Chart]:
    """Straight labelled lines; the label, not only the colour, says which is which."""
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
