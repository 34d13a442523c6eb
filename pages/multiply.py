"""Multiply: a model times any r(x), under each rule for r at the noisy times, beside the exact product."""

import streamlit as st

from pages.ui import page

page.open_page("multiply")

from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui import session
from pages.ui.components.export_row import export_row
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS
from pages.ui.posterior import multiply_charts, multiply_compute, multiply_controls, multiply_views

with page.stop_on_error(DataError, ScheduleError):
    with st.sidebar:
        r = multiply_controls.factor_config()
        beside = st.container()
        jump, resamplings = multiply_controls.repaint() if r.is_delta else (1, 10)
        source = menu.choose_source(only=POINTS)
        schedule = POINTS.schedule_controls(source)
        draw = multiply_compute.Draw(multiply_controls.samples(), widgets.seed(), jump, resamplings)
    with working("Sampling under every rule …"):
        question, complaint = multiply_compute.usable(multiply_compute.Question(source, schedule, r))
        payload = multiply_views.payload(question, draw)
        truth, runs = multiply_compute.product(question), multiply_compute.runs(question, draw)
if complaint:
    with beside:
        session.complain(complaint)
        st.caption("The last factor r that could be used is shown.")

dark = session.is_dark()
left, right = st.columns(2, vertical_alignment="center")
left.html(multiply_charts.plates(question, truth, dark))
right.markdown(f"{multiply_views.summary(question, truth, draw, runs)} {multiply_views.lost_samples(question, runs)}")

player(payload, key="multiply")

if question.r.is_delta:
    for column, (rule, run) in zip(st.columns(len(runs)), runs.items()):
        column.markdown(f"**{question.rules[rule]}**")
        column.altair_chart(multiply_charts.coordinate_chart(truth, run, rule, dark))
left, right = st.columns(2, gap="large", vertical_alignment="center")
left.altair_chart(multiply_charts.bars(question, truth, draw, runs, dark))
right.latex(multiply_views.equation(truth))
right.caption(multiply_views.measurement(truth, draw))
export_row(*multiply_views.export(question, draw, runs, dark))
