"""A schedule that learns, on the Schedule and Train pages: its curve as it moves, and its K beside that of every fixed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import altair as alt
import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.data.toy2d import DataError
from dpm_core.figures.charts import QUIET
from dpm_core.figures.palette import MODEL, NOISE, Role
from dpm_core.measure.budget import budget
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import Schedule, make_schedule
from dpm_core.training.learned_schedule import Learned, learn
from pages.ui import cache, session
from pages.ui.controls import widgets
from pages.ui.controls.widgets import PlaneSource

LENGTHS = (5, 10, 20, 40)
STEPS, SHOWN = 160, 8  # of the ascent; every so many of them are drawn
POINTS, JUDGED = 128, 2000  # it learns on some, and is judged on others
KNOTS = 12  # of a custom schedule
FIXED = ("paper", "log_snr", "linear", "cosine", "quadratic", "sigmoid", "constant")


@st.cache_data(max_entries=64, show_spinner=False)
def fixed(source: PlaneSource, T: int) -> dict[str, float]:
    """K of the best Gaussian chain under every fixed schedule, in bits."""
    found = {}
    for name in FIXED:
        params = {"beta_1": 1e-3} if name == "paper" else {}  # as in the paper, whose first step is fixed too
        found[name] = judged(source, make_schedule(name, T, **params))
    return found


def judged(source: PlaneSource, schedule: Schedule) -> float:
    """K of the best Gaussian chain on points that no schedule has learned from, in bits."""
    process, dataset = GaussianDiffusion(schedule), cache.dataset(source)
    x0 = dataset.sample(JUDGED, torch.Generator().manual_seed(9))
    return budget(None, dataset.exact_reverse(process), process, x0, torch.Generator().manual_seed(3)).best_bits


def ascent(source: PlaneSource, T: int, seed: int) -> Iterator[Learned]:
    """The learning, from the straight line in log-SNR."""
    dataset = cache.dataset(source)
    kernel = dataset.exact_reverse(cache.diffusion(ScheduleConfig("log_snr", T)))
    x0 = dataset.sample(POINTS, torch.Generator().manual_seed(seed))
    return learn(kernel, x0, STEPS, torch.Generator().manual_seed(seed + 1))


def as_points(schedule: Schedule) -> list[list[float]]:
    """Its β as control points of a custom schedule: straight lines in log β through at most KNOTS of its steps."""
    T = schedule.T
    at = np.unique(np.linspace(0, T - 1, min(KNOTS, T)).round().astype(int))
    beta = schedule.betas.numpy().clip(1e-5, 1.0)
    return session.check_points([[i / (T - 1), float(beta[i])] for i in at])


def section(source: PlaneSource, seed: int, taken: Callable[[Schedule], None], offer: str) -> None:
    """Everything of it. ``taken``: what the button named ``offer`` does with the schedule, once it is the custom one."""
    st.markdown("**A schedule that learns** (section 2.4.1): gradient ascent on K with frozen noise, β₁ fixed")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        T = widgets.linked(st.segmented_control, "With so many steps", LENGTHS, default=10, key="learned_T", required=True)
        start = st.button("Learn a schedule", key="learn_schedule")
    left, right = st.columns([0.6, 0.4], gap="large")
    curve, bars = left.empty(), right.empty()
    dark, key = st.context.theme.type == "dark", (source, T, seed)
    kept: dict = st.session_state.setdefault("learned_schedules", {})
    try:
        if start:
            kept[key] = _learn(source, T, seed, curve, dark)
        if (found := kept.get(key)) is None:
            curve.caption(
                "With few steps their placing is everything. Whatever network comes later, K of the best Gaussian chain at this T is a "
                "function of the schedule alone, and it has a slope."
            )
            return
        schedule, first = found
        curve.altair_chart(_curve(first, schedule, dark), key="learned_curve")
        bits = {"learned": judged(source, schedule)} | fixed(source, T)
    except DataError as error:
        st.error(str(error))
        return
    bars.altair_chart(_bars(bits, dark), key="learned_bars")
    best = max((name for name in bits if name != "learned"), key=bits.__getitem__)
    gain = bits["learned"] - bits[best]
    left.markdown(
        f"At T = {T} it knows {gain:.2f} bits more per point than the best fixed one, {widgets.SCHEDULE_TITLES[best]}, judged on points "
        "it never saw."
        if gain > 0
        else f"At T = {T} it is no better than {widgets.SCHEDULE_TITLES[best]}; another seed may be."
    )
    if left.button(offer, on_click=_keep, args=(schedule, taken), key="keep_schedule"):
        st.rerun()  # the whole page: this part of it runs by itself


def _learn(source: PlaneSource, T: int, seed: int, place, dark: bool) -> tuple[Schedule, Schedule]:
    """Ascend while the curve is drawn; the learned schedule and the one it began with."""
    first = None
    for found in ascent(source, T, seed):
        first = first or found.schedule
        if found.step % SHOWN == 0 or found.step == STEPS:
            with place.container():
                st.altair_chart(_curve(first, found.schedule, dark))
                st.progress(found.step / STEPS, f"Step {found.step} of {STEPS}, K = {found.bound_bits:.2f} bits".replace("-", "−"))
    assert first is not None
    return found.schedule, first


def overlay(schedule: Schedule) -> None:
    """Lay the custom schedule over the others on the Schedule page."""
    st.session_state["schedules"] = list(dict.fromkeys([*st.session_state.get("schedules", []), "custom"]))


def train_with(schedule: Schedule) -> None:
    """Choose the custom schedule, and its T, for the next run of points."""
    st.session_state["schedule"], st.session_state["T"] = "custom", schedule.T


def _keep(schedule: Schedule, taken: Callable[[Schedule], None]) -> None:
    points = as_points(schedule)
    st.session_state["points"] = points
    st.session_state["points_rev"] = st.session_state.get("points_rev", 0) + 1
    session.put_in_link("points", session.encode_points(points))
    taken(schedule)


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


def _bars(bits: dict[str, float], dark: bool) -> alt.LayerChart:
    titles = widgets.SCHEDULE_TITLES | {"learned": "Learned"}
    rows = [{"schedule": titles[name], "bits": value, "learned": name == "learned"} for name, value in bits.items()]
    low = min(bits.values())
    across = alt.X("bits:Q", title="K of the best chain, bits per point", scale=alt.Scale(domain=[1.05 * low, 0.0], nice=False))
    up = alt.Y("schedule:N", sort="-x", title=None, axis=alt.Axis(labelLimit=150, ticks=False, domain=False))
    colour = alt.condition("datum.learned", alt.value(_ink(MODEL, dark)), alt.value(_ink(NOISE, dark)))
    base = alt.Chart(alt.Data(values=rows))
    bars = (
        base.transform_calculate(low=str(1.05 * low))
        .mark_bar(height=13, cornerRadiusEnd=3)
        .encode(across, alt.X2("low:Q"), up, color=colour)
    )
    text = base.mark_text(align="left", dx=5).encode(
        alt.X("bits:Q"), up, text=alt.Text("bits:Q", format=".2f"), color=alt.value(_ink(QUIET, dark))
    )
    return alt.layer(bars, text).properties(height=250)


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light
