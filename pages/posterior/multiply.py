"""Multiply: a model times any r(x), under each rule for r at the noisy times, beside the exact product."""

from functools import partial

import streamlit as st

from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import ROLES
from dpm_core.schedules import ScheduleError
from pages.shared import cached, controls, frame, multiply_charts, multiply_controls, multiply_view, multiply_work, state
from pages.shared.player import player

frame.open_page("Multiply", "Multiply every step back by what else is known, r(x), and the samples turn to p(x) r(x). Or nearly so.")
with st.sidebar:
    r = multiply_controls.factor_config()
    beside = st.container()
    jump, resamplings = multiply_controls.repaint() if r.is_delta else (1, 10)
    source = controls.data_source()
    schedule = controls.schedule_config(T=40)
    draw = multiply_work.Draw(multiply_controls.samples(), controls.seed(), jump, resamplings)

try:
    with frame.working("Sampling under every rule …"):
        question, complaint = multiply_work.usable(multiply_work.Question(source, schedule, r))
        payload = multiply_view.payload(question, draw)
        truth, runs = multiply_work.product(question), multiply_work.runs(question, draw)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()
if complaint:
    with beside:
        state.complain(complaint)
        st.caption("Shown meanwhile: the last r that has an answer.")

dark = st.context.theme.type == "dark"
left, right = st.columns(2, vertical_alignment="center")
left.html(multiply_charts.plates(question, truth, dark))
right.markdown(f"{multiply_view.lesson(question, truth, draw, runs)} {multiply_view.astray(question, runs)}")

player(payload, key="multiply")

if question.r.is_delta:
    for column, (rule, run) in zip(st.columns(len(runs)), runs.items()):
        column.markdown(f"**{question.rules[rule]}**")
        column.altair_chart(multiply_charts.coordinate_chart(truth, run, rule, dark))
left, right = st.columns(2, gap="large", vertical_alignment="center")
left.altair_chart(multiply_charts.bars(question, truth, draw, runs, dark))
right.latex(multiply_view.equation(truth))
right.caption(multiply_view.yardstick(truth, draw))
frame.take_along(
    "dpm-multiply",
    multiply_view.python(question, draw),
    {"t": runs["exact"].path.times} | {rule: run.path.x for rule, run in runs.items()},
    {"t": runs["exact"].path.times.tolist()} | {rule: run.total_variation for rule, run in runs.items()},
    partial(cached.trajectory_gif, [(run.path, ROLES[multiply_charts.role(rule)]) for rule, run in runs.items()], dark),
)
