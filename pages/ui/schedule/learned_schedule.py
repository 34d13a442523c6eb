"""Learning the schedule, on the Schedule and Train pages: its curve during the ascent, and its K beside that of every fixed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import altair as alt
import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from dpm_core.config import ScheduleConfig
from dpm_core.data.errors import DataError
from dpm_core.figures.charts import QUIET, Layered
from dpm_core.figures.palette import MODEL, NOISE, Role
from dpm_core.measure.budget import Budget, budget
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import SCHEDULES, Schedule, make_schedule
from dpm_core.training.learned_schedule import Learned, learn
from pages.ui import kinds, session
from pages.ui.controls.schedule import MAX_POINTS, SCHEDULE_TITLES, check_points, set_control_points

LENGTHS = (5, 10, 20, 40)
STEPS, SHOWN_EVERY = 160, 8  # of the ascent; the chart is drawn again after so many
POINTS, TEST_POINTS = 128, 2000  # that it is learned on, and that it is tested on
FIXED = tuple(name for name in SCHEDULES if name != "custom")


@st.cache_resource(max_entries=64, show_spinner=False)
def fixed(source: Any, T: int) -> dict[str, Budget]:
    """The budget of the exact kernel under every fixed schedule."""
    found = {}
    for name in FIXED:
        params = {"beta_1": 1e-3} if name == "paper" else {}  # as in the paper, whose first step is fixed too
        found[name] = held_out(source, make_schedule(name, T, **params))
    return found


def held_out(source: Any, schedule: Schedule) -> Budget:
    """The budget of the exact kernel on test points that no schedule was learned on: the same points and noise for every schedule."""
    process, dataset = GaussianDiffusion(schedule), kinds.of(source).dataset(source)
    x0 = dataset.sample(TEST_POINTS, torch.Generator().manual_seed(9))
    return budget(None, dataset.exact_reverse(process), process, x0, torch.Generator().manual_seed(3))


def ascent(source: Any, T: int, seed: int) -> Iterator[Learned]:
    """The ascent, from the straight line in log-SNR."""
    kind = kinds.of(source)
    dataset, kernel = kind.dataset(source), kind.exact(source, ScheduleConfig("log_snr", T))
    assert kernel is not None, "only kinds with an exact kernel learn schedules"
    x0 = dataset.sample(POINTS, torch.Generator().manual_seed(seed))
    return learn(kernel, x0, STEPS, torch.Generator().manual_seed(seed + 1))


def as_points(schedule: Schedule) -> list[list[float]]:
    """Its β as control points of a custom schedule: straight lines in log β through at most MAX_POINTS of its steps."""
    T = schedule.T
    at = np.unique(np.linspace(0, T - 1, min(MAX_POINTS, T)).round().astype(int))
    beta = schedule.betas.numpy().clip(1e-5, 1.0)
    return check_points([[i / (T - 1), float(beta[i])] for i in at])


def section(source: Any, seed: int, on_use: Callable[[Schedule], None], label: str) -> None:
    """The whole section. ``on_use``: what the button ``label`` does besides making the schedule the custom one."""
    st.markdown("**Learned schedule** (section 2.4.1): gradient ascent on K with frozen noise; β₁ is fixed")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        T = session.bind(st.segmented_control, "Steps T of the learned schedule", LENGTHS, default=10, key="learned_T", required=True)
        start = st.button("Learn a schedule", key="learn_schedule")
    left, right = st.columns([0.6, 0.4], gap="large")
    curve, bars = left.empty(), right.empty()
    dark, key = session.is_dark(), (source, T, seed)
    learned = session.LEARNED_SCHEDULES.get()
    try:
        if start:
            learned[key] = _learn(source, T, seed, curve, dark)
        if (done := learned.get(key)) is None:
            curve.caption(
                "With few steps, the choice of βₜ matters most. For Gaussian reverse steps with exact moments, K depends only on the "
                "schedule, so it can be maximised by gradient ascent before any network is trained."
            )
            return
        schedule, first = done
        curve.altair_chart(_curve(first, schedule, dark), key="learned_curve")
        found = held_out(source, schedule)
        others = fixed(source, T)
    except DataError as error:
        st.error(session.plain(str(error)))
        return
    bars.altair_chart(_bars({"learned": found} | others, dark), key="learned_bars")
    left.markdown(_comparison(found, others, T))
    if left.button(label, on_click=_use, args=(schedule, on_use), key="keep_schedule"):
        st.rerun()  # the whole page, because this section is a fragment


def _comparison(learned: Budget, fixed: dict[str, Budget], T: int) -> str:
    """The learned schedule beside the best fixed one, in a sentence; the better one is named only where the difference is clear."""
    best = max(fixed, key=lambda name: fixed[name].best_bits)
    gain, error = learned.best_bits_above(fixed[best])
    value = f"{abs(gain):.3f} ± {error:.1g} bits per point (the same {TEST_POINTS:,} test points and noise for both)"
    if abs(gain) <= 2 * error:
        return f"At T = {T}, K of the learned schedule and of the best fixed one, {SCHEDULE_TITLES[best]}, cannot be told apart: {value}."
    if gain > 0:
        return f"At T = {T}, K of the learned schedule is higher than that of the best fixed one, {SCHEDULE_TITLES[best]}, by {value}."
    return f"At T = {T}, K of the learned schedule is lower than that of {SCHEDULE_TITLES[best]} by {value}. Try another seed."


def _learn(source: Any, T: int, seed: int, place: DeltaGenerator, dark: bool) -> tuple[Schedule, Schedule]:
    """Ascend while the curve is drawn; the learned schedule and the one that it started from."""
    first = None
    for found in ascent(source, T, seed):
        first = first or found.schedule
        if found.step % SHOWN_EVERY == 0 or found.step == STEPS:
            with place.container():
                st.altair_chart(_curve(first, found.schedule, dark))
                st.progress(found.step / STEPS, f"Step {found.step} of {STEPS}, K = {found.bound_bits:.2f} bits".replace("-", "−"))
    assert first is not None
    return found.schedule, first


def add_custom(schedule: Schedule) -> None:
    """Compare the custom schedule with the others on the Schedule page."""
    session.set_widget("schedules", list(dict.fromkeys([*session.widget_value("schedules", []), "custom"])))


def train_with(schedule: Schedule) -> None:
    """Choose the custom schedule and its T for the next run of points."""
    session.set_widget("schedule", "custom")
    session.set_widget("T", schedule.T)


def _use(schedule: Schedule, on_use: Callable[[Schedule], None]) -> None:
    set_control_points(as_points(schedule))
    on_use(schedule)


def _curve(first: Schedule, now: Schedule, dark: bool) -> alt.Chart:
    rows = []
    for name, schedule in (("straight line in log-SNR", first), ("learned", now)):
        values = schedule.log_snr(torch.arange(1, schedule.T + 1)).clamp(min=-20).tolist()
        rows += [{"t": t, "log-SNR": value, "schedule": name} for t, value in enumerate(values, 1)]
    colours = alt.Scale(domain=["straight line in log-SNR", "learned"], range=[_ink(NOISE, dark), _ink(MODEL, dark)])
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, point=True)
        .encode(
            alt.X("t:Q", title="t", axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False, domainMin=1)),
            alt.Y("log-SNR:Q", title="log-SNR, nats", scale=alt.Scale(domain=[-13, 9], nice=False, clamp=True)),
            alt.Color("schedule:N", scale=colours, legend=alt.Legend(orient="top", title=None)),
            tooltip=["schedule:N", "t:Q", alt.Tooltip("log-SNR:Q", format=".2f")],
        )
        .properties(height=250)
    )


def _bars(budgets: dict[str, Budget], dark: bool) -> Layered:
    titles = SCHEDULE_TITLES | {"learned": "Learned"}
    rows = [
        {
            "schedule": titles[name],
            "bits": one.best_bits,
            "learned": name == "learned",
            "label": f"{one.best_bits:.2f} ± {one.errors_bits['discretisation']:.2f}".replace("-", "−"),
        }
        for name, one in budgets.items()
    ]
    low = min(one.best_bits for one in budgets.values())
    across = alt.X("bits:Q", title="best K with Gaussian steps, bits per point", scale=alt.Scale(domain=[1.05 * low, 0.0], nice=False))
    up = alt.Y("schedule:N", sort="-x", title=None, axis=alt.Axis(labelLimit=150, ticks=False, domain=False))
    colour = alt.condition("datum.learned", alt.value(_ink(MODEL, dark)), alt.value(_ink(NOISE, dark)))
    base = alt.Chart(alt.Data(values=rows))
    bars = (
        base.transform_calculate(low=str(1.05 * low))
        .mark_bar(height=13, cornerRadiusEnd=3)
        .encode(across, alt.X2("low:Q"), up, color=colour)
    )
    text = base.mark_text(align="left", dx=5).encode(alt.X("bits:Q"), up, text="label:N", color=alt.value(_ink(QUIET, dark)))
    return alt.layer(bars, text).properties(height=250)


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light
