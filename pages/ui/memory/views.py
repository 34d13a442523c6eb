"""The Memory page: samples of a memoriser, of a network and of the data, and when a trajectory is decided."""

from __future__ import annotations

from functools import partial

import streamlit as st

from dpm_core.figures.palette import EXACT, MODEL
from pages.ui import session
from pages.ui.components.player import Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Export
from pages.ui.memory import charts, compute
from pages.ui.memory.compute import KERNELS
from pages.ui.memory.question import Question, controls, python_of

ROLES = {"memoriser": "exact", "network": "model", "truth": "data"}
CAPTION = (
    "The exact reverse kernel of N points is a perfect memoriser: every sample is one of the points. A network that is too small to be "
    "exact puts samples between them, and that is how it generalises. The [contours](contours) are those of the distribution from which "
    "the points were drawn."
)


def show() -> Export:
    """The whole page. Raises DataError, ScheduleError."""
    with st.sidebar:
        question = controls()
    with st.status("Training a network on the points …", expanded=False) as status:
        bar = st.progress(0.0)

        def progress(share: float) -> None:
            bar.progress(share)

        compute.network(question, progress)
        status.update(label=f"A network of width {question.width} is trained on {question.points:,} points.", state="complete")
    with working("Sampling …"):
        payload, times = _payload(question), compute.times(question)
        near = {name: compute.samples(question, name) for name in KERNELS}
    player(payload, key="memory")
    st.markdown(
        "Copies of a training point, and mean distance to the nearest one: "
        + "; ".join(f"{KERNELS[name]} {100 * one.copies:.0f} %, {one.distance:.3f}" for name, one in near.items())
        + "."
    )
    left, middle, right = st.columns(3, gap="medium")
    dark, marks = session.is_dark(), (times.speciation, times.collapse)
    left.markdown("**Information that is left**")
    left.altair_chart(charts.information_chart(times.information, question.points, *marks, dark))
    middle.markdown("**Bound to one training point**")
    middle.altair_chart(charts.participation_chart(times.participation, *marks, dark))
    right.markdown("**What the network has learned**")
    with right, st.spinner("Comparing kernels …"):
        differences = compute.differences(question)
    right.altair_chart(charts.differences_chart(differences, dark))
    st.caption(
        f"Speciation at t = {times.speciation:.1f}: signal and noise are equally strong along the first principal component; before, a "
        f"trajectory may still end anywhere. Collapse at t = {times.collapse:.1f}: x⁽ᵗ⁾ carries log₂ N bits about x⁽⁰⁾, enough to tell N "
        "points apart, and the memoriser is bound to one of them (Biroli et al. 2024). A copy is a sample whose distance to the nearest "
        "training point is less than a third of that to the second nearest; many new data are copies, too, where N is small."
    )
    gif = partial(
        cached.trajectory_gif, [(compute.path(question, name), role) for name, role in (("memoriser", EXACT), ("network", MODEL))], dark
    )  # fmt: skip
    arrays = {"points": compute.points(question).numpy()} | {name: compute.path(question, name).x for name in KERNELS}
    steps = range(1, question.schedule.T + 1)
    table: dict[str, list] = {"t": list(steps), "information_bits": times.information, "participation": times.participation}
    table |= differences
    return Export("dpm-memory", python_of(question), arrays, table, gif)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question) -> bytes:
    paths = {name: compute.path(question, name) for name in KERNELS}
    at = [int(t) for t in paths["memoriser"].times]
    contours = (cached.contours(question.source, question.schedule, tuple(at)),)
    few = paths["truth"].x.shape[1]
    note = "" if few == question.n else f"{few:,} of {question.n:,} shown"
    panels = tuple(Panel(name, title, ROLES[name], paths[name].x, note, contours) for name, title in KERNELS.items())
    cards = tuple(
        Number(
            f"Copies: {KERNELS[name]}", [100 * one.copies], 0, "%", f"distance to the nearest training point {one.distance:.3f}", False,
            ROLES[name],
        )
        for name, one in ((name, compute.samples(question, name)) for name in KERNELS)
    )  # fmt: skip
    return pack(
        Stage(panels, at, question.schedule.T, stages.LO, stages.HI, cards, CAPTION, start=0, name="dpm-memory")
    )  # fmt: skip
