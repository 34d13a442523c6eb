"""Train: a network learns the reverse process while you watch."""

import math

import streamlit as st

from pages.ui import page

page.open_page("train")

from pages.ui.components.working import working
from pages.ui.kinds import runs
from pages.ui.schedule import joint, learned_schedule
from pages.ui.training import earlier_runs, panel, run_setup, session_runs, single_step, views

with page.stop_on_error(ValueError):  # of data, schedule, network or numbers
    with st.sidebar:
        setup = run_setup.setup()
    with working("Computing the reference values …"):
        job, made = session_runs.current(setup)
        reference = made.kind.reference_values(made.source, made.run.schedule)
        views.prepare(made, job)

pace = runs.pace(job)
picture, numbers = st.container(key="train_place").columns([0.74, 0.26], gap="medium")
with picture:
    st.fragment(views.stage, run_every=pace and 5 * pace)(made, job)  # and whenever there is a snapshot
with numbers:
    st.fragment(panel.panel, run_every=pace)(setup, reference, pace)
if job is not None:
    session_runs.follow_rate(setup, job)
    single_step.show(made, job)
    charts = st.container(key="train_charts")
if setup.kind.learns_schedules:
    seed = setup.run.training.seed
    with st.expander("Learn the schedule before training"):
        learn = st.fragment(learned_schedule.section)
        learn(setup.source, seed, learned_schedule.train_with, "Train with this schedule")
    with st.expander("Learn the schedule together with a network"):
        st.fragment(joint.section)(setup.source, seed)
below = st.columns(2)
with below[0]:
    earlier_runs.show(setup, job)
if job is not None:
    with below[1]:
        other = earlier_runs.compared(made, job, reference)
    with charts:
        st.fragment(views.curves, run_every=pace and 2 * pace)(job, math.prod(made.shape), other, reference)
