"""Reversibility: the forward process played backward beside the reverse process, and the bits that tell them apart."""

import streamlit as st

from pages.ui import page

page.open_page("reversibility")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui.components.export_row import export_row
from pages.ui.reversibility import question, views

with page.stop_on_error(CheckpointError, DataError, ScheduleError, OSError):
    with st.sidebar:
        asked = question.controls()
    export = views.show(asked)
export_row(*export)
