"""Charts of the budget: the waterfall from L_null to −h, entropies with their bounds, likelihood estimates and work."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from dpm_core.figures.charts import QUIET, Layered
from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, Role

ROLES = {"data": DATA, "model": MODEL, "exact": EXACT, "noise": NOISE, "quiet": QUIET}
FORWARD, REVERSE = "forward, from data", "reverse, of the model"  # legend of the work


def waterfall(rows: list[dict], unit: str, dark: bool) -> Layered:
    """Plot the steps between levels as bars. Rows: label, start, end (bits), role, words; a level has start = end."""
    names, every = [row["label"] for row in rows], [row[key] for row in rows for key in ("start", "end")]
    room = 0.04 * (max(every) - min(every) or 1)
    scale = alt.Scale(domain=[min(every) - room, max(every) + 2 * room], nice=False)
    up = alt.Y("label:N", sort=names, title=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False))
    shown = [row | {"low": min(row["start"], row["end"]), "high": max(row["start"], row["end"])} for row in rows]
    shown = [row | {"high": max(row["high"], row["low"] + 0.06 * room)} for row in shown]
    base = alt.Chart(alt.Data(values=shown))
    colour = alt.Color("role:N", scale=_scale([row["role"] for row in rows], dark), legend=None)
    across = alt.X("low:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=6, grid=True))
    tip = [alt.Tooltip("label:N", title="part"), alt.Tooltip("words:N", title="bits")]
    bars = base.mark_bar(height=16, cornerRadius=2).encode(across, alt.X2("high:Q"), up, colour, tooltip=tip)
    # text is left of a bar that is far to the right, so that it fits on a narrow screen
    middle = (min(every) + max(every)) / 2
    before = base.transform_filter(alt.datum.low > middle).mark_text(align="right", dx=-6)
    after = base.transform_filter(alt.datum.low <= middle).mark_text(align="left", dx=6)
    words = [
        mark.encode(alt.X(f"{end}:Q", scale=scale), up, text="words:N", color=_fixed("quiet", dark))
        for mark, end in ((before, "low"), (after, "high"))
    ]
    return alt.layer(bars, *words).properties(height=30 * len(rows))


def entropy_chart(lower: np.ndarray, upper: np.ndarray, true: np.ndarray, dark: bool) -> Layered:
    """Plot H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) over t = 2..T (bits ``[T−1]``), relative to its lower bound.

    Dots mark values above the upper bound.
    """
    selected = np.unique(np.linspace(0, len(true) - 1, min(300, len(true))).round().astype(int))
    columns = {"t": selected + 2, "lower": lower[selected], "upper": upper[selected], "true": true[selected]}
    columns |= {"room": columns["upper"] - columns["lower"], "above": columns["true"] - columns["lower"]}
    columns["out"] = columns["true"] > columns["upper"] + 1e-4
    rows = [dict(zip(columns, row)) for row in zip(*(values.tolist() for values in columns.values()))]
    base = alt.Chart(alt.Data(values=rows))
    across = alt.X("t:Q", title="t", axis=alt.Axis(tickCount=8, format="d", grid=False), scale=alt.Scale(nice=False, zero=False))
    titles = {"lower": "lower bound, bits", "true": "exact, bits", "upper": "upper bound, bits"}
    tip = [alt.Tooltip("t:Q"), *[alt.Tooltip(f"{name}:Q", format=".3f", title=title) for name, title in titles.items()]]
    up = alt.Y("room:Q", title="bits above the lower bound", axis=alt.Axis(tickCount=5, format="~g"))
    band = base.mark_area(opacity=0.16, line={"strokeDash": [5, 3], "strokeWidth": 1.5}).encode(across, up, color=_fixed("noise", dark))
    line = base.mark_line(strokeWidth=2).encode(across, alt.Y("above:Q"), color=_fixed("exact", dark), tooltip=tip)
    marks = base.transform_filter("datum.out").mark_circle(size=36, opacity=1)
    return alt.layer(band, line, marks.encode(across, alt.Y("above:Q"), color=_fixed("model", dark), tooltip=tip)).properties(height=260)


def convergence_chart(curve: list[dict], lines: dict[str, tuple[float, str]], dark: bool) -> Layered:
    """Plot an estimate against the number of trajectories. Rows: N, value, low, high (nats); ``lines``: label → (nats, role)."""
    values = [row["value"] for row in curve] + [value for value, _ in lines.values() if np.isfinite(value)]
    room = 0.12 * (max(values) - min(values)) + 0.05
    scale = alt.Scale(domain=[min(values) - room, max(values) + room], nice=False)
    across = alt.X("N:Q", title="number of trajectories N", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s", grid=False))
    base = alt.Chart(alt.Data(values=curve))
    up = alt.Y("value:Q", title="log p(x⁽⁰⁾), nats", scale=scale, axis=alt.Axis(tickCount=5))
    band = base.mark_area(opacity=0.2, clip=True).encode(across, alt.Y("low:Q", scale=scale), alt.Y2("high:Q"), color=_fixed("model", dark))
    tip = [alt.Tooltip("N:Q", format=","), alt.Tooltip("value:Q", format=".3f")]
    line = base.mark_line(strokeWidth=2, clip=True, point=alt.OverlayMarkDef(size=26, color=_ink(MODEL, dark)))
    layers = [band, line.encode(across, up, color=_fixed("model", dark), tooltip=tip)]
    for label, (value, role) in lines.items():
        if not np.isfinite(value):
            continue
        one = alt.Chart(alt.Data(values=[{"value": value, "label": f"{label} {value:.3f}".replace("-", "−")}]))
        layers.append(one.mark_rule(strokeDash=[6, 3], strokeWidth=1.5).encode(alt.Y("value:Q", scale=scale), color=_fixed(role, dark)))
        words = one.mark_text(align="right", baseline="bottom", dy=-3, fontSize=11)
        layers.append(words.encode(alt.Y("value:Q", scale=scale), x=alt.value("width"), text="label:N", color=_fixed(role, dark)))
    return alt.layer(*layers).properties(height=280)


def work_chart(forward: np.ndarray, backward: np.ndarray, dark: bool, bins: int = 70) -> Layered:
    """Plot histograms of the work W (nats) over forward and reverse trajectories; by Crooks' theorem they cross at 0."""
    low, high = np.quantile(np.concatenate([forward, backward]), [0.002, 0.998])
    edges = np.linspace(low, high, bins + 1)
    rows = []
    for name, values in ((FORWARD, forward), (REVERSE, backward)):
        density = np.histogram(values, edges)[0] / len(values) / (edges[1] - edges[0])
        rows += [{"W": float(e), "density": float(d), "along": name} for e, d in zip((edges[:-1] + edges[1:]) / 2, density)]
    colours = alt.Scale(domain=[FORWARD, REVERSE], range=[_ink(DATA, dark), _ink(MODEL, dark)])
    across = alt.X("W:Q", title="work W = log q − log p, nats", axis=alt.Axis(tickCount=7, grid=False), scale=alt.Scale(nice=False))
    legend = alt.Legend(orient="top", title=None, labelLimit=320)
    area = (
        alt.Chart(alt.Data(values=rows))
        .mark_area(opacity=0.35, interpolate="step", line=True)
        .encode(across, alt.Y("density:Q", title=None, stack=None, axis=None), alt.Color("along:N", scale=colours, legend=legend))
    )
    zero = alt.Chart(alt.Data(values=[{"W": 0}])).mark_rule(strokeDash=[6, 3], strokeWidth=1.5)
    return alt.layer(area, zero.encode(alt.X("W:Q"), color=_fixed("exact", dark))).properties(height=240)


def _scale(roles: list[str], dark: bool) -> alt.Scale:
    names = list(dict.fromkeys(roles))
    return alt.Scale(domain=names, range=[_ink(ROLES[name], dark) for name in names])


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def _fixed(role: str, dark: bool) -> Any:
    return alt.value(_ink(ROLES[role], dark))
