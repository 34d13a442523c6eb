"""The accuracy of trained networks over weight variance and depth. Nothing here imports Streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from dpm_core.figures.palette import EXACT, GROUND, MODEL, NOISE
from dpm_core.lab.signals.trainability import Row, Setting

HEIGHT = 400


def edges(centres: Sequence[float], logarithmic: bool) -> list[float]:
    """The borders of cells around these centres, halfway between neighbours, in log if asked."""
    x = np.log(np.array(centres, dtype=float)) if logarithmic else np.array(centres, dtype=float)
    if len(x) == 1:
        borders = np.array([x[0] - 0.5, x[0] + 0.5])
    else:
        inner = (x[1:] + x[:-1]) / 2
        borders = np.concatenate([[2 * x[0] - inner[0]], inner, [2 * x[-1] - inner[-1]]])
    return (np.exp(borders) if logarithmic else borders).tolist()


def accuracy_chart(
    setting: Setting, rows: Sequence[Row], sigma_w2: np.ndarray, trainable: np.ndarray, critical: float, dark: bool
) -> alt.LayerChart:
    """Cells of accuracy with their percentages, the curve 6 ξ_c = ``trainable`` over ``sigma_w2``, and the edge of chaos."""
    across, up = edges(setting.sigma_w2, False), edges(setting.depths, True)
    ground, full, line, grey = (role.dark if dark else role.light for role in (GROUND, MODEL, EXACT, NOISE))
    cells = [
        {
            "σ_w²": w, "depth": row.depth, "left": across[i], "right": across[i + 1], "low": up[k], "high": up[k + 1],
            "accuracy": row.accuracy[i], "percent": f"{100 * row.accuracy[i]:.0f}",
            "held out": f"{row.held_out[i]:.1%}" if row.held_out else "after training", "steps": row.step,
        }
        for row in rows
        for k in [setting.depths.index(row.depth)]
        for i, w in enumerate(setting.sigma_w2)
    ]  # fmt: skip
    curve = [
        {"σ_w²": float(w), "6 ξ_c": min(float(depth), 1e6)}
        for w, depth in zip(sigma_w2, trainable)
        if not math.isnan(depth) and depth > up[0]
    ]
    x = alt.Scale(domain=[across[0], across[-1]], nice=False)
    y = alt.Scale(type="log", domain=[up[0], up[-1]], nice=False)
    bottom = alt.Axis(grid=False, values=[1, 1.5, 2, 2.5, 3, 3.5, 4])
    side = alt.Axis(grid=False, values=list(setting.depths), format="d", labelOverlap=False)
    frame = alt.Chart(alt.Data(values=[{"left": across[0], "right": across[-1], "low": up[0], "high": up[-1]}])).encode(
        alt.X("left:Q", scale=x, title="weight variance", axis=bottom),
        alt.X2("right:Q"),
        alt.Y("low:Q", scale=y, title="depth, layers", axis=side),
        alt.Y2("high:Q"),
    )
    layers: list[alt.Chart] = [frame.mark_rect(fill="transparent", stroke=grey, strokeOpacity=0.5)]
    if cells:
        data = alt.Data(values=cells)
        tip = [
            alt.Tooltip("σ_w²:Q", format=".2f"), alt.Tooltip("depth:Q"), alt.Tooltip("accuracy:Q", format=".1%", title="training accuracy"),
            alt.Tooltip("held out:N", title="held-out accuracy"), alt.Tooltip("steps:Q", format=","),
        ]  # fmt: skip
        colour = alt.Color("accuracy:Q", scale=alt.Scale(domain=[0.1, 1], range=[ground, full], clamp=True), legend=None)
        places = {"x": alt.X("left:Q", scale=x), "x2": "right:Q", "y": alt.Y("low:Q", scale=y), "y2": "high:Q"}
        layers.append(alt.Chart(data).mark_rect().encode(**places, color=colour, tooltip=tip))
    if curve:
        base = alt.Chart(alt.Data(values=curve)).encode(
            alt.X("σ_w²:Q", scale=x),
            alt.Y("6 ξ_c:Q", scale=y),
            tooltip=[alt.Tooltip("σ_w²:Q", format=".2f"), alt.Tooltip("6 ξ_c:Q", format=".0f")],
        )
        layers += [
            base.mark_line(strokeWidth=6, color=ground, opacity=0.7, clip=True),
            base.mark_line(strokeWidth=3, color=line, clip=True),
        ]
    if cells:  # above the curve, so that it hides no number
        at = {"x": alt.X("σ_w²:Q", scale=x), "y": alt.Y("depth:Q", scale=y)}
        ink = GROUND.light if dark else GROUND.dark
        layers.append(alt.Chart(data).mark_text(fontSize=11, color=ink).encode(**at, text="percent:N", tooltip=tip))
    if across[0] < critical < across[-1]:
        rule = alt.Chart(alt.Data(values=[{"at": critical}])).mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=line)
        layers.append(rule.encode(alt.X("at:Q", scale=x)))
    return alt.LayerChart(layer=layers).properties(height=HEIGHT)
