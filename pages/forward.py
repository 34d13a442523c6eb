"""Forward: data dissolve into noise, step by step and in one jump."""

import streamlit as st

from pages.ui import page

page.open_page("forward")

from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui import kinds
from pages.ui.components.export_row import export_row
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.kinds import menu

with page.stop_on_error(DataError, ScheduleError):
    with st.sidebar:
        source = menu.choose_source(whole=True)
        kind = kinds.of(source)
        schedule = kind.schedule_controls(source)
        settings = kind.forward_controls(source)
    with working("Diffusing …"):
        shown = kind.forward(source, schedule, settings)
player(shown.payload, key="forward")
shown.show_below()
export_row(*shown.export)
