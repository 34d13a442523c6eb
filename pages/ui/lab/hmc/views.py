"""The Hamiltonian Monte Carlo page: chains in the plane with the ladder of one of them, and samplers at equal cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import streamlit as st

from dpm_core.figures.palette import DATA, MODEL
from dpm_core.samplers import Recording
from pages.ui import session
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.player import Formula, Lines, Number, Panel, Stage, clean_pick, pack, player, unpack
from pages.ui.components.working import working
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Export
from pages.ui.lab.hmc import charts, compute, more_views, targets
from pages.ui.lab.hmc.question import Question, python_of

CAPTION = (
    "Both samplers start at the same states with the same step size. Each frame is one step of every chain; the [trails](trails) show "
    "the last steps, and a [cross](reversals) marks a chain whose momentum has just been reversed, so that it goes back where it came "
    "from. Standard HMC reverses after every rejected trajectory; look-ahead HMC first tries to go further. Click a chain in the left "
    "panel to see its ladder."
)
SOURCE = (
    "Sohl-Dickstein, Mudigonda and DeWeese, “Hamiltonian Monte Carlo without detailed balance”, ICML 2014 (arXiv:1409.5191): "
    "transition probabilities and their proof in the section on look-ahead HMC. The density stays the same although detailed balance, "
    "p(ζ) π(ζ → ζ′) = p(ζ′) π(ζ′ → ζ), does not hold."
)
TUNED = " *"  # beside step sizes that are tuned
CROSS, MOST_CROSSES = 0.11, 200  # half the size of a cross, on the stage, and how many there are in a frame
PANELS = {"look_ahead": ("look-ahead HMC", "model"), "hmc": ("standard HMC", "data")}


def sample(question: Question) -> Export:
    """The chains, the ladder of one, and four samplers compared. Raises DataError, CheckpointError."""
    with working("Sampling …"):
        payload = _payload(question)
        target = targets.target(question)

    @st.fragment
    def stage() -> None:
        result = player(payload, "hmc", lambda: None)
        left, right = st.columns(2, gap="medium")
        with left:
            _ladder(question, payload, result.pick)
        with right:
            _comparison(question)

    stage()
    st.caption(f"{target.note} {SOURCE}")
    runs = {name: compute.chains(question, name) for name in PANELS}
    arrays = {name: found.x.numpy() for name, found in runs.items()}
    frames = list(range(compute.STEPS + 1))
    table: dict[str, list] = {"step": frames}
    table |= {f"second_moment_{name}": compute.second_moments(question, found) for name, found in runs.items()}
    films = [(Recording(np.array(frames), target.shown(found.x)), role) for found, role in zip(runs.values(), (MODEL, DATA))]
    return Export("dpm-hmc", python_of(question), arrays, table, lambda: cached.trajectory_gif(films, session.is_dark()))


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question) -> bytes:
    target = targets.target(question)
    panels, cards, gradients = [], [], {}
    contours = Lines("contours", "contours", "exact", [target.contours])
    shares: dict[str, list[float]] = {}
    for name, (title, role) in PANELS.items():
        found = compute.chains(question, name)
        x = target.shown(found.x)
        trails = Lines(
            "trails",
            "trails",
            role,
            [[x[max(0, i - compute.TRAIL) : i + 1, k] for k in range(min(compute.TRAILED, x.shape[1]))] for i in range(len(x))],
        )
        back = [_crosses(frame[gone == 0][:MOST_CROSSES]) for frame, gone in zip(x, found.distance.numpy())]
        panels.append(Panel(name, title, role, x, "", (contours, trails, Lines("reversals", "reversed momentum", "noise", back))))
        note = f"E|x − μ|², exact {_in_words(target.second)}"
        moments = compute.second_moments(question, found)
        cards.append(Number(f"Second moment ÷ exact, {title}", moments, 3, "", note, True, role))
        shares[name] = (100 * (found.distance == 0).double().mean(1)).tolist()
        gradients[name] = np.cumsum(found.gradients).tolist()
    after = np.mean(shares["hmc"][1:])
    reversed_ = Number(
        "Momentum reversed, look-ahead HMC",
        shares["look_ahead"],
        1,
        "%",
        f"standard HMC, mean over all steps: {after:.1f} %",
        True,
        "model",
    )
    spent = Formula(
        "Gradients per chain so far", "look-ahead HMC: {a}<br>standard HMC: {b}", {"a": gradients["look_ahead"], "b": gradients["hmc"]}, 0
    )
    return pack(
        Stage(
            tuple(panels), list(range(compute.STEPS + 1)), compute.STEPS, stages.LO, stages.HI, (*cards, reversed_, spent), CAPTION,
            on=("contours", "trails", "reversals"), start=12, duration=12.0, name="dpm-hmc",
        )
    )  # fmt: skip


def _in_words(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _crosses(x: np.ndarray) -> list[np.ndarray]:
    """Two short lines through each point."""
    step = np.array([[CROSS, CROSS], [CROSS, -CROSS]], np.float32)
    return [np.stack([point - arm, point + arm]) for point in x for arm in step]


def _ladder(question: Question, payload: bytes, click: object) -> None:
    """The ladder of the selected chain."""
    frame, chain = _selection(question, payload, click)
    found = compute.ladder_of(question, frame, chain)
    st.markdown(f"**Ladder of chain {chain + 1} after step {frame}:** probabilities of its next step")
    st.altair_chart(charts.ladder_chart(found.energies, found.probabilities, found.reversal, session.is_dark()))
    st.latex(
        r"\pi_{L^a}(\zeta)=\min\Bigl[1-\sum_{b<a}\pi_{L^b}(\zeta),\ "
        r"\tfrac{p(FL^a\zeta)}{p(\zeta)}\Bigl(1-\sum_{b<a}\pi_{L^b}(FL^a\zeta)\Bigr)\Bigr]"
    )
    st.caption(
        f"ζ: position and momentum of the chain. L: {question.leapfrog_steps} leapfrog steps of size {question.step_size:g}. F: reversal "
        "of the momentum. ΔE: total energy relative to ζ, in nats. With the momentum as it is, before noise is mixed into it (momentum "
        "corruption β)."
    )


def _selection(question: Question, payload: bytes, click: object) -> tuple[int, int]:
    """The selected frame and chain: what was clicked, what the link says, or one whose momentum has just been reversed."""
    asked = replace(question, seed=0)
    if session.SELECTION_MODEL.get() not in (None, asked):  # a chain of another density has no meaning here
        session.SELECTION.remember(None)
    session.SELECTION_MODEL.set(asked)
    clicked = clean_pick(click, unpack(payload)[0]) if click is not None else None
    if clicked and clicked.get("particle") is not None and clicked["panel"] == "look_ahead":
        session.SELECTION.remember((clicked["frame"], clicked["particle"]))
    elif clicked:
        st.caption("Click a chain in the panel of look-ahead HMC.")
    selected: tuple[int, int] | None = session.SELECTION.read(_decode, None)
    session.SELECTION.show(",".join(map(str, selected)) if selected else None)
    frame, chain = selected or (12, 0)
    return max(1, min(frame, compute.STEPS)), min(chain, question.n - 1)


def _decode(text: str) -> tuple[int, int]:
    """A frame and a chain from link text. Raises ValueError for anything else."""
    frame, chain = (int(part) for part in text.split(","))
    if frame < 0 or chain < 0:
        raise ValueError(f"A selected chain needs two whole numbers of at least 0, not {text}.")
    return frame, chain


def _comparison(question: Question) -> None:
    """Autocorrelation and effective samples of the samplers, each with the same number of evaluations."""
    st.markdown(
        f"**Autocorrelation against evaluations:** {compute.COMPARED} chains in equilibrium, {compute.budget(question):,.0f} evaluations "
        "each"
    )
    place = st.empty()
    bar = place.progress(0.0, "Comparing four samplers …")
    found = compute.comparison(question, lambda share: _show(bar, share))
    rows = [
        {"sampler": name, "evaluations": n, "rho": float(rho), "error": float(error)}
        for name, one in found.items()
        for n, rho, error in zip(one.evaluations, one.rho.values, one.rho.errors)
    ]
    titles = dict(compute.TITLES)
    calls, most = targets.target(question).reverse, compute.range_shown(found)
    if calls:
        titles["reverse"] = "Reverse diffusion, independent"
        rows += [{"sampler": "reverse", "evaluations": n, "rho": rho, "error": 0.0} for n, rho in ((0, 1.0), (calls, 0.0), (most, 0.0))]
    place.altair_chart(charts.autocorrelation_chart(rows, titles, session.is_dark(), most))
    st.markdown(_table(question, found, calls))
    st.caption(
        "Samples: independent samples that 1,000 evaluations are worth; “below” where the run is too short to say. Moment: E|x − μ|². "
        "An evaluation is a gradient; for the random walk (Metropolis) an energy, which costs less. MALA: Langevin steps with a Metropolis "
        "test. * Step sizes of these two are tuned; those of HMC are yours."
    )


def _table(question: Question, found: Mapping[str, compute.Compared], calls: int | None) -> str:
    lines = [
        "| Sampler | Step ε | Moved | Moment ÷ exact | Samples per 1,000 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in found.items():
        worth = f"{number(1000 * one.effective.per_evaluation, 2)} {plus_minus(1000 * one.effective.error)}"
        if not one.effective.resolved:
            worth = f"below {number(1000 * one.effective.per_evaluation, 2)}"
        lines.append(
            f"| {compute.TITLES[name]} | {one.step_size:.2g}{TUNED if name in compute.ACCEPTANCE else ''} | {100 * one.moved:.0f} % | "
            f"{number(one.second, 2)} | {worth} |"
        )
    if calls:
        lines.append(f"| Reverse diffusion | – | – | {number(compute.reverse_second(question), 2)} | {1000 / calls:.1f} |")
    return "\n".join(lines)


def _show(bar: st.delta_generator.DeltaGenerator, share: float) -> None:
    bar.progress(share, "Comparing four samplers …")


SHOW: dict[str, Callable[[Question], Export]] = {"sample": sample, "figure": more_views.figure, "cycle": more_views.cycle}
