"""The charts of the Random networks page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import plotly.graph_objects as go

from dpm_core.figures.palette import DATA, EXACT, GROUND, MODEL, NOISE, Role
from dpm_core.figures.rasters import rgb
from dpm_core.lab.signals.phase_diagram import Diagram
from dpm_core.lab.signals.random_network_simulation import CORRELATIONS, SCALES, Signals, Theory, mean_and_error

HEIGHT = 290
MEASURED, THEORY = "measured", "theory"
FORWARD, BACKWARD = "perturbation", "gradient"
SMALLEST = 1e-30  # of squared norms on their axis
DEEPEST = 1.0  # |log χ₁| that has the full colour


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def phase_figure(found: Diagram, line: tuple[np.ndarray, np.ndarray], at: tuple[float, float], dark: bool) -> go.Figure:
    """log χ₁ over (σ_w², σ_b²), the critical ``line`` (its σ_w² and σ_b²), the names of the phases, and the chosen point.

    A heat map takes no clicks: a lattice of invisible markers does.
    """
    low, high, exact = (_ink(role, dark) for role in (DATA, MODEL, EXACT))
    ground = _ink(GROUND, dark)
    values = np.log(found.chi_1)
    figure = go.Figure(
        go.Heatmap(
            x=found.sigma_w2, y=found.sigma_b2, z=values.clip(-DEEPEST, DEEPEST), zmin=-DEEPEST, zmax=DEEPEST, customdata=values,
            colorscale=[[0, _mix(low, ground, 0.2)], [0.5, ground], [1, _mix(high, ground, 0.2)]], showscale=False,
            hovertemplate="σ<sub>w</sub>² %{x:.2f}, σ<sub>b</sub>² %{y:.2f}<br>log χ₁ %{customdata:.3f}<extra></extra>", zsmooth="best",
        )
    )  # fmt: skip
    figure.add_scatter(x=line[0], y=line[1], mode="lines", line={"width": 4, "color": exact}, hoverinfo="skip")
    gx, gy = (part.ravel() for part in np.meshgrid(found.sigma_w2, found.sigma_b2))
    figure.add_scatter(
        x=gx, y=gy, mode="markers", marker={"size": 11, "opacity": 0}, customdata=values.ravel(), name="place",
        hovertemplate="σ<sub>w</sub>² %{x:.2f}, σ<sub>b</sub>² %{y:.2f}<br>log χ₁ %{customdata:.3f}<extra></extra>",
    )  # fmt: skip
    ink = _ink(GROUND, not dark)
    figure.add_scatter(
        x=[at[0]], y=[at[1]], mode="markers", hoverinfo="skip",
        marker={"size": 13, "symbol": "circle", "color": ground, "line": {"width": 3, "color": ink}},
    )  # fmt: skip
    for text, x, y in _names(found):
        figure.add_annotation(x=x, y=y, text=text, showarrow=False, font={"size": 14, "color": ink})
    figure.update_layout(
        height=380, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False, dragmode=False, clickmode="event+select", hoverdistance=30,
        xaxis={"title": "weight variance σ<sub>w</sub>²", "range": _ends(found.sigma_w2), "showgrid": False, "zeroline": False},
        yaxis={"title": "bias variance σ<sub>b</sub>²", "range": _ends(found.sigma_b2), "showgrid": False, "zeroline": False},
    )  # fmt: skip
    figure.update_traces(unselected={"marker": {"opacity": None}}, selector={"type": "scatter"})
    return figure


def _ends(axis: np.ndarray) -> list[float]:
    """The range of an axis whose first and last cells are whole."""
    half = (axis[1] - axis[0]) / 2
    return [float(axis[0] - half), float(axis[-1] + half)]


def _mix(colour: str, ground: str, share: float) -> str:
    return "rgb({:.0f},{:.0f},{:.0f})".format(*(rgb(colour) * (1 - share) + rgb(ground) * share))


def _names(found: Diagram) -> list[tuple[str, float, float]]:
    """The names of the phases, each where there is the most room."""
    left, right = float(found.sigma_w2[0]), float(found.sigma_w2[-1])
    critical = np.where(np.isnan(found.critical), right, found.critical)
    names = []
    top, bottom = int(0.86 * len(critical)), int(0.3 * len(critical))
    if critical[top] - left > 0.6:
        names.append(("ordered, χ₁ < 1", (left + float(critical[top])) / 2, float(found.sigma_b2[top])))
    if right - critical[bottom] > 0.6:
        name = "unbounded" if np.isinf(found.q_star[bottom, -1]) else "chaotic"
        names.append((f"{name}, χ₁ > 1", (right + float(critical[bottom])) / 2, float(found.sigma_b2[bottom])))
    return names


def variance_chart(expected: Theory, measured: Signals | None, dark: bool) -> alt.LayerChart:
    """q over layers from three starts."""
    titles = [f"{scale:g} × q*" for scale in SCALES]
    logarithmic = float(expected.q.max()) > 30 * float(expected.q.min())
    scale = alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=True)
    return _chart("mean square q", titles, "start", expected.q, measured.q if measured else None, scale, dark)


def correlation_chart(expected: Theory, measured: Signals | None, dark: bool) -> alt.LayerChart:
    """c over layers of three pairs of inputs."""
    titles = [f"c = {c:g}" for c in CORRELATIONS]
    return _chart(
        "correlation c", titles, "start", expected.c, measured.c if measured else None, alt.Scale(domain=[-0.1, 1.02], nice=False), dark
    )


def _chart(
    what: str, titles: Sequence[str], by: str, expected: np.ndarray, measured: np.ndarray | None, scale: alt.Scale, dark: bool
) -> alt.LayerChart:
    """Lines of the theory, and measured means with standard errors; ``expected`` [k, L + 1], ``measured`` [n, k, L + 1]."""
    rows = [
        {by: title, "layer": layer, "value": value, "what": THEORY}
        for title, line in zip(titles, expected.tolist())
        for layer, value in enumerate(line)
    ]
    points = []
    if measured is not None:
        mean, error = mean_and_error(measured)
        every = max(1, (mean.shape[1] - 1) // 20)
        points = [
            {by: title, "layer": layer, "value": m, "low": m - e, "high": m + e, "error": e, "what": MEASURED}
            for title, means, errors in zip(titles, mean.tolist(), error.tolist())
            for layer, (m, e) in enumerate(zip(means, errors))
            if layer % every == 0
        ]
    return _layered(rows, points, by, titles, what, scale, {THEORY: EXACT, MEASURED: MODEL}, expected.shape[1] - 1, dark)


def gradient_chart(expected: Theory, measured: Signals | None, dark: bool) -> alt.LayerChart:
    """Squared norms of a perturbation and of the gradient over layers, each divided by that where it starts, on a logarithmic axis."""
    growth = expected.growth
    lines = {FORWARD: growth / growth[0], BACKWARD: growth[-1] / np.maximum(growth, 1e-300)}
    rows = [
        {"norm": name, "layer": layer, "value": value, "what": f"theory: {name}"}
        for name, line in lines.items()
        for layer, value in enumerate(line.tolist())
        if value > SMALLEST
    ]
    points = []
    if measured is not None:
        every = max(1, (len(growth) - 1) // 20)
        for name, values in ((FORWARD, measured.forward), (BACKWARD, measured.backward)):
            mean, error = mean_and_error(values)
            points += [
                {"norm": name, "layer": layer, "value": m, "low": max(m - e, m / 10), "high": m + e, "error": e, "what": name}
                for layer, (m, e) in enumerate(zip(mean.tolist(), error.tolist()))
                if layer % every == 0 and m > SMALLEST
            ]
    inks = {FORWARD: MODEL, BACKWARD: DATA}
    inks |= {f"theory: {name}": EXACT for name in lines}
    scale = alt.Scale(type="log", nice=False, padding=6)
    return _layered(rows, points, "norm", list(lines), "squared norm, relative", scale, inks, len(growth) - 1, dark)


def _layered(
    rows: list[dict], points: list[dict], by: str, titles: Sequence[str], what: str, scale: alt.Scale, inks: dict[str, Role], depth: int,
    dark: bool,
) -> alt.LayerChart:  # fmt: skip
    x = alt.X(
        "layer:Q", title="layer l", scale=alt.Scale(domain=[0, depth], nice=False, padding=4), axis=alt.Axis(tickMinStep=1, grid=False)
    )
    axis = alt.Axis(format="~g", tickCount=5)
    if scale["type"] == "log":
        axis = alt.Axis(format="~g", values=_decades([row["value"] for row in rows]), grid=False)
    y = alt.Y("value:Q", title=what, scale=scale, axis=axis)
    colour = alt.Color("what:N", scale=alt.Scale(domain=list(inks), range=[_ink(role, dark) for role in inks.values()]), legend=None)
    legend = alt.Legend(title=None, orient="top", columns=3, symbolFillColor=_ink(NOISE, dark))
    shape = alt.Shape(f"{by}:N", sort=None, scale=alt.Scale(domain=list(titles), range=["triangle-up", "circle", "square"]), legend=legend)
    tip = [alt.Tooltip(f"{by}:N"), alt.Tooltip("layer:Q"), alt.Tooltip("value:Q", format=".4g")]
    lines = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2).encode(x, y, colour, alt.Detail(f"{by}:N"), tooltip=tip)
    bars = alt.Chart(alt.Data(values=points)).mark_rule(strokeWidth=1.2).encode(x, alt.Y("low:Q", title=what), alt.Y2("high:Q"), colour)
    marks = (
        alt.Chart(alt.Data(values=points or [{by: title} for title in titles]))
        .mark_point(filled=True, size=34, opacity=0.9)
        .encode(x, y, colour, shape, tooltip=[*tip, alt.Tooltip("error:Q", title="standard error", format=".2g")])
    )
    parts = [lines, bars, marks] if points else [lines, marks]
    return alt.LayerChart(layer=parts).properties(height=HEIGHT)


def _decades(values: Sequence[float]) -> list[float]:
    """Marks of a logarithmic axis: powers of ten, at most seven, or 1, 2 and 5 times them where the range is short."""
    low, high = np.log10(min(values)), np.log10(max(values))
    every = max(1, int((high - low) // 7) + 1)
    powers = [10.0**i for i in range(int(np.floor(low)), int(np.ceil(high)) + 1) if i % every == 0]
    return powers if high - low > 2 else sorted(m * power for power in powers for m in (1, 2, 5))
