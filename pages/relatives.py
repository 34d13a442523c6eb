"""Relatives: a variational autoencoder beside a diffusion model of the same size, and a table of related methods."""

import streamlit as st

from pages.ui import page

page.open_page("relatives")

from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui.components.export_row import export_row
from pages.ui.relatives import methods, question, training, views

with page.stop_on_error(DataError, ScheduleError, ValueError):
    with st.sidebar:
        asked = question.controls()
    pair = training.current(asked)
    in_training, shown = st.empty(), st.container()  # two places, so that results never stand beside what training has left
    if pair is None:
        with shown:
            views.offer(asked)
    elif pair.alive:
        with in_training.container():
            st.fragment(views.progress, run_every=1.0)(pair)
    else:
        with shown:
            export = views.results(asked, pair)
methods.show()
if pair is not None and not pair.alive:
    export_row(*export)
