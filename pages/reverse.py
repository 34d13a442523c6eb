"""Reverse: a network takes every step back, beside the exact answer."""

from functools import partial

import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.schedules import ScheduleError
from pages.ui import cache, page, session
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.kinds.bits import views
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.images import image_reverse
from pages.ui.kinds.points import recordings, selected_point

NO_NETWORK = "exact"

page.open_page("Reverse", "Start from pure noise. At every step a network says where it most likely came from.")
with st.sidebar:
    found = checkpoints.list_checkpoints()
    titles = {name: selected_point.model_title(path, path.stat().st_mtime) for name, path in found.items()} | {
        NO_NETWORK: "Exact kernel, no network"
    }
    if (asked := st.query_params.get("model")) not in (None, *titles, *titles.values()):
        session.complain(f"There is no model {asked!r} here; another one is shown.")
    name = widgets.choose("Model", titles, "model", "swiss_roll_mlp" if "swiss_roll_mlp" in found else None)
    try:
        ref, source, schedule = selected_point.model_parts(name, found.get(name))
    except (checkpoints.CheckpointError, DataError, OSError) as error:
        session.complain(str(error))
        ref, source, schedule = None, widgets.PlaneSource("swiss_roll"), ScheduleConfig()
    if isinstance(source, ImageSpec):
        view, how = image_reverse.settings(ref)
    elif isinstance(source, BitSource):
        how = views.reverse_settings(source, schedule)
    else:
        sampler = widgets.choose("Sampler", recordings.SAMPLER_TITLES, "sampler")
        steps, eta = widgets.sampler_steps(schedule.T), widgets.eta(sampler)
        how = recordings.SamplerConfig(sampler, steps, eta, widgets.particles(), widgets.seed())

if isinstance(source, ImageSpec):
    image_reverse.show(ref, view, how)
    st.stop()

try:
    if isinstance(source, BitSource):
        views.reverse(ref, source, schedule, how)
        st.stop()
    with page.working("Sampling …"):
        payload, left, right, numbers = recordings.reverse(ref, source, schedule, how)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()


@st.fragment
def stage() -> None:
    """The player and, under it, the kernel at the point that was clicked."""
    result = player(payload, "reverse", lambda: None)
    selected_point.show(ref, source, schedule, payload, left, result.pick)


stage()
page.take_along(
    "dpm-reverse",
    selected_point.python(name, ref, source, schedule, how),
    {"t": left.times, "left": left.x, "right": right.x},
    numbers,
    partial(cache.trajectory_gif, [(left, MODEL if ref else EXACT), (right, EXACT if ref else DATA)], st.context.theme.type == "dark"),
)
