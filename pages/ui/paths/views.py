"""The Paths page: the same noise along every path, and what a path costs in steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import altair as alt
import streamlit as st

from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE
from pages.ui import session
from pages.ui.components.player import Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Export
from pages.ui.paths import compute
from pages.ui.paths.compute import REFLOW, TITLES
from pages.ui.paths.question import Question, python_of

DRAWN = 60  # particles whose lines are drawn
INK = {"line": MODEL, "preserving": DATA, "exploding": NOISE, REFLOW: EXACT}
CAPTION = (
    "All panels start from the same noise, and with many steps all paths but the re-flow end in the same points: they differ in scale and "
    "time alone. The [lines](lines) show how a particle travels. The lines of “Straight line” are straight for one pair of noise and data, "
    "but not for the flow, which follows the mean of all pairs; re-flow makes them nearly straight. Variance exploding is drawn divided by "
    "√(1 + b²)."
)


def show(question: Question) -> Export:
    """The whole page. Raises DataError."""
    if question.reflow:
        with st.status("Training the straightened flow …", expanded=False) as status:
            bar = st.progress(0.0)
            compute.reflow_model(question, lambda share: _show(bar, share))
            status.update(label="The straightened flow is trained.", state="complete")
    with working("Following the flows …"):
        payload = _payload(question)
        runs = {name: compute.run(question, name) for name in compute.shown(question)}
    player(payload, key="paths")
    st.markdown("**How many steps does a path need?**")
    with st.spinner("Comparing numbers of steps …"):
        found = {name: compute.distances(question, name) for name in compute.shown(question)}
    floor, spread = compute.floor(question.source)
    st.altair_chart(_chart(found, floor, session.is_dark()))
    straight = "; ".join(f"{TITLES[name]} {one.straightness:.2f}" for name, one in runs.items())
    st.markdown(f"Departure from straight lines, ∫ E|dx/ds − (x₁ − x₀)|² ds / E|x₁ − x₀|²: {straight}.")
    st.markdown(
        f"The same noise → data map: with {4 * compute.FINE} Heun steps the straight line and the variance-preserving path end "
        f"{compute.apart(question):.3f} apart (median)."
    )
    st.caption(
        f"First-order steps, one evaluation of the velocity each; {stages.COMPARED['sliced']:,} particles. Two draws of the data: "
        f"{floor:.3f} ± {spread:.3f} (line). The velocity of every path follows from one posterior mean, so a network that was trained for "
        "diffusion gives them all; flow matching trains the same network with another weight for each time (the loss “flow” on Train)."
    )
    gif = partial(cached.trajectory_gif, [(one.path, INK[name]) for name, one in runs.items()], session.is_dark())
    table: dict[str, list] = {"evaluations": list(compute.COUNTS)}
    table |= {name: list(values.values()) for name, values in found.items()}
    arrays = {"t": runs["line"].path.times} | {name: one.path.x for name, one in runs.items()}
    return Export("dpm-paths", python_of(question), arrays, table, gif)


def _show(bar: Any, share: float) -> None:
    bar.progress(share)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question) -> bytes:
    role = "model" if question.ref else "exact"
    panels, cards = [], []
    floor, spread = compute.floor(question.source)
    for name in compute.shown(question):
        flow = compute.run(question, name)
        x = flow.path.x / compute.picture_scale(name, question.steps)[:, None, None]
        few = x.shape[1]
        note = "" if few == question.n else f"{few:,} of {question.n:,} shown"
        colour = "model" if name == REFLOW else role
        lines = Lines("lines", "lines", colour, [[x[: i + 1, k] for k in range(min(DRAWN, few))] for i in range(len(x))])
        panels.append(Panel(name, TITLES[name], colour, x, note, (lines,)))
        end = compute.end_distance(question, name)
        cards.append(Number(TITLES[name], [end], 3, "", f"sliced W₂ to the data · two draws {floor:.3f} ± {spread:.3f}", False, colour))
    times = list(range(question.steps, -1, -1))
    return pack(
        Stage(
            tuple(panels), times, question.steps, stages.LO, stages.HI, tuple(cards), CAPTION, on=("lines",), start=0,
            name="dpm-paths",
        )
    )  # fmt: skip


def _chart(found: dict[str, dict[int, float]], floor: float, dark: bool) -> alt.LayerChart:
    """Distance to the data over evaluations of the velocity, a line for every path, and the distance of two draws."""
    rows = [{"path": TITLES[name], "evaluations": n, "distance": value} for name, values in found.items() for n, value in values.items()]
    titles = [TITLES[name] for name in found]
    ink = [INK[name].dark if dark else INK[name].light for name in found]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X(
            "evaluations:Q", title="evaluations of the velocity", scale=alt.Scale(type="log", nice=False, padding=8),
            axis=alt.Axis(values=list(compute.COUNTS)),
        ),
        alt.Y("distance:Q", title="sliced W₂ to the data", scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~g")),
        alt.Color("path:N", scale=alt.Scale(domain=titles, range=ink), sort=None, legend=alt.Legend(title=None, orient="top", columns=2)),
        [alt.Tooltip("path:N"), alt.Tooltip("evaluations:Q"), alt.Tooltip("distance:Q", format=".3f")],
    )  # fmt: skip
    rule = alt.Chart(alt.Data(values=[{"floor": floor}])).mark_rule(strokeDash=[4, 4], opacity=0.6).encode(alt.Y("floor:Q"))
    return (base.mark_line(strokeWidth=2) + base.mark_point(filled=True, size=36) + rule).properties(height=300)
