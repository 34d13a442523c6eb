"""Train: a network learns to take every step back, while you watch."""

import math

import streamlit as st

from pages.shared import (
    frame,
    schedule_learning,
    training_controls,
    training_earlier,
    training_panel,
    training_runs,
    training_step,
    training_view,
    training_yardstick,
)

frame.open_page("Train", "A network is shown noisy data over and over and corrected a little each time, until it can take every step back.")
try:
    with st.sidebar:
        setup = training_controls.setup()
    with frame.working("Measuring what there is to learn …"):
        job, made = training_runs.current(setup)
        yard = training_yardstick.yardstick(made.source, made.run.schedule)
        training_view.prepare(made, job)
except ValueError as error:  # of data, schedule, network or numbers, each in one sentence
    st.error(str(error))
    st.stop()

pace = training_runs.pace(job)
picture, numbers = st.container(key="train_place").columns([0.74, 0.26], gap="medium")
with picture:
    st.fragment(training_view.stage, run_every=pace and 2 * pace)(made, job)
with numbers:
    st.fragment(training_panel.panel, run_every=pace)(setup, yard, pace)
if job is not None:
    training_runs.follow_rate(setup, job)
    training_step.show(made, job)
    charts = st.container(key="train_charts")
if setup.kind == "plane":
    with st.expander("Learn the schedule first"):
        learn = st.fragment(schedule_learning.section)
        learn(setup.source, setup.run.training.seed, schedule_learning.train_with, "Train with this schedule")
below = st.columns(2)
with below[0]:
    training_earlier.show(setup, job)
if job is not None:
    with below[1]:
        other = training_earlier.compared(made, job, yard)
    with charts:
        st.fragment(training_view.curves, run_every=pace and 4 * pace)(job, math.prod(made.shape), other, yard)
