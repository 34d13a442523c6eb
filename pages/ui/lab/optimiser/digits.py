"""The paper's comparison on digits: run at the press of a button, with curves that grow; stored for the process."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dpm_core import jobs
from dpm_core.lab.optimiser.digits_comparison import BATCHES, TITLES, compare, lowest
from dpm_core.lab.optimiser.optimiser_comparison import TITLES as OPTIMISERS
from dpm_core.lab.optimiser.optimiser_comparison import Curve, best_of
from pages.ui import session
from pages.ui.kinds.records import Export
from pages.ui.lab.optimiser import charts, views
from pages.ui.lab.optimiser.compute import CLOSE
from pages.ui.lab.optimiser.question import Digits, python_of_digits

MEANING = {
    "logistic": (
        "Mean cross entropy of ten classes with 0.001 |w|², 650 weights, from w = 0; its minimum is known to 12 digits. "
    ),
    "autoencoder": (
        "Mean squared error per digit of a network with one hidden layer of 20 sigmoid units, 2,644 weights. It has many local minima; "
        "F* is the lowest loss that is known, from a run of SFO of 1,000 passes, and runs may end at other minima. "
    ),
}  # fmt: skip
SETTINGS = (
    "1,797 digits of 8 × 8 pixels in 30 minibatches; a point for every pass. SGD and Adam have the best of ten step sizes from 0.001 to "
    "30, and L-BFGS has the best of ten memories, by the same rule: first to stay within 0.001 of F*, else the lowest in its last fifth. "
    "Sohl-Dickstein, Poole & Ganguli, ICML 2014 (arXiv:1311.2115), compare on MNIST and larger networks."
)


class Found(NamedTuple):
    """The shown run of each optimiser, and the minimum."""

    runs: dict[str, Curve]
    lowest: float


@st.cache_resource(show_spinner=False)
def _found() -> dict[Digits, Found]:
    """What has been compared in this process."""
    return {}


def show(question: Digits) -> Export:
    """The whole view."""
    st.markdown(f"**{TITLES[question.objective]} on digits: loss above the minimum against effective passes**")
    if (found := _found().get(question)) is not None:
        _draw(question, found)
    else:
        button, place = st.empty(), st.empty()
        if button.button("Compare", key="compare_on_digits", type="primary"):
            button.button("Stop", key="stop_on_digits")  # any control that is used ends the work, and this one has no other effect
            _found()[question] = _compare(question, place)
            _partial().pop(question, None)
            st.rerun()
        _offer(question, place)
    for equation in views.EQUATIONS:
        st.latex(equation)
    st.caption(MEANING[question.objective] + SETTINGS)
    if found is None:
        return Export("dpm-sum-of-functions-digits", python_of_digits(question))
    columns: dict[str, list] = {"optimiser": [], "setting": [], "passes": [], "loss_above_minimum": []}
    for name, curve in found.runs.items():
        for n, loss in zip(curve.evaluations.tolist(), curve.loss.tolist()):
            for column, value in zip(columns.values(), (name, curve.setting, n / BATCHES, loss - found.lowest)):
                column.append(value)
    arrays = {f"{name}_{what}": getattr(curve, what) for name, curve in found.runs.items() for what in ("evaluations", "loss")}
    return Export("dpm-sum-of-functions-digits", python_of_digits(question), arrays, columns)


@st.cache_resource(show_spinner=False)
def _partial() -> dict[Digits, dict[str, list[Curve]]]:
    """What a comparison that was ended early had found."""
    return {}


def _offer(question: Digits, place: DeltaGenerator) -> None:
    """What the button does; and the curves of a comparison that was ended early."""
    with place.container():
        st.info(
            ("The comparison was ended early; what it had found is shown. " if question in _partial() else "")
            + "“Compare” runs SFO, and SGD, Adam and L-BFGS with ten settings each: a quarter to half a minute on two cores. "
            "The curves are drawn while they are computed."
        )
        if question in _partial():
            now = _found_in(question, _partial()[question])
            st.altair_chart(charts.loss_chart(now.runs, now.lowest, BATCHES, question.passes, session.is_dark(), 1e-8))


def _compare(question: Digits, place: DeltaGenerator) -> Found:
    """Run all, and draw what there is about once a second."""
    done: dict[str, list[Curve]] = {}
    with place.container():
        bar, chart = st.progress(0.0), st.empty()
        drawn = 0.0
        for progress in jobs.stream(compare, question.objective, question.passes):
            done[progress.name] = progress.curves
            _partial()[question] = dict(done)
            bar.progress(progress.share, f"{OPTIMISERS[progress.name]}: {100 * progress.share:.0f} % of all")
            if monotonic() > drawn + 1:
                drawn = monotonic()
                now = _found_in(question, done)
                chart.altair_chart(charts.loss_chart(now.runs, now.lowest, BATCHES, question.passes, session.is_dark(), 1e-8))
    return _found_in(question, done)


def _found_in(question: Digits, done: dict[str, list[Curve]]) -> Found:
    minimum = lowest(question.objective, done)
    return Found({name: best_of(curves, minimum + CLOSE[0]) for name, curves in done.items()}, minimum)


def _draw(question: Digits, found: Found) -> None:
    left, right = st.columns([0.56, 0.44], gap="medium")
    left.altair_chart(charts.loss_chart(found.runs, found.lowest, BATCHES, question.passes, session.is_dark(), 1e-8))
    right.markdown(views.table(found.runs, found.lowest, BATCHES))
    right.caption("Passes after which the loss stays within this distance of the minimum.")
