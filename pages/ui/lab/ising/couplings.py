"""The view in which the couplings of an Ising model are recovered from its samples."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dpm_core.lab.flow.ising_estimators import ESTIMATORS, FLOW
from dpm_core.lab.flow.ising_models import to_bits
from dpm_core.lab.minimum_probability_flow import ising_objective
from pages.ui import session
from pages.ui.components.player import Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.records import Export
from pages.ui.lab.ising import charts, races
from pages.ui.lab.ising.question import CouplingsQuestion, python_of_couplings
from pages.ui.lab.ising.races import Race, title

SHOWN = 4  # panels of the player
CAPTION = (
    "Each dot is a pair of spins: its true coupling to the right, its estimate upwards, both from −{reach:.2g} to {reach:.2g}. A perfect "
    "estimate lies on the [diagonal](diagonal). The time t is in milliseconds of the estimator's own work; before its first estimate all "
    "couplings are 0."
)
SOURCES = (
    "Minimum probability flow: Sohl-Dickstein, Battaglino & DeWeese, Phys. Rev. Lett. 107, 220601 (2011), and *Minimum Probability Flow "
    "Learning*, ICML 2011 (arXiv:0906.4779). Pseudolikelihood: Besag, The Statistician 24, 179 (1975). Naive mean field: Kappen & "
    "Rodríguez, Neural Computation 10, 1137 (1998). TAP: Tanaka, Phys. Rev. E 58, 2302 (1998); Roudi, Aurell & Hertz, Front. Comput. "
    "Neurosci. 3, 22 (2009). Contrastive divergence: Hinton, Neural Computation 14, 1771 (2002)."
)
VARIANTS = (
    "The papers derive K with neighbours outside the data only; then K is the derivative of KL(p⁽⁰⁾ ‖ p⁽ᵗ⁾) at t = 0. Their code for Ising "
    "models sums over all single flips, as does “Minimum probability flow” here. With few spins nearly all states are data, so “neighbours "
    "outside the data” loses most of what it could learn from and is biased; with many spins both agree. The all-bits flip adds one "
    "neighbour, in which every spin is reversed; products of pairs do not change, so its term contains the fields alone. “Matched "
    "connectivity” sets g(x, x') = 1/cosh(½[E(x) − E(x')]) at a first rough estimate: any symmetric g is allowed, and this one makes rare "
    "flips, whose rates vary most, count less."
)


def show(question: CouplingsQuestion, names: list[str]) -> Export:
    """The whole view. Raises ValueError."""
    usable = [name for name in names if question.exact or not ESTIMATORS[name].states]
    waiting = races.missing(question, usable)
    before, place = st.empty(), st.empty()
    asked = bool(waiting) and question.heavy and _asked(question, waiting, before)
    if asked:
        before.empty()
    with working("Sampling the model, and estimating its couplings …"):
        model, x = races.data(question)
        if waiting and (asked or not question.heavy):
            _run(question, waiting, place)
    found = races.found(question, usable)
    ended = {name: race for name, race in found.items() if len(race.seconds)}
    if ended:
        player(_payload(question, ended), key="couplings")
    _say_problems(question, names, found)
    _charts(question, ended)
    if ended:
        _table(question, ended)
    _equation(question, ended)
    table: dict[str, list] = {"estimator": [], "seconds": [], "error": []}
    arrays = {"samples": x.numpy().astype(np.uint8), "couplings": model.couplings.numpy(), "fields": model.fields.numpy()}
    for name, race in ended.items():
        table["estimator"] += [name] * len(race.seconds)
        table["seconds"] += race.seconds.tolist()
        table["error"] += races.errors(question, race).tolist()
        arrays[f"{name}_couplings"] = _matrix(question.d, race.pairs[-1])
    return Export("dpm-inverse-ising", python_of_couplings(question, usable), arrays, table)


def _asked(question: CouplingsQuestion, waiting: list[str], place: DeltaGenerator) -> bool:
    """The button before much work, and whether it was pressed."""
    with place.container():
        pressed = st.button("Run the estimators", type="primary", key="run_estimators")
        st.caption(
            f"{question.d} spins and {question.n:,} samples take up to several seconds for each estimator. Waiting to run: "
            f"{', '.join(title(name) for name in waiting)}."
        )
    return pressed


def _run(question: CouplingsQuestion, waiting: list[str], place: DeltaGenerator) -> None:
    """Run what has not been run, with progress."""
    with place.container():
        bar = st.progress(0.0)
        for i, name in enumerate(waiting):
            bar.progress(i / len(waiting), f"{title(name)} …")
            races.run(question, name, partial(_report, bar, i, len(waiting), name))
    place.empty()


def _report(bar: DeltaGenerator, i: int, of: int, name: str, count: int) -> None:
    if count % 5 == 0:
        bar.progress((i + count / (count + 10)) / of, f"{title(name)}: estimate {count} …")


def _say_problems(question: CouplingsQuestion, names: list[str], found: dict[str, Race]) -> None:
    for name in names:
        if not question.exact and ESTIMATORS[name].states:
            st.caption(
                f"Maximum likelihood sums over all 2ᵈ states, so it is left out for {question.d} spins; choose at most 20 to see it."
            )
        elif name in found and found[name].problem:
            st.warning(session.plain(f"{title(name)}: {found[name].problem}"))
    if far := races.far_away(question, found):
        st.info(
            f"{', '.join(title(name) for name in far)}: the estimates grow far beyond the true couplings, because some spins hardly ever "
            "disagree in these samples. Use a higher temperature or more samples."
        )
    if not names:
        st.info("Choose at least one estimator.")
    if "tap" in found and not found["tap"].problem and (without := races.tap_without_solution(question)):
        st.caption(f"The TAP equation has no real solution for {without} of the pairs; their estimate is its real part.")


@st.cache_resource(max_entries=16, show_spinner=False)
def _packed(question: CouplingsQuestion, ends: tuple[tuple[str, float], ...]) -> bytes:
    """``ends``: estimators and their last seconds, which tell one run of them from another."""
    ended = races.found(question, [name for name, _ in ends])
    times, true = races.milliseconds(ended), races.true_pairs(question)
    reach = max(1.25 * float(np.abs(true).max()), 0.05)
    directions = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    diagonal = Lines("diagonal", "diagonal", "noise", [[3 * reach * np.stack([-to, to]) for to in directions]])
    panels, cards = [], []
    for name in list(ended)[:SHOWN]:
        race, role = ended[name], "exact" if ESTIMATORS[name].states else "model"
        estimate = races.at_times(race, times)
        positions = np.stack([np.broadcast_to(true, estimate.shape), estimate], -1)
        panels.append(Panel(name, ESTIMATORS[name].short, role, positions, "", (diagonal,)))
        errors = np.sqrt(np.square(estimate - true).mean(1))
        cards.append(Number(title(name), errors.tolist(), 4, "", f"error of Kᵢⱼ · ended after {_duration(race.seconds[-1])}", True, role))
    return pack(
        Stage(
            tuple(panels), times, times[-1], -reach, reach, tuple(cards), CAPTION.format(reach=reach), on=("diagonal",),
            duration=6.0, start=times[-1], name="dpm-inverse-ising",
        )
    )  # fmt: skip


def _payload(question: CouplingsQuestion, ended: dict[str, Race]) -> bytes:
    return _packed(question, tuple((name, float(race.seconds[-1])) for name, race in ended.items()))


def _charts(question: CouplingsQuestion, ended: dict[str, Race]) -> None:
    model, _ = races.data(question)
    true, dark = model.couplings.numpy(), session.is_dark()
    left, right = st.columns(2, gap="medium")
    count = int(np.count_nonzero(np.triu(true, 1)))
    left.markdown("**True couplings**" + (f", the strongest {charts.EDGES} of {count:,}" if count > charts.EDGES else ""))
    left.altair_chart(charts.graph_chart(true, model.fields.numpy(), model.places, dark))
    if not ended:
        return
    first = next(iter(ended))
    right.markdown(f"**True and estimated: {title(first)}**")
    right.altair_chart(charts.matrix_chart(true, _matrix(question.d, ended[first].pairs[-1]), dark))


def _table(question: CouplingsQuestion, ended: dict[str, Race]) -> None:
    last = {name: float(races.errors(question, race)[-1]) for name, race in ended.items()}
    best = min(last.values())
    limit = max(float(race.seconds[-1]) for race in ended.values())
    marks = [mark for mark in races.CHECKPOINTS if mark < 1.5 * limit][-3:] or [races.CHECKPOINTS[0]]
    rows = []
    for name, race in sorted(ended.items(), key=lambda item: last[item[0]]):
        row: dict[str, str] = {
            "Estimator": title(name),
            "Error": f"{last[name]:.4f}",
            "÷ best": f"{last[name] / best:.2f}",
            "s": f"{race.seconds[-1]:.2g}",
        }
        for mark in marks:
            error = races.after(question, race, mark)
            row[f"at {mark:g} s"] = "" if error is None else f"{error:.4f}"
        rows.append(row)
    left, right = st.columns([5, 6], gap="medium")
    left.markdown("**Error over seconds of work**")
    curves = {ESTIMATORS[name].short: (race.seconds, races.errors(question, race)) for name, race in ended.items()}
    left.altair_chart(charts.error_chart(curves, [one.short for one in ESTIMATORS.values()], session.is_dark()))
    right.markdown("**Race: the error after fixed times**")
    right.dataframe(rows, hide_index=True)
    how = "exactly, from the list of all states" if question.exact else "by Gibbs sampling: 1,000 chains, read every ten sweeps"
    right.caption(
        f"Root mean square error of the couplings Kᵢⱼ between spins ±1, divided by the temperature. {question.n:,} samples, drawn {how}. "
        "Seconds (s) of work are measured on this machine, reading the data included; of short searches the fastest of three is shown. "
        "Lowest error first."
    )


def _equation(question: CouplingsQuestion, ended: dict[str, Race]) -> None:
    model, x = races.data(question)
    now = ""
    if FLOW in ended:
        race = ended[FLOW]
        couplings = model.couplings.new_tensor(_matrix(question.d, race.pairs[-1]))
        found = float(ising_objective(to_bits(couplings, couplings.new_tensor(race.fields[-1])), x)[0])
        now = rf"\qquad K(\hat J)={found:.4f},\quad K(J_{{\text{{true}}}})={float(ising_objective(model.J, x)[0]):.4f}"
    st.latex(
        rf"K(J)=\frac{{1}}{{{question.n}}}\sum_{{x\in\mathcal D}}\ \sum_{{i=1}}^{{{question.d}}}"
        r"\exp\!\left(\tfrac12\left[E(x)-E(x^{(i)})\right]\right),\quad E(x)=x^{\mathsf T}J\,x" + now
    )
    st.caption(
        "x⁽ⁱ⁾ is the sample x with bit i flipped. In physics the spins are s = 2x − 1 with couplings Kᵢⱼ and fields hᵢ: Jᵢⱼ = −2 Kᵢⱼ and "
        "Jᵢᵢ = 2 Σⱼ Kᵢⱼ − 2 hᵢ. No partition function appears. " + VARIANTS
    )
    st.caption(SOURCES)


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _matrix(d: int, pairs: np.ndarray) -> np.ndarray:
    """The symmetric matrix of the pairs above its diagonal."""
    matrix = np.zeros((d, d))
    matrix[np.triu_indices(d, 1)] = pairs
    return matrix + matrix.T
