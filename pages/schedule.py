"""Schedule: how fast the signal is removed."""

import streamlit as st

from pages.ui import page

page.open_page("schedule")

from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui import cache, kinds, session
from pages.ui.components.curve_editor import curve_editor
from pages.ui.components.export_row import export_row
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.schedule import schedule_names, with_points
from pages.ui.kinds import menu
from pages.ui.schedule import learned_schedule, views

with page.stop_on_error(DataError, ScheduleError):
    with st.sidebar:
        names = schedule_names()
        source = menu.choose_source(exact=True)
        kind = kinds.of(source)
        T = widgets.whole_number("Steps T", 2, 2000, kind.T, "T")
        seed = widgets.seed()
    configs = {name: kind.fitted_schedule(with_points(name, T)) for name in names}
    schedules = {name: cache.schedule(config) for name, config in configs.items()}

curve_editor(views.editor_data(schedules, T), views.EDITOR, views.take_points)
if error := session.CONTROL_POINTS_ERROR.pop():
    st.error(session.plain(error))
if "custom" not in names:
    st.caption("Add “Custom, drawn” to the schedules to draw your own βₜ by dragging points.")

dark = session.is_dark()
with page.stop_on_error(DataError, ScheduleError):
    with working("Diffusing …"):
        strips = views.strips(source, configs, seed, dark)
    views.show_strips(strips)
    views.show_charts(source, configs, dark)
if kind.learns_schedules:
    st.fragment(learned_schedule.section)(source, seed, learned_schedule.add_custom, "Use as custom schedule")
views.show_equation(source, configs)
st.markdown(kind.schedule_note)
export_row(*views.export(configs))
