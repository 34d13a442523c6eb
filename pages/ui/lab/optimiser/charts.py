"""The charts of the Sum of functions page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np

from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, RELATIVE, Role
from dpm_core.lab.optimiser.optimiser_comparison import TITLES, Curve
from pages.ui.lab.optimiser.compute import CLOSE, above_minimum

INK: dict[str, Role] = {"sfo": MODEL, "sgd": DATA, "adam": RELATIVE, "lbfgs": EXACT}
DASHES = {"sfo": [1, 0], "sgd": [6, 3], "adam": [2, 2], "lbfgs": [10, 3, 2, 3]}
MOST_POINTS = 400  # of a line
HEIGHT = 320


def loss_chart(curves: Mapping[str, Curve], lowest: float, N: int, passes: int, dark: bool, floor: float = 1e-12) -> alt.LayerChart:
    """Loss above the minimum against effective passes, one line for each optimiser; values below ``floor`` stand on it."""
    rows = [
        {"optimiser": TITLES[name], "passes": float(n) / N, "loss": float(max(value, floor))}
        for name, curve in curves.items()
        for n, value in _thin(curve.evaluations, above_minimum(curve, lowest))
        if np.isfinite(value)
    ]
    titles = [TITLES[name] for name in curves]
    ink = [INK[name].dark if dark else INK[name].light for name in curves]
    legend = alt.Legend(title=None, orient="top", columns=2, symbolType="stroke", symbolSize=300)
    encoding = {
        "x": alt.X("passes:Q", title="effective passes through the subfunctions", scale=alt.Scale(domain=[0, passes], nice=False)),
        "y": alt.Y("loss:Q", title="loss above the minimum, F − F*", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=7)),
        "color": alt.Color("optimiser:N", scale=alt.Scale(domain=titles, range=ink), sort=None, legend=legend),
        "strokeDash": alt.StrokeDash(
            "optimiser:N", scale=alt.Scale(domain=titles, range=[DASHES[name] for name in curves]), sort=None, legend=legend
        ),
        "tooltip": [alt.Tooltip("optimiser:N"), alt.Tooltip("passes:Q", format=".2f"), alt.Tooltip("loss:Q", format=".3g")],
    }
    lines = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2, interpolate="step-after").encode(**encoding)
    close = [{"y": level} for level in CLOSE if level >= floor]
    ink_of_rule = NOISE.dark if dark else NOISE.light
    rules = alt.Chart(alt.Data(values=close)).encode(y="y:Q")
    return (rules.mark_rule(strokeDash=[3, 3], color=ink_of_rule) + lines).properties(height=HEIGHT)


def _thin(evaluations: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
    """At most MOST_POINTS pairs, the last among them."""
    rows = np.unique(np.linspace(0, len(evaluations) - 1, min(len(evaluations), MOST_POINTS)).round().astype(int))
    return [(float(evaluations[i]), float(values[i])) for i in rows]
