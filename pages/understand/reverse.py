"""Reverse: a network takes every step back, beside the exact answer."""

from functools import partial

import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.schedules import ScheduleError
from pages.shared import bit_view, cached, controls, frame, image_reverse, kernel_view, reversing, state
from pages.shared.bit_controls import BitSource
from pages.shared.player import player

NO_NETWORK = "exact"

frame.open_page("Reverse", "Start from pure noise. At every step a network says where it most likely came from.")
with st.sidebar:
    found = checkpoints.list_checkpoints()
    titles = {name: kernel_view.model_title(path, path.stat().st_mtime) for name, path in found.items()} | {
        NO_NETWORK: "Exact kernel, no network"
    }
    if (asked := st.query_params.get("model")) not in (None, *titles, *titles.values()):
        state.complain(f"There is no model {asked!r} here; another one is shown.")
    name = controls.choose("Model", titles, "model", "swiss_roll_mlp" if "swiss_roll_mlp" in found else None)
    try:
        ref, source, schedule = kernel_view.model_parts(name, found.get(name))
    except (checkpoints.CheckpointError, DataError, OSError) as error:
        state.complain(str(error))
        ref, source, schedule = None, controls.PlaneSource("swiss_roll"), ScheduleConfig()
    if isinstance(source, ImageSpec):
        view, how = image_reverse.settings(ref)
    elif isinstance(source, BitSource):
        how = bit_view.reverse_settings(source, schedule)
    else:
        sampler = controls.choose("Sampler", reversing.SAMPLER_TITLES, "sampler")
        steps, eta = controls.sampler_steps(schedule.T), controls.eta(sampler)
        how = reversing.SamplerConfig(sampler, steps, eta, controls.particles(), controls.seed())

if isinstance(source, ImageSpec):
    image_reverse.show(ref, view, how)
    st.stop()

try:
    if isinstance(source, BitSource):
        bit_view.reverse(ref, source, schedule, how)
        st.stop()
    with frame.working("Sampling …"):
        payload, left, right, numbers = reversing.reverse(ref, source, schedule, how)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()


@st.fragment
def stage() -> None:
    """The player and, under it, the kernel at the point that was clicked."""
    result = player(payload, "reverse", lambda: None)
    kernel_view.show(ref, source, schedule, payload, left, result.pick)


stage()
frame.take_along(
    "dpm-reverse",
    kernel_view.python(name, ref, source, schedule, how),
    {"t": left.times, "left": left.x, "right": right.x},
    numbers,
    partial(cached.trajectory_gif, [(left, MODEL if ref else EXACT), (right, EXACT if ref else DATA)], st.context.theme.type == "dark"),
)
