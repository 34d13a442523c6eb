"""Memory: the exact kernel of N points, which only remembers, beside a network trained on them."""

import streamlit as st

from pages.ui import page

page.open_page("memory")

from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui.components.export_row import export_row
from pages.ui.memory import question, views

with page.stop_on_error(DataError, ScheduleError):
    with st.sidebar:
        asked = question.controls()
    export = views.show(asked)
export_row(*export)
