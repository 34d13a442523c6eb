"""Multiply: a model times any r(x), under each rule for r at the noisy times, beside the exact product."""

from functools import partial

import streamlit as st

from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import ROLES
from dpm_core.schedules import ScheduleError
from pages.ui import cache, page, session
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.posterior import multiply_charts, multiply_compute, multiply_controls, multiply_views

page.open_page("Multiply", "Multiply every step back by what else is known, r(x), and the samples turn to p(x) r(x). Or nearly so.")
with st.sidebar:
    r = multiply_controls.factor_config()
    beside = st.container()
    jump, resamplings = multiply_controls.repaint() if r.is_delta else (1, 10)
    source = widgets.data_source()
    schedule = widgets.schedule_config(T=40)
    draw = multiply_compute.Draw(multiply_controls.samples(), widgets.seed(), jump, resamplings)

try:
    with page.working("Sampling under every rule …"):
        question, complaint = multiply_compute.usable(multiply_compute.Question(source, schedule, r))
        payload = multiply_views.payload(question, draw)
        truth, runs = multiply_compute.product(question), multiply_compute.runs(question, draw)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()
if complaint:
    with beside:
        session.complain(complaint)
        st.caption("Shown meanwhile: the last r that has an answer.")

dark = st.context.theme.type == "dark"
left, right = st.columns(2, vertical_alignment="center")
left.html(multiply_charts.plates(question, truth, dark))
right.markdown(f"{multiply_views.lesson(question, truth, draw, runs)} {multiply_views.astray(question, runs)}")

player(payload, key="multiply")

if question.r.is_delta:
    for column, (rule, run) in zip(st.columns(len(runs)), runs.items()):
        column.markdown(f"**{question.rules[rule]}**")
        column.altair_chart(multiply_charts.coordinate_chart(truth, run, rule, dark))
left, right = st.columns(2, gap="large", vertical_alignment="center")
left.altair_chart(multiply_charts.bars(question, truth, draw, runs, dark))
right.latex(multiply_views.equation(truth))
right.caption(multiply_views.yardstick(truth, draw))
page.take_along(
    "dpm-multiply",
    multiply_views.python(question, draw),
    {"t": runs["exact"].path.times} | {rule: run.path.x for rule, run in runs.items()},
    {"t": runs["exact"].path.times.tolist()} | {rule: run.total_variation for rule, run in runs.items()},
    partial(cache.trajectory_gif, [(run.path, ROLES[multiply_charts.role(rule)]) for rule, run in runs.items()], dark),
)
