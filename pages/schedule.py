"""Schedule: how fast the signal is lost."""

import streamlit as st
import torch

from dpm_core.config import BIT_RUN
from dpm_core.data.toy2d import DataError
from dpm_core.figures.charts import schedule_chart
from pages.ui import cache, page
from pages.ui.components.curve_editor import curve_editor
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_controls, bit_schedule
from pages.ui.schedule import learned_schedule, views

MEASURES = {
    "Signal left": (lambda s, t: s.alpha_bar(t), "ᾱₜ", False),
    "Information destroyed": (lambda s, t: s.information_destroyed_bits(t), "bits per dimension, in step t", False),
    "Posterior variance": (lambda s, t: s.posterior_variance(t), "β̃ₜ", True),
}


def plane_charts() -> dict:
    """By title the curves of every schedule over t = 1..T, their axis and whether it is logarithmic."""
    t = torch.arange(1, T + 1)
    return {title: ({name: of(s, t).numpy() for name, s in schedules.items()}, axis, log) for title, (of, axis, log) in MEASURES.items()}


page.open_page("Schedule", "How much noise each step adds decides what every step back has to undo.")
with st.sidebar:
    names = widgets.schedule_names()
    source = bit_controls.plane_or_bits()
    bits = isinstance(source, bit_controls.BitSource)
    T = widgets.whole("Steps T", 2, 2000, BIT_RUN.schedule.T if bits else 40, "T")
    seed = widgets.seed()

configs = {name: bit_controls.flipping(config) if bits else config for name in names for config in [widgets.with_points(name, T)]}
schedules = {name: cache.diffusion(config).schedule for name, config in configs.items()}
dark = st.context.theme.type == "dark"

curve_editor(views.spec(schedules, T), "curve", views.keep_points)
if error := st.session_state.pop("points_error", None):
    st.error(error)
if "custom" not in names:
    st.caption("Add “Custom, drawn” to the schedules to drag a β of your own.")

try:
    with page.working("Diffusing …"):
        images = views.strips(source, configs, seed, dark)
        words = views.left_at_the_end(source, configs)
        charts = bit_schedule.charts(source, configs) if bits else plane_charts()
    views.show_strips(images, words)
except DataError as problem:
    st.error(str(problem))
    st.stop()

looks = {widgets.SCHEDULE_TITLES[name]: views.look(name) for name in names}
for column, (title, (curves, axis, log)) in zip(st.columns(3), charts.items()):
    column.markdown(f"**{title}**")
    column.altair_chart(schedule_chart({widgets.SCHEDULE_TITLES[name]: curve for name, curve in curves.items()}, axis, looks, dark, log))

if not bits:
    st.fragment(learned_schedule.section)(source, seed, learned_schedule.overlay, "Make it my custom schedule")
st.latex(views.equation(schedules, cache.bits(source).rate if bits else None))
st.markdown(
    "Look at where a row of bits loses its pattern: long before its last bit is drawn anew, and under every schedule at about the same "
    "signal. The paper's 1/(T−t+1) draws as many bits anew in every step, so each step back has as much to say; what begins or ends "
    "slowly has steps that do nothing. With ρ as active as the data, the eye sees nothing change but order."
    if bits
    else "Look at the first steps: a schedule that starts with a large β spends its noise where the fine structure lives. "
    "A straight line in log-SNR gives every scale of structure the same number of steps. "
    "The paper's 1/(T−t+1) erases the same fraction 1/T of the signal each time, and ends at exactly nothing."
)
page.take_along("dpm-schedule", views.python(configs), *views.table(schedules, torch.arange(1, T + 1)))
