"""The charts of the Continuous page. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np

from dpm_core.continuous import SOLVERS, Convergence
from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, Role

COLOURS: dict[str, Role] = {"euler": NOISE, "heun": MODEL, "exponential": DATA, "edm": EXACT}
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
HEIGHT = 300


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def paths_chart(many: np.ndarray, few: np.ndarray, steps: int, dark: bool) -> alt.LayerChart:
    """First coordinates over the time t/T: the limit as a thin line, the chain as dots joined by steps."""
    thin = max(1, (len(many) - 1) // 256)
    rows = [
        {"which": which, "particle": i, "t/T": k * stride / (len(x) - 1), "x": float(x[k * stride, i])}
        for which, x, stride in (("limit", many, thin), (f"{steps} steps", few, 1))
        for k in range((len(x) - 1) // stride + 1)
        for i in range(x.shape[1])
    ]
    scale = alt.Scale(domain=["limit", f"{steps} steps"], range=[_ink(NOISE, dark), _ink(DATA, dark)])
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("t/T:Q", title="time t/T", scale=alt.Scale(domain=[0, 1])),
        alt.Y("x:Q", title="first coordinate of x"),
        alt.Color("which:N", scale=scale, sort=None, legend=alt.Legend(title=None, orient="top", symbolType="stroke")),
        alt.Detail("particle:N"),
    )
    limit = base.transform_filter("datum.which == 'limit'").mark_line(strokeWidth=1, opacity=0.9)
    chain = base.transform_filter("datum.which != 'limit'")
    points = chain.mark_point(filled=True, size=34 if steps <= 32 else 8)
    return (limit + chain.mark_line(strokeWidth=1.6) + points).properties(height=HEIGHT)


def errors_chart(found: Mapping[str, Convergence], which: str, title: str, dark: bool) -> alt.LayerChart:
    """An error, the field ``which``, over the number of evaluations of the score, on logarithmic axes, a line for every solver."""
    titles = [SOLVERS[name].title for name in found]
    colour = alt.Scale(domain=titles, range=[_ink(COLOURS.get(name, MODEL), dark) for name in found])
    dash = alt.Scale(domain=titles, range=[DASHES[i % len(DASHES)] for i in range(len(titles))])
    rows = [
        {"solver": SOLVERS[name].title, "evaluations": calls, "error": error}
        for name, one in found.items()
        for calls, error in zip(one.calls, getattr(one, which))
        if np.isfinite(error) and error > 0
    ]
    base = alt.Chart(alt.Data(values=rows), title=alt.TitleParams(title, fontSize=13, fontWeight="normal", anchor="start")).encode(
        alt.X("evaluations:Q", title="evaluations of the score", scale=alt.Scale(type="log", nice=False, padding=8)),
        alt.Y("error:Q", title="error", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", tickCount=5)),
        alt.Color("solver:N", scale=colour, sort=None, legend=alt.Legend(title=None, orient="top", columns=2, symbolType="stroke")),
        alt.StrokeDash("solver:N", scale=dash, sort=None, legend=None),
        [alt.Tooltip("solver:N"), alt.Tooltip("evaluations:Q"), alt.Tooltip("error:Q", format=".2e")],
    )
    return (base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=36)).properties(height=HEIGHT)


def bound_chart(steps: Sequence[int], losses: Mapping[str, Sequence[float]], titles: Mapping[str, str], dark: bool) -> alt.LayerChart:
    """The diffusion loss over the number of steps, a line for every schedule."""
    rows = [{"schedule": titles[name], "N": n, "bits": value} for name, values in losses.items() for n, value in zip(steps, values)]
    domain = [titles[name] for name in losses]
    ink = [_ink(role, dark) for role in (MODEL, EXACT, DATA, NOISE)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("N:Q", title="number of steps N", scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(values=list(steps))),
        alt.Y("bits:Q", title="cost of the steps, bits", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~g")),
        alt.Color(
            "schedule:N", scale=alt.Scale(domain=domain, range=ink), sort=None, legend=alt.Legend(title=None, orient="top", columns=2)
        ),
        [alt.Tooltip("schedule:N"), alt.Tooltip("N:Q"), alt.Tooltip("bits:Q", format=".2f")],
    )
    return (base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=36)).properties(height=HEIGHT)
