"""Reverse: a network takes every step back, beside the exact answer."""

import streamlit as st

from pages.ui import page

page.open_page("reverse")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui import kinds, session
from pages.ui.kinds import menu

FEW = 5  # steps of the exact kernel: so few that its Gaussian form fails

with st.sidebar:
    try:
        model = menu.model_of(menu.choose_model("model", exact=True), T=FEW)
    except (CheckpointError, DataError, OSError) as error:
        session.complain(str(error))
        model = menu.fallback()
    kind = kinds.of(model.source)
    settings = kind.reverse_controls(model)
with page.stop_on_error(DataError, ScheduleError):
    kind.show_reverse(model, settings)
