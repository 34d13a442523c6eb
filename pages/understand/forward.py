"""Forward: data dissolves into noise, step by step and in one jump."""

from functools import partial

import streamlit as st
import torch

from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import DATA
from dpm_core.schedules import ScheduleError
from pages.shared import bit_controls, bit_view, cached, controls, frame, image_controls, image_view
from pages.shared.player import player

frame.open_page(
    "Forward", "Every step takes a little of the data away and puts noise in its place, until nothing is left of where it started."
)
with st.sidebar:
    source = image_controls.any_source(cuts=False)
    images = isinstance(source, image_controls.ImageSource)
    if isinstance(source, bit_controls.BitSource):
        schedule, how = bit_controls.schedule_config(), bit_view.settings(source)
    else:
        schedule = controls.schedule_config(T=1000 if images else 40)
        n = image_view.number_of_images(source) if images else controls.particles()
        seed = controls.seed()

try:
    if isinstance(source, bit_controls.BitSource):
        bit_view.forward(source, schedule, how)
        st.stop()
    if images:
        image_view.forward(source, schedule, seed, n)
        st.stop()
    with frame.working("Diffusing …"):
        payload, steps = cached.forward(source, schedule, n, seed)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()

player(payload, key="forward")

process = cached.diffusion(schedule)
times = steps.times.tolist()
t = torch.tensor(times)
python = f"""import torch
from dpm_core.data import toy2d, uploads
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

data = {controls.python_data(source)}
diffusion = GaussianDiffusion({controls.python_schedule(schedule)})
x0 = data.sample({n}, torch.Generator().manual_seed({seed}))
trajectory = diffusion.forward_trajectory(x0, torch.Generator().manual_seed({seed + 1}))
print(trajectory.shape)  # T + 1 states, step by step
print(diffusion.q_sample(x0, {schedule.T // 2}).shape)  # one jump to the middle
"""
frame.take_along(
    "dpm-forward",
    python,
    {"t": steps.times, "x": steps.x},
    {name: getattr(process.schedule, name)(t).tolist() for name in ("beta", "alpha_bar", "log_snr")} | {"t": times},
    partial(cached.trajectory_gif, [(steps, DATA)], st.context.theme.type == "dark"),
)
