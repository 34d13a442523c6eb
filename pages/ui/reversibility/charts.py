"""The charts of the Reversibility page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt

from dpm_core.continuous.reversibility import Reversibility
from dpm_core.figures.palette import DATA, MODEL, NOISE
from dpm_core.measure.bound import NATS_PER_BIT

TITLES = {
    "production": "entropy produced",
    "direction": "order of pictures",
    "reverse": "film or reverse",
}
COLOURS = {"production": NOISE, "direction": DATA, "reverse": MODEL}
SMALLEST = 1e-4  # bits: below, a chart shows nothing but sampling error
HEIGHT = 300


def _colour(names: list[str], dark: bool) -> alt.Color:
    ink = [COLOURS[name].dark if dark else COLOURS[name].light for name in names]
    scale = alt.Scale(domain=[TITLES[name] for name in names], range=ink)
    return alt.Color("what:N", scale=scale, sort=None, legend=alt.Legend(title=None, orient="top", columns=2, symbolType="stroke"))


def steps_chart(found: Reversibility, dark: bool) -> alt.LayerChart:
    """Bits of every step over t, on a logarithmic axis; values below SMALLEST and those within two standard errors of 0 are left out."""
    rows = []
    for name in TITLES:
        one = getattr(found, name)
        for t, (nats, error) in enumerate(zip(one.per_step.tolist(), one.error.tolist()), 1):
            if nats > max(2 * error, SMALLEST):
                rows.append({"what": TITLES[name], "t": t, "bits": nats / NATS_PER_BIT, "±": error / NATS_PER_BIT})
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("t:Q", title="step t", scale=alt.Scale(domain=[0, len(found.production.per_step)], nice=False), axis=alt.Axis(tickMinStep=1)),
        alt.Y("bits:Q", title="bits in this step", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", tickCount=5)),
        _colour(list(TITLES), dark),
        [alt.Tooltip("what:N"), alt.Tooltip("t:Q"), alt.Tooltip("bits:Q", format=".3g"), alt.Tooltip("±:Q", format=".2g")],
    )
    points = base.mark_point(filled=True, size=30 if len(found.production.per_step) <= 60 else 6)
    return (base.mark_line(strokeWidth=1.8) + points).properties(height=HEIGHT)


def sums_chart(found: Mapping[int, Reversibility], dark: bool) -> alt.LayerChart:
    """Sums over all steps against T, both axes logarithmic."""
    rows = [
        {"what": TITLES[name], "T": T, "bits": getattr(one, name).total / NATS_PER_BIT}
        for T, one in found.items()
        for name in ("production", "reverse")
        if getattr(one, name).total > 0
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("T:Q", title="number of steps T", scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(values=list(found))),
        alt.Y("bits:Q", title="bits, sum over steps", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", tickCount=5)),
        _colour(["production", "reverse"], dark),
        [alt.Tooltip("what:N"), alt.Tooltip("T:Q"), alt.Tooltip("bits:Q", format=".3g")],
    )
    return (base.mark_line(strokeWidth=1.8) + base.mark_point(filled=True, size=36)).properties(height=HEIGHT)
