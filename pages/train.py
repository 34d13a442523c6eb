"""Train: a network learns to take every step back, while you watch."""

import math

import streamlit as st

from pages.ui import page
from pages.ui.schedule import learned_schedule
from pages.ui.training import earlier_runs, panel, reference_values, run_setup, session_runs, single_step, views

page.open_page("Train", "A network is shown noisy data over and over and corrected a little each time, until it can take every step back.")
try:
    with st.sidebar:
        setup = run_setup.setup()
    with page.working("Measuring what there is to learn …"):
        job, made = session_runs.current(setup)
        yard = reference_values.yardstick(made.source, made.run.schedule)
        views.prepare(made, job)
except ValueError as error:  # of data, schedule, network or numbers, each in one sentence
    st.error(str(error))
    st.stop()

pace = session_runs.pace(job)
picture, numbers = st.container(key="train_place").columns([0.74, 0.26], gap="medium")
with picture:
    st.fragment(views.stage, run_every=pace and 2 * pace)(made, job)
with numbers:
    st.fragment(panel.panel, run_every=pace)(setup, yard, pace)
if job is not None:
    session_runs.follow_rate(setup, job)
    single_step.show(made, job)
    charts = st.container(key="train_charts")
if setup.kind == "plane":
    with st.expander("Learn the schedule first"):
        learn = st.fragment(learned_schedule.section)
        learn(setup.source, setup.run.training.seed, learned_schedule.train_with, "Train with this schedule")
below = st.columns(2)
with below[0]:
    earlier_runs.show(setup, job)
if job is not None:
    with below[1]:
        other = earlier_runs.compared(made, job, yard)
    with charts:
        st.fragment(views.curves, run_every=pace and 4 * pace)(job, math.prod(made.shape), other, yard)
