"""Schedule: how fast the signal is lost."""

import streamlit as st
import torch

from dpm_core.data.toy2d import DataError
from dpm_core.figures import schedule_chart
from pages.shared import cached, controls, frame, schedule_learning, schedule_view
from pages.shared.curve import curve_editor

MEASURES = {
    "Signal left": (lambda s, t: s.alpha_bar(t), "ᾱₜ", False),
    "Information destroyed": (lambda s, t: s.information_destroyed_bits(t), "bits per dimension, in step t", False),
    "Posterior variance": (lambda s, t: s.posterior_variance(t), "β̃ₜ", True),
}

frame.open_page("Schedule", "How much noise each step adds decides what every step back has to undo.")
with st.sidebar:
    names = controls.schedule_names()
    T = controls.whole("Steps T", 2, 2000, 40, "T")
    source = controls.data_source()
    seed = controls.seed()

configs = {name: controls.with_points(name, T) for name in names}
schedules = {name: cached.diffusion(config).schedule for name, config in configs.items()}
dark = st.context.theme.type == "dark"

curve_editor(schedule_view.spec(schedules, T), "curve", schedule_view.keep_points)
if error := st.session_state.pop("points_error", None):
    st.error(error)
if "custom" not in names:
    st.caption("Add “Custom, drawn” to the schedules to drag a β of your own.")

try:
    with frame.working("Diffusing …"):
        images = schedule_view.strips(source, configs, seed, dark)
    schedule_view.show_strips(images, schedules)
except DataError as problem:
    st.error(str(problem))

t = torch.arange(1, T + 1)
looks = {controls.SCHEDULE_TITLES[name]: schedule_view.look(name) for name in names}
for column, (title, (measure, axis, log)) in zip(st.columns(3), MEASURES.items()):
    curves = {controls.SCHEDULE_TITLES[name]: measure(s, t).numpy() for name, s in schedules.items()}
    column.markdown(f"**{title}**")
    column.altair_chart(schedule_chart(curves, axis, looks, dark, log))

st.fragment(schedule_learning.section)(source, seed, schedule_learning.overlay, "Make it my custom schedule")
st.latex(schedule_view.equation(schedules))
st.markdown(
    "Look at the first steps: a schedule that starts with a large β spends its noise where the fine structure lives. "
    "A straight line in log-SNR gives every scale of structure the same number of steps. "
    "The paper's 1/(T−t+1) erases the same fraction 1/T of the signal each time, and ends at exactly nothing."
)
frame.take_along("dpm-schedule", schedule_view.python(configs), *schedule_view.table(schedules, t))
