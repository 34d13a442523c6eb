"""The Reversibility page: both films, and how many bits tell them apart."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
import torch

from dpm_core.continuous.reversibility import Estimate
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import session
from pages.ui.components.player import Histogram, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Export
from pages.ui.reversibility import charts, compute
from pages.ui.reversibility.question import Question, python_of

CAPTION = (
    "One film is the forward process, recorded and played backward. The other is the reverse process, which starts from noise and never "
    "saw the first. With few steps they differ; with many they cannot be told apart. The [contours](contours) show the density that both "
    "should follow."
)

MEANING = (
    "Entropy produced: the divergence of a step from the same physics run backward from its end; it is why ink mixes and never unmixes by "
    "itself. Order of pictures: what one pair x⁽ᵗ⁻¹⁾, x⁽ᵗ⁾ tells about which came first. Film or reverse: "
    "E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)), which for a p with the right moments falls to 0 as the steps become small: the quasi-static "
    "limit. The right chart is for exact Gaussian steps. Values within two standard errors of 0, or below 0.0001 bits, are not drawn."
)


def show(question: Question) -> Export:
    """The whole page. Raises DataError, ScheduleError."""
    hidden = session.bind(st.toggle, "Hide which film is which", value=False, key="hide_films")
    with working("Recording both films …"):
        payload = _payload(question, hidden)
        found, films = compute.measured(question), compute.films(question)
    player(payload, key="reversibility")
    left, right = st.columns(2, gap="medium")
    left.markdown("**Bits in every step**")
    left.altair_chart(charts.steps_chart(found, session.is_dark()))
    right.markdown("**All steps together, for other T**")
    with right, st.spinner("Measuring other numbers of steps …"):
        sums = compute.sums(question)
    right.altair_chart(charts.sums_chart(sums, session.is_dark()))
    st.markdown(
        f"Entropy produced by all steps: {_bits(found.production)}; it is KL(q(x⁽⁰⁾) ‖ π) − KL(q(x⁽ᵀ⁾) ‖ π), whatever T. "
        f"What tells the film from the reverse process: {_bits(found.reverse)}."
    )
    st.caption(MEANING)
    gif = partial(
        cached.trajectory_gif, [(films.forward, DATA), (films.reverse, MODEL if question.ref else EXACT)], session.is_dark()
    )  # fmt: skip
    table = {"t": list(range(1, question.schedule.T + 1))} | {
        f"{name}_bits": (getattr(found, name).per_step / NATS_PER_BIT).tolist() for name in charts.TITLES
    }
    arrays = {"t": films.forward.times, "film": films.forward.x, "reverse": films.reverse.x}
    return Export("dpm-reversibility", python_of(question), arrays, table, gif)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question, hidden: bool) -> bytes:
    films, found = compute.films(question), compute.measured(question)
    times = [int(t) for t in films.forward.times]
    contours = (cached.contours(question.source, question.schedule, tuple(times)),)
    few = films.forward.x.shape[1]
    note = "" if few == question.n else f"{few:,} of {question.n:,} shown"
    role = "model" if question.ref else "exact"
    panels = [
        Panel("film", "forward process, played backward", "data", films.forward.x, note, contours),
        Panel("reverse", "reverse process", role, films.reverse.x, note, contours),
    ]
    if hidden:
        order = panels if question.seed % 2 else panels[::-1]
        panels = [replace(panel, id=name, label=f"film {name.upper()}", role="noise") for name, panel in zip("ab", order)]
    at = torch.tensor([max(t, 1) - 1 for t in times])
    cards = [
        Number(title, (one.per_step[at] / NATS_PER_BIT).tolist(), 3, "bits", f"all steps: {_bits(one)}", True, colour)
        for title, one, colour in (
            ("Tells the film from the reverse process", found.reverse, role),
            ("Entropy produced by this step", found.production, "noise"),
        )
    ]
    changes = Histogram(
        "Change in this step, in units of √βₜ", compute.EDGES, films.reverse_changes, films.forward_changes,
        "bars: reverse process · line: film", role,
    )  # fmt: skip
    start = times[int(np.abs(np.array(times) - 0.2 * question.schedule.T).argmin())]
    return pack(
        Stage(
            tuple(panels), times, question.schedule.T, stages.LO, stages.HI, (*cards, changes), CAPTION, start=start,
            name="dpm-reversibility",
        )
    )  # fmt: skip


def _bits(one: Estimate) -> str:
    value = f"{one.total / NATS_PER_BIT:.3f}".replace("-", "−")
    return f"{value} ± {one.total_error / NATS_PER_BIT:.3f} bits"
