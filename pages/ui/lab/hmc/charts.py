"""The charts of the Hamiltonian Monte Carlo page. Nothing here imports Streamlit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, RELATIVE, Role
from dpm_core.figures.palette import INK as TEXT

HEIGHT = 300
NEAREST = 1e-4  # distance from p below which a curve is not drawn
INK = {"look_ahead": MODEL, "hmc": DATA, "mala": RELATIVE, "walk": NOISE, "reverse": EXACT}
DASH = {"look_ahead": [1, 0], "hmc": [6, 3], "mala": [2, 2], "walk": [8, 2, 2, 2], "reverse": [4, 4]}


def ink(role: Role, dark: bool) -> str:
    """The colour of a role in a theme."""
    return role.dark if dark else role.light


def _legend(names: Sequence[str], titles: Mapping[str, str], dark: bool) -> tuple[alt.Color, alt.StrokeDash]:
    domain = [titles[name] for name in names]
    legend = alt.Legend(title=None, orient="top", columns=2, symbolType="stroke", symbolOpacity=1, labelLimit=260)
    scale = alt.Scale(domain=domain, range=[ink(INK[name], dark) for name in names])
    dash = alt.StrokeDash("sampler:N", scale=alt.Scale(domain=domain, range=[DASH[name] for name in names]), sort=None, legend=legend)
    return alt.Color("sampler:N", scale=scale, sort=None, legend=legend), dash


def autocorrelation_chart(
    rows: Sequence[dict[str, Any]], titles: Mapping[str, str], dark: bool, most: float | None = None
) -> alt.LayerChart:
    """Autocorrelation against evaluations per chain, with bands of two standard errors; ``rows``: sampler, evaluations, rho, error."""
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    data = [
        {
            "sampler": titles[row["sampler"]], "evaluations": row["evaluations"], "rho": row["rho"],
            "low": row["rho"] - 2 * row["error"], "high": row["rho"] + 2 * row["error"],
        }
        for row in rows if most is None or row["evaluations"] <= most
    ]  # fmt: skip
    colour, dash = _legend(names, titles, dark)
    x = alt.X("evaluations:Q", title="evaluations per chain", axis=alt.Axis(format=",d", tickCount=5))
    scale = alt.Scale(domain=[-0.1, 1], clamp=True, nice=False)
    base = alt.Chart(alt.Data(values=data)).encode(x)
    band = base.mark_area(opacity=0.14).encode(alt.Y("low:Q", scale=scale, title="autocorrelation"), alt.Y2("high:Q"), colour)
    line = base.mark_line(strokeWidth=2).encode(
        alt.Y("rho:Q", scale=scale), colour, dash,
        tooltip=[alt.Tooltip("sampler:N"), alt.Tooltip("evaluations:Q", format=",.0f"), alt.Tooltip("rho:Q", format=".3f")],
    )  # fmt: skip
    return (band + line).properties(height=HEIGHT)


def ladder_chart(energies: Sequence[float], probabilities: Sequence[float], reversal: float, dark: bool) -> alt.LayerChart:
    """The states ζ, Lζ, …, Lᴷζ in a row and, below, their copies with reversed momentum; arcs as wide as the transition is probable."""
    K = len(probabilities)
    names = ["ζ"] + ["Lζ" if a == 1 else f"L{_raised(a)}ζ" for a in range(1, K + 1)]
    states = [
        {"x": float(a), "y": 0.0, "name": names[a], "energy": f"ΔE = {energies[a]:+.2f}".replace("-", "−") if a else "ΔE = 0"}
        for a in range(K + 1)
    ]
    states += [{"x": float(a), "y": -1.0, "name": "F" + names[a], "energy": ""} for a in range(K + 1)]
    arcs, words = [], []
    for a, p in enumerate(probabilities, 1):
        height = 0.35 + 0.28 * a
        arcs += [
            {"arc": str(a), "order": i, "x": s * a, "y": 0.12 + height * math.sin(math.pi * s), "p": p}
            for i, s in enumerate(k / 20 for k in range(21))
        ]  # fmt: skip
        words.append({"x": a / 2, "y": 0.2 + height, "p": f"{100 * p:.1f} %"})
    arcs += [{"arc": "F", "order": i, "x": 0.0, "y": y, "p": reversal} for i, y in enumerate((-0.48, -0.88))]
    words.append({"x": 0.08, "y": -0.68, "p": f"reversed {100 * reversal:.1f} %"})
    scale_y = alt.Scale(domain=[-1.35, 0.55 + 0.28 * K + 0.35], nice=False)
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.35, K + 0.35], nice=False))
    y = alt.Y("y:Q", axis=None, scale=scale_y)
    red, grey = ink(MODEL, dark), ink(NOISE, dark)
    lines = alt.Chart(alt.Data(values=arcs)).mark_line(color=red, strokeCap="round").encode(
        x, y, alt.Detail("arc:N"), alt.Order("order:Q"),
        alt.StrokeWidth("p:Q", scale=alt.Scale(domain=[0, 1], range=[0.4, 9]), legend=None),
        opacity=alt.value(0.75),
    )  # fmt: skip
    dots = alt.Chart(alt.Data(values=states)).mark_circle(size=70, color=grey, opacity=1).encode(x, y)
    text = alt.value(ink(TEXT, dark))
    labels = alt.Chart(alt.Data(values=states)).mark_text(dy=16, fontSize=13).encode(x, y, alt.Text("name:N"), color=text)
    energy = alt.Chart(alt.Data(values=states)).mark_text(dy=32, fontSize=11, opacity=0.8).encode(x, y, alt.Text("energy:N"), color=text)
    shares = alt.Chart(alt.Data(values=words)).mark_text(fontSize=12, align="left").encode(x, y, alt.Text("p:N"), color=text)
    return (lines + dots + labels + energy + shares).properties(height=HEIGHT)


def gap_chart(rows: Sequence[dict[str, float]], share: float, dark: bool) -> alt.LayerChart:
    """The spectral gap against the asymmetry, from 0 (detailed balance) to 1 (a backward rate vanishes); a dot at the chosen one."""
    x = alt.X("asymmetry:Q", title="current φ ÷ largest possible", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("gap:Q", title="spectral gap, per unit of time", scale=alt.Scale(zero=False, nice=True))
    line = alt.Chart(alt.Data(values=list(rows))).mark_line(color=ink(EXACT, dark), strokeWidth=2).encode(
        x, y, tooltip=[alt.Tooltip("asymmetry:Q", format=".2f"), alt.Tooltip("gap:Q", format=".4f")]
    )  # fmt: skip
    near = min(rows, key=lambda row: abs(row["asymmetry"] - share))
    dot = alt.Chart(alt.Data(values=[near])).mark_circle(size=90, color=ink(MODEL, dark), opacity=1).encode(x, y)
    return (line + dot).properties(height=HEIGHT)


def relaxation_chart(rows: Sequence[dict[str, Any]], dark: bool) -> alt.Chart:
    """Distance to the stationary distribution over time, with and without the current."""
    titles = ["With the current", "Detailed balance"]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke")
    return (
        alt.Chart(alt.Data(values=list(rows)))
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            alt.X("time:Q", title="time"),
            alt.Y(
                "distance:Q", title="total variation from p, worst start", axis=alt.Axis(format="~g"),
                scale=alt.Scale(type="log", domain=[NEAREST, 1], nice=False),
            ),
            alt.Color("sampler:N", scale=alt.Scale(domain=titles, range=[ink(MODEL, dark), ink(DATA, dark)]), sort=None, legend=legend),
            alt.StrokeDash("sampler:N", scale=alt.Scale(domain=titles, range=[[1, 0], [6, 3]]), sort=None, legend=legend),
            tooltip=[alt.Tooltip("sampler:N"), alt.Tooltip("time:Q", format=".2f"), alt.Tooltip("distance:Q", format=".2g")],
        )
        .properties(height=HEIGHT)
    )  # fmt: skip


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
