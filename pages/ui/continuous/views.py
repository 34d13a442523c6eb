"""The Continuous page: the player of the reverse equations, and three views on the limit of many steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st
import torch

from dpm_core.continuous import SOLVERS, clock
from dpm_core.figures.palette import DATA, MODEL
from pages.ui import cache, session
from pages.ui.components.player import Formula, Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.continuous import charts, compute
from pages.ui.continuous.question import STEPS, Question, python_of
from pages.ui.controls.schedule import SCHEDULE_TITLES
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Export

DRAWN, TRAIL = 16, 8  # particles whose paths are drawn over each panel, and frames that they reach back
VIEWS = {"errors": "Solvers", "chain": "From steps to the limit", "bound": "Bound and likelihood"}
CAPTION = (
    "The flow, κ = 0, is deterministic. With noise, from the same start, the [paths](paths) differ, and the distribution at every t is the "
    "same: that of the forward process, on the right, with its [contours](contours). Particles leave the contours where the steps are too "
    "few for the noise."
)

ERRORS = {"paths": "Paths: median distance", "weak": "Distribution: means of test functions"}
ORDERS = (
    "Twice as many steps halve the error of a first-order method and quarter that of a second-order one. Paths: how far the typical "
    "particle ends from where it should. Distribution: how wrong the means of test functions are, which is not about single particles."
)
NOISY = (
    "With noise every method has order 1 in its paths, and the sampling error of 200 particles sets a lower limit for the distribution. "
    "EDM draws noise of its own, so it has no reference and is left out."
)


def show(question: Question) -> Export:
    """The whole page. Raises DataError, ScheduleError."""
    with working("Solving the equations …"):
        payload = _payload(question)
    player(payload, key="continuous")
    view = session.bind(
        st.segmented_control, "View", list(VIEWS), default="errors", format_func=VIEWS.get, key="limit_view", required=True
    )  # fmt: skip
    table = {"errors": _errors, "chain": _chain, "bound": _bound}[view](question)
    flow, noisy = (compute.path(question, level) for level in (0.0, question.noise_level))
    gif = partial(cached.trajectory_gif, [(flow, MODEL), (noisy, DATA)], session.is_dark())
    return Export("dpm-continuous", python_of(question), {"t": flow.times, "flow": flow.x, "noisy": noisy.x}, table, gif)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question) -> bytes:
    flow, noisy = (compute.path(question, level) for level in (0.0, question.noise_level))
    times = tuple(int(t) for t in flow.times)
    truth = compute.marginals(question.source, question.schedule, times, flow.x.shape[1], question.seed + 3)
    contours = cached.contours(question.source, question.schedule, times)
    role = "model" if question.ref else "exact"
    runs = [(flow, "flow", "κ = 0, the flow"), (noisy, "noisy", f"κ = {question.noise_level:g}")]
    runs = runs if question.noise_level else runs[:1]
    shown = "" if flow.x.shape[1] == question.n else f"{flow.x.shape[1]:,} of {question.n:,} shown"
    panels = [Panel(name, title, role, run.x, shown, (_trails(run.x, role), contours)) for run, name, title in runs]
    panels.append(Panel("truth", "forward process q(x⁽ᵗ⁾)", "data", truth, "", (contours,)))
    mean, spread = compute.floor(question.source, question.schedule, min(flow.x.shape[1], stages.COMPARED["sliced"]))
    cards = [
        Number(f"Distance to q(x⁽ᵗ⁾), sliced W₂: {title}", [stages.sliced(torch.from_numpy(x), torch.from_numpy(y))
               for x, y in zip(run.x, truth)], 3, "", f"two draws at t = 1: {mean:.3f} ± {spread:.3f}", True, role)
        for run, _, title in runs
    ]  # fmt: skip
    schedule = cache.schedule(question.schedule)
    at = torch.tensor(times)
    equation = Formula(
        "The equation at t",
        "dx = [½ x + ½ (1 + κ²) ∇log q(x)] dτ + κ dw<br>τ = −log ᾱ<sub>{t}</sub> = {tau} &emsp; log-SNR {snr}",
        {"t": list(times), "tau": clock(schedule, at).tolist(), "snr": schedule.log_snr(at).tolist()},
    )
    start = times[int(np.abs(schedule.noise(at).numpy() - 0.04).argmin())]
    return pack(
        Stage(
            tuple(panels), list(times), question.schedule.T, stages.LO, stages.HI, (*cards, equation), CAPTION, on=("paths",), start=start,
            name="dpm-continuous",
        )
    )  # fmt: skip


def _trails(x: np.ndarray, role: str) -> Lines:
    """The way that the first particles have come in the last frames."""
    frames = [[x[max(0, i - TRAIL) : i + 1, k] for k in range(min(DRAWN, x.shape[1]))] for i in range(len(x))]
    return Lines("paths", "paths", role, frames)


def _errors(question: Question) -> dict[str, list]:
    st.markdown("**How fast do solvers converge?**")
    with st.spinner("Comparing solvers …"):
        found = compute.errors(question)
    for column, (which, title) in zip(st.columns(2, gap="medium"), ERRORS.items()):
        column.altair_chart(charts.errors_chart(found, which, title, session.is_dark()))
    orders = {name: SOLVERS[name].order if question.noise_level == 0 else 1 for name in found}
    slopes = "; ".join(
        f"{SOLVERS[name].title} {_signed(one.slopes[0][0])} ± {one.slopes[0][1]:.2f} (order {orders[name]})" for name, one in found.items()
    )
    st.markdown(f"Slopes of the paths, fitted to their last four points: {slopes}.")
    st.caption(
        f"{compute.COMPARED} particles from the same noise, compared with {compute.REFERENCE_STEPS} Heun steps. {ORDERS} "
        f"{NOISY if question.noise_level else ''}"
    )
    rows = [(SOLVERS[name].title, *row) for name, one in found.items() for row in zip(one.calls, one.paths, one.weak)]
    return {title: [row[i] for row in rows] for i, title in enumerate(("solver", "evaluations", "path_error", "distribution_error"))}


def _chain(question: Question) -> dict[str, list]:
    st.markdown("**The chain with N steps beside the limit, driven by the same Brownian motion**")
    steps = session.bind(st.select_slider, "Steps N of the chain", list(STEPS), 8, key="chain_steps")
    gaps = {n: compute.paths_of_chain(question.source, question.schedule, n, question.seed) for n in STEPS}
    many, few, gap = gaps[steps]
    st.altair_chart(charts.paths_chart(many, few, steps, session.is_dark()))
    bar = float(cache.schedule(question.schedule).alpha_bar(question.schedule.T))
    other = float(cache.schedule(replace(question.schedule, T=steps)).alpha_bar(steps))
    st.markdown(
        f"The chain is {gap:.3f} from the limit (root mean square over all times and particles; "
        f"{', '.join(f'{gaps[n][2]:.3f} with {n} steps' for n in STEPS if n != steps)}). Signal left at the end: ᾱ = {other:.2g} in the "
        f"chain and {bar:.2g} in the limit."
    )
    st.caption(
        "As βₜ becomes β(s) ds, the chain x⁽ᵗ⁾ = √(1−βₜ) x⁽ᵗ⁻¹⁾ + √βₜ z becomes the Ornstein-Uhlenbeck equation dx = −½ β x ds + √β dw. "
        "In the clock τ = −log ᾱ it is the same equation for every schedule: a schedule only says how time is divided."
    )
    return {"steps": list(STEPS), "distance": [gaps[n][2] for n in STEPS]}


def _bound(question: Question) -> dict[str, list]:
    st.markdown("**In the limit the bound depends on the two ends of the schedule alone**")
    with st.spinner("Measuring the bound of four schedules …"):
        found = compute.bounds(question)
    st.altair_chart(charts.bound_chart(compute.BOUND_STEPS, found.losses, SCHEDULE_TITLES, session.is_dark()))
    last = ", ".join(f"{SCHEDULE_TITLES[name]} {values[-1]:.2f}" for name, values in found.losses.items())
    high, low = compute.ENDS
    st.markdown(f"With {compute.BOUND_STEPS[-1]} steps: {last} bits (± {found.error:.2f}, on the same points).")
    flow, error = found.flow
    st.markdown(
        f"Log-likelihood of {compute.FLOW_POINTS} points by the flow: {_signed(flow)} bits; by the exact density of the data: "
        f"{_signed(found.exact)} bits; difference {_signed(flow - found.exact)} ± {error:.2f}."
    )
    st.caption(
        f"Each schedule goes from a log-SNR of {high:g} to {low:g} nats; only the way between differs. What the steps cost, "
        "½ Σ (SNRₜ₋₁ − SNRₜ) E|x⁽⁰⁾ − x̂⁽⁰⁾|², is a sum of rectangles that becomes ½ ∫ E|x⁽⁰⁾ − x̂⁽⁰⁾|² dSNR, "
        "and that integral does not know the way (Kingma et al. 2021). The flow is integrated from t = 1."
    )
    table: dict[str, list] = {"steps": list(compute.BOUND_STEPS)}
    return table | found.losses


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
