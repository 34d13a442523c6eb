"""Learning the schedule together with a network, on the Train page, beside the two other ways."""

from __future__ import annotations

from typing import Any

import altair as alt
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from dpm_core import jobs
from dpm_core.config import NetworkConfig
from dpm_core.figures.palette import EXACT, MODEL, NOISE, Role
from dpm_core.schedules import Schedule
from dpm_core.training.schedule_comparison import FORMS, WAYS, Stage, compare_ways, paired_gain
from pages.ui import kinds, session
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.controls.schedule import set_control_points
from pages.ui.controls.widgets import choose
from pages.ui.schedule.learned_schedule import LENGTHS, as_points, train_with

STEPS = 1500  # of each training, about ten seconds
NETWORK = NetworkConfig("mlp")
INKS: dict[str, Role] = {"fixed": NOISE, "alternating": EXACT, "joint": MODEL}

Found = dict[str, Stage]


@st.cache_resource(show_spinner=False)
def _found() -> dict[Any, Found]:
    """What has been learned in this process, by the question."""
    return {}


def section(source: Any, seed: int) -> None:
    """The whole section."""
    st.markdown("**Schedule and network learned together** (section 2.4.1): the gradient of K in both, on the same batches")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        T = session.bind(st.segmented_control, "Steps T", LENGTHS, default=10, key="joint_T", required=True)
        form = choose("Form of the schedule", FORMS, "joint_form", "steps")
        start = st.button("Learn both", key="learn_both")
    place, known, key = st.empty(), _found(), (source, T, form, seed)
    if start:
        known[key] = _learn(source, T, form, seed, place)
    if (found := known.get(key)) is None:
        place.caption(
            f"Three networks are trained for {STEPS:,} steps each, half a minute in all: with a fixed schedule, with one learned before by "
            "the exact kernel, and together with the schedule."
        )
        return
    with place.container():
        left, right = st.columns([0.55, 0.45], gap="large")
        left.altair_chart(schedule_chart({way: stage.schedule for way, stage in found.items()}, session.is_dark()), key="joint_chart")
        right.markdown(table(found))
        if right.button("Train with this schedule", on_click=_use, args=(found["joint"].schedule,), key="keep_joint"):
            st.rerun()  # the whole page, because this section is a fragment


def _learn(source: Any, T: int, form: str, seed: int, place: DeltaGenerator) -> Found:
    """Train by all ways while the progress is shown."""
    done: Found = {}
    dataset, order = kinds.of(source).dataset(source), list(WAYS)
    for stage in jobs.stream(compare_ways, dataset, T, form, NETWORK, STEPS, seed):
        share = (order.index(stage.way) + stage.share) / len(order)
        place.progress(share, f"{WAYS[stage.way]}: {100 * stage.share:.0f} %")
        if stage.bits is not None:
            done[stage.way] = stage
    return done


def table(found: Found) -> str:
    """K of every way on the same test points, and what the joint way gains."""
    bits = {way: stage.bits for way, stage in found.items() if stage.bits is not None}
    lines = ["| Schedule | K, bits per point | Gain of learning both |", "|---|---:|---:|"]
    for way, values in bits.items():
        gain, error = paired_gain(bits["joint"], values)
        error_of_mean = float(values.std()) / len(values) ** 0.5
        last = "" if way == "joint" else f"{number(gain, 3)} {plus_minus(error)}"
        lines.append(f"| {WAYS[way]} | {number(float(values.mean()), 3)} {plus_minus(error_of_mean)} | {last} |")
    return "\n".join(lines)


def schedule_chart(schedules: dict[str, Schedule], dark: bool) -> alt.Chart:
    """Log-SNR over t of every way."""
    rows = []
    for way, schedule in schedules.items():
        values = schedule.log_snr(torch.arange(1, schedule.T + 1)).clamp(min=-20).tolist()
        rows += [{"t": t, "log-SNR": value, "schedule": WAYS[way]} for t, value in enumerate(values, 1)]
    inks = [INKS[way].dark if dark else INKS[way].light for way in schedules]
    colours = alt.Scale(domain=[WAYS[way] for way in schedules], range=inks)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, point=True)
        .encode(
            alt.X("t:Q", title="t", axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False, domainMin=1)),
            alt.Y("log-SNR:Q", title="log-SNR, nats", scale=alt.Scale(domain=[-13, 9], nice=False, clamp=True)),
            alt.Color("schedule:N", scale=colours, sort=None, legend=alt.Legend(orient="top", title=None, columns=1, labelLimit=260)),
            tooltip=["schedule:N", "t:Q", alt.Tooltip("log-SNR:Q", format=".2f")],
        )
        .properties(height=360)
    )


def _use(schedule: Schedule) -> None:
    set_control_points(as_points(schedule))
    train_with(schedule)
