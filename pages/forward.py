"""Forward: data dissolves into noise, step by step and in one jump."""

from functools import partial

import streamlit as st
import torch

from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import DATA
from dpm_core.schedules import ScheduleError
from pages.ui import cache, page
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_controls, views
from pages.ui.kinds.images import image_controls, picture_rows

page.open_page(
    "Forward", "Every step takes a little of the data away and puts noise in its place, until nothing is left of where it started."
)
with st.sidebar:
    source = image_controls.any_source(cuts=False)
    images = isinstance(source, image_controls.ImageSource)
    if isinstance(source, bit_controls.BitSource):
        schedule, how = bit_controls.schedule_config(), views.settings(source)
    else:
        schedule = widgets.schedule_config(T=1000 if images else 40)
        n = picture_rows.number_of_images(source) if images else widgets.particles()
        seed = widgets.seed()

try:
    if isinstance(source, bit_controls.BitSource):
        views.forward(source, schedule, how)
        st.stop()
    if images:
        picture_rows.forward(source, schedule, seed, n)
        st.stop()
    with page.working("Diffusing …"):
        payload, steps = cache.forward(source, schedule, n, seed)
except (DataError, ScheduleError) as error:
    st.error(str(error))
    st.stop()

player(payload, key="forward")

process = cache.diffusion(schedule)
times = steps.times.tolist()
t = torch.tensor(times)
python = f"""import torch
from dpm_core.data import toy2d, uploads
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

data = {widgets.python_data(source)}
diffusion = GaussianDiffusion({widgets.python_schedule(schedule)})
x0 = data.sample({n}, torch.Generator().manual_seed({seed}))
trajectory = diffusion.forward_trajectory(x0, torch.Generator().manual_seed({seed + 1}))
print(trajectory.shape)  # T + 1 states, step by step
print(diffusion.q_sample(x0, {schedule.T // 2}).shape)  # one jump to the middle
"""
page.take_along(
    "dpm-forward",
    python,
    {"t": steps.times, "x": steps.x},
    {name: getattr(process.schedule, name)(t).tolist() for name in ("beta", "alpha_bar", "log_snr")} | {"t": times},
    partial(cache.trajectory_gif, [(steps, DATA)], st.context.theme.type == "dark"),
)
