"""Schedule: how fast the signal is lost."""

import numpy as np
import streamlit as st
import torch

from dpm_core.data.toy2d import DataError
from dpm_core.figures import DATA, SCHEDULE_COLOURS, schedule_chart
from pages.shared import cached, controls, frame, state
from pages.shared.curve import curve_editor

MEASURES = {
    "Signal left, ᾱₜ": (lambda s, t: s.alpha_bar(t), "ᾱₜ", False),
    "Information destroyed": (lambda s, t: s.information_destroyed_bits(t), "bits per dimension in step t", False),
    "Posterior variance": (lambda s, t: s.posterior_variance(t), "β̃ₜ", True),
}

frame.open_page("Schedule", "How much noise each step adds decides what every step back has to undo.")
with st.sidebar:
    names = controls.schedule_names()
    T = controls.whole("Steps T", 2, 2000, 40, "T")
    source = controls.data_source()
    seed = controls.seed()
    frame.device_line()

configs = {name: controls.with_points(name, T) for name in names}
schedules = {name: cached.diffusion(config).schedule for name, config in configs.items()}
t = torch.arange(1, T + 1)
slots = list(controls.SCHEDULE_TITLES)
points = st.session_state.get("points") if "custom" in names else None
spec = {
    "T": T,
    "points": points,
    "curves": [
        {"name": name, "label": controls.SCHEDULE_TITLES[name], "slot": slots.index(name), "beta": s.betas.tolist(), "log_snr": s.log_snr(t).tolist()}
        for name, s in schedules.items()
    ],
}


def keep_points() -> None:
    """What came from the browser becomes the custom schedule when it is one."""
    try:
        st.session_state["points"] = state.check_points(st.session_state["curve"].points)
    except ValueError:
        st.session_state["bad_points"] = True


curve_editor(spec, "curve", keep_points)
if "custom" not in names:
    st.caption("Add “Custom, drawn” to the schedules to drag a β of your own.")

try:
    dark = st.context.theme.type == "dark"
    for name, config in configs.items():
        image, times = cached.strip(source, config, seed, DATA.dark if dark else DATA.light)
        kl = schedules[name].terminal_kl_nats() / np.log(2)
        st.html(
            f'<div style="font-size:0.85rem;margin-top:0.4rem"><b>{controls.SCHEDULE_TITLES[name]}</b>'
            f'<span style="opacity:0.7"> &ensp; t = {", ".join(map(str, times))} &ensp; left at the end, KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π): {kl:.2g} bits per dimension</span></div>'
            f'<img src="{state.data_uri(image)}" alt="The data at t = {times} under this schedule" style="width:100%">'
        )
except DataError as error:
    st.error(str(error))

shade = 1 if dark else 0
colours = {controls.SCHEDULE_TITLES[name]: SCHEDULE_COLOURS[slots.index(name)][shade] for name in names}
for column, (title, (measure, axis, log)) in zip(st.columns(3), MEASURES.items()):
    curves = {controls.SCHEDULE_TITLES[name]: measure(s, t).numpy() for name, s in schedules.items()}
    column.markdown(f"**{title}**")
    column.altair_chart(schedule_chart(curves, axis, colours, log))
st.latex(
    r"q(x^{(t)}\mid x^{(0)}) = \mathcal N\!\left(\sqrt{\bar\alpha_t}\,x^{(0)},\,1-\bar\alpha_t\right)\qquad "
    + r"\qquad ".join(
        rf"\bar\alpha_{{{T // 2}}}={float(s.alpha_bar(T // 2)):.3g},\;\beta_{{{T // 2}}}={float(s.beta(T // 2)):.3g}" for s in list(schedules.values())[:1]
    )
)
st.markdown(
    "Look at the first steps: a schedule that starts with a large β spends its noise where fine structure lives, and no later step brings it back. "
    "A straight line in log-SNR gives every scale of structure the same number of steps. "
    "The paper's 1/(T−t+1) erases the same fraction 1/T of the signal each time, and ends at exactly nothing."
)
python = f"""import torch
from dpm_core.schedules import make_schedule

schedules = {{
{chr(10).join(f"    {name!r}: {controls.python_schedule(config)}," for name, config in configs.items())}
}}
for name, schedule in schedules.items():
    t = torch.arange(1, schedule.T + 1)
    print(name, schedule.betas[:3], schedule.alpha_bar(t)[-1], schedule.terminal_kl_nats())
"""
table = {"t": t.tolist()}
for name, s in schedules.items():
    table |= {f"{name}_beta": s.betas.tolist(), f"{name}_alpha_bar": s.alpha_bar(t).tolist(), f"{name}_log_snr": s.log_snr(t).tolist()}
frame.take_along("dpm-schedule", python, {k: np.array(v) for k, v in table.items()}, table)
