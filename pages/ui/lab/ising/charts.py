"""The charts of the Minimum probability flow page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from dpm_core.figures.palette import DATA, EXACT, GROUND, MODEL, NOISE, SCHEDULE_LOOKS, Role

HEIGHT = 360
EDGES = 200  # drawn in a graph, the strongest
SIGNS = ("positive", "negative")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right", "circle")
OBJECTIVES = {"likelihood": "KL(p⁽⁰⁾ ‖ p⁽∞⁾), maximum likelihood", "flow": "KL(p⁽⁰⁾ ‖ p⁽ᵋ⁾), minimum probability flow"}


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def error_chart(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], order: Sequence[str], dark: bool) -> alt.LayerChart:
    """Error over seconds by title, both logarithmic; an estimator with one report is a point. ``order``: all titles, for their looks."""
    rows = [
        {"estimator": name, "seconds": float(t), "error": float(e), "last": i == len(seconds) - 1}
        for name, (seconds, found) in curves.items()
        for i, (t, e) in enumerate(zip(seconds, found))
        if e > 0
    ]
    names = list(curves)
    looks = [SCHEDULE_LOOKS[order.index(name) % len(SCHEDULE_LOOKS)] for name in names]
    legend = alt.Legend(title=None, orient="bottom", columns=4, labelLimit=200, symbolSize=90, symbolStrokeWidth=0)
    log, axis = alt.Scale(type="log", padding=8), alt.Axis(format="~g", tickCount=6)
    colours = alt.Scale(domain=names, range=[_ink(look.colour, dark) for look in looks])
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("seconds:Q", title="seconds of work", scale=log, axis=axis),
        alt.Y("error:Q", title="root mean square error of Kᵢⱼ", scale=log, axis=axis),
        alt.Color("estimator:N", sort=None, legend=legend, scale=colours),
        tooltip=[alt.Tooltip("estimator:N"), alt.Tooltip("seconds:Q", format=".3g"), alt.Tooltip("error:Q", format=".3g")],
    )
    shapes = alt.Scale(domain=names, range=[SHAPES[order.index(name) % len(SHAPES)] for name in names])
    dashes = alt.Scale(domain=names, range=[look.dash for look in looks])
    lines = base.mark_line(strokeWidth=1.8, interpolate="step-after").encode(
        strokeDash=alt.StrokeDash("estimator:N", sort=None, legend=legend, scale=dashes)
    )
    points = (
        base.transform_filter("datum.last")
        .mark_point(size=85, filled=True)
        .encode(shape=alt.Shape("estimator:N", legend=None, scale=shapes))
    )
    return (lines + points).properties(height=HEIGHT)


def graph_chart(couplings: np.ndarray, fields: np.ndarray, places: np.ndarray, dark: bool) -> alt.LayerChart:
    """The couplings ``[d, d]`` as edges between the spins' places ``[d, 2]``; bonds around the edge of a lattice as two stubs."""
    i, j = np.nonzero(np.triu(couplings, 1))
    strongest = np.argsort(-np.abs(couplings[i, j]))[:EDGES]
    rows = []
    lattice = bool((places == places.round()).all()) and len(places) > 4
    for a, b in zip(i[strongest], j[strongest]):
        value = float(couplings[a, b])
        row = {"K": value, "size": abs(value), "sign": SIGNS[value < 0], "spins": f"{a + 1} and {b + 1}"}
        step = places[b] - places[a]
        if lattice and np.abs(step).max() > 1:
            out = -np.sign(step) * 0.45
            ends = [(places[a], places[a] + out), (places[b], places[b] - out)]
        else:
            ends = [(places[a], places[b])]
        rows += [row | {"x": float(p[0]), "y": float(p[1]), "x2": float(q[0]), "y2": float(q[1])} for p, q in ends]
    margin = 0.6 if lattice else 0.15
    low, high = places.min(0) - margin, places.max(0) + margin
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[float(low[0]), float(high[0])], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[float(low[1]), float(high[1])], nice=False))
    legend = alt.Legend(title="coupling Kᵢⱼ", orient="top", symbolType="stroke", symbolStrokeWidth=3)
    edges = (
        alt.Chart(alt.Data(values=rows))
        .mark_rule(strokeCap="round", opacity=0.85)
        .encode(
            x=x, y=y, x2="x2:Q", y2="y2:Q",
            strokeWidth=alt.StrokeWidth("size:Q", scale=alt.Scale(domainMin=0, range=[0.3, 7 if len(places) <= 36 else 3]), legend=None),
            color=alt.Color("sign:N", legend=legend, scale=alt.Scale(domain=list(SIGNS), range=[_ink(DATA, dark), _ink(MODEL, dark)])),
            strokeDash=alt.StrokeDash("sign:N", legend=legend, scale=alt.Scale(domain=list(SIGNS), range=[[1, 0], [5, 4]])),
            tooltip=[alt.Tooltip("spins:N"), alt.Tooltip("K:Q", format=".3f")],
        )
    )  # fmt: skip
    spins = [{"x": float(p[0]), "y": float(p[1]), "spin": n + 1, "field": float(h)} for n, (p, h) in enumerate(zip(places, fields))]
    nodes = (
        alt.Chart(alt.Data(values=spins))
        .mark_circle(size=140 if len(places) <= 36 else 40, opacity=1, fill=_ink(NOISE, dark), stroke=_ink(GROUND, dark), strokeWidth=2)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("spin:Q"), alt.Tooltip("field:Q", title="field hᵢ", format=".3f")])
    )
    return (edges + nodes).properties(height=HEIGHT).configure_view(strokeOpacity=0)


def matrix_chart(true: np.ndarray, estimated: np.ndarray, dark: bool) -> alt.LayerChart:
    """The true couplings ``[d, d]`` above the diagonal, the estimated ones below it."""
    d = len(true)
    both = np.triu(true, 1) + np.tril(estimated, -1)
    most = float(np.abs(np.triu(true, 1)).max()) or 1.0
    rows = [
        {"i": i + 1, "j": j + 1, "i2": i + 2, "j2": j + 2, "K": float(both[i, j]), "what": "true" if j > i else "estimated"}
        for i in range(d)
        for j in range(d)
        if i != j
    ]
    axis = alt.Axis(tickMinStep=1, grid=False, format="d")
    scale = alt.Scale(domain=[1, d + 1], nice=False)
    colour = alt.Color(
        "K:Q",
        legend=alt.Legend(title="Kᵢⱼ", orient="right", gradientLength=160, format=".2f"),
        scale=alt.Scale(
            domain=[-most, 0, most], range=[_ink(MODEL, dark), _ink(GROUND, dark), _ink(DATA, dark)], clamp=True, interpolate="rgb"
        ),
    )
    cells = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            x=alt.X("j:Q", title="spin j (above the diagonal: true, below: estimated)", scale=scale, axis=axis),
            x2="j2:Q",
            y=alt.Y("i:Q", title="spin i", scale=alt.Scale(domain=[d + 1, 1], nice=False), axis=axis),
            y2="i2:Q",
            color=colour,
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("i:Q"), alt.Tooltip("j:Q"), alt.Tooltip("K:Q", format=".3f")],
        )
    )
    line = alt.Chart(alt.Data(values=[{"j": 1, "i": 1}, {"j": d + 1, "i": d + 1}])).mark_line(color=_ink(NOISE, dark), strokeWidth=1)
    return (cells + line.encode(x="j:Q", y="i:Q")).properties(height=HEIGHT)


def objective_chart(name: str, axis: np.ndarray, values: np.ndarray, at: tuple[float, float], dark: bool) -> alt.LayerChart:
    """An objective of three states ``[b, a]`` over the energies of A and B, its minimum and the current energies."""
    half = float(axis[1] - axis[0]) / 2
    rows = [
        {"a": float(a), "b": float(b), "a1": a - half, "a2": a + half, "b1": b - half, "b2": b + half, "nats": float(values[j, i])}
        for i, a in enumerate(axis)
        for j, b in enumerate(axis)
    ]
    domain = [float(axis[0] - half), float(axis[-1] + half)]
    top = float(np.quantile(values, 0.9))
    colour = alt.Color(
        "nats:Q",
        legend=alt.Legend(title="nats", orient="right", gradientLength=160, format=".2~g"),
        scale=alt.Scale(
            domain=[float(values.min()), max(top, float(values.min()) + 1e-9)], range=[_ink(EXACT, dark), _ink(GROUND, dark)], clamp=True
        ),
    )
    x = alt.X("a1:Q", title="energy of A", scale=alt.Scale(domain=domain, nice=False), axis=alt.Axis(grid=False))
    y = alt.Y("b1:Q", title="energy of B", scale=alt.Scale(domain=domain, nice=False), axis=alt.Axis(grid=False))
    tooltip = [alt.Tooltip("a:Q", title="energy of A", format=".2f"), alt.Tooltip("b:Q", title="energy of B", format=".2f")]
    cells = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(x=x, x2="a2:Q", y=y, y2="b2:Q", color=colour, tooltip=[*tooltip, alt.Tooltip("nats:Q", format=".4f")])
    )
    j, i = np.unravel_index(int(values.argmin()), values.shape)
    names = ["smallest in this picture", "energies chosen"]
    marks = [{"a1": float(axis[i]), "b1": float(axis[j]), "what": names[0]}, {"a1": at[0], "b1": at[1], "what": names[1]}]
    points = (
        alt.Chart(alt.Data(values=marks))
        .mark_point(size=160, filled=True, stroke=_ink(GROUND, dark), strokeWidth=1.5)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape(
                "what:N", sort=None,
                legend=alt.Legend(title=None, orient="top", symbolFillColor=_ink(MODEL, dark), symbolStrokeColor=_ink(MODEL, dark)),
                scale=alt.Scale(domain=names, range=["cross", "circle"]),
            ),
            color=alt.value(_ink(MODEL, dark)),
            tooltip=[alt.Tooltip("what:N")],
        )
    )  # fmt: skip
    return (cells + points).properties(height=HEIGHT, title=alt.Title(OBJECTIVES[name], anchor="start", fontSize=13, fontWeight="normal"))


def width_chart(rows: list[dict], dark: bool) -> alt.LayerChart:
    """The distance of two estimates to that of score matching over the width σ of the neighbourhood, with slope 2 beside them."""
    names = ["minimum probability flow", "denoising score matching", "slope 2 (σ²)"]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("σ:Q", title="width σ of neighbourhood or noise", scale=alt.Scale(type="log", nice=False, padding=12)),
        alt.Y(
            "distance:Q", title="difference of the scores (root mean square)", scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~g", tickCount=5),
        ),
        alt.Color(
            "method:N", sort=None, legend=alt.Legend(title=None, orient="top", columns=1, symbolType="stroke", labelLimit=240),
            scale=alt.Scale(domain=names, range=[_ink(MODEL, dark), _ink(DATA, dark), _ink(NOISE, dark)]),
        ),
        alt.StrokeDash("method:N", legend=None, scale=alt.Scale(domain=names, range=[[1, 0], [7, 3], [2, 3]])),
        tooltip=[alt.Tooltip("method:N"), alt.Tooltip("σ:Q"), alt.Tooltip("distance:Q", format=".3g")],
    )  # fmt: skip
    points = base.transform_filter("datum.method != 'slope 2 (σ²)'").mark_point(filled=True, size=50)
    return (base.mark_line(strokeWidth=1.8) + points).properties(height=HEIGHT)
