"""The Schedule page's parts."""

from __future__ import annotations

import numpy as np
import streamlit as st
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.figures.palette import DATA, SCHEDULE_LOOKS, ScheduleLook
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.schedules import Schedule
from pages.ui import cache, session
from pages.ui.controls import widgets
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.bits import bit_schedule
from pages.ui.kinds.bits.bit_controls import BitSource


def spec(schedules: dict[str, Schedule], T: int) -> dict:
    """What the curve editor draws: every schedule, and handles when one of them is the person's own."""
    slots = list(widgets.SCHEDULE_TITLES)
    return {
        "T": T,
        "points": st.session_state["points"] if "custom" in schedules else None,
        "rev": st.session_state.get("points_rev", 0),
        "curves": [
            {
                "name": name,
                "label": widgets.SCHEDULE_TITLES[name],
                "slot": slots.index(name),
                "beta": schedule.betas.tolist(),
                "log_snr": schedule.log_snr(slice(1, None)).tolist(),
            }
            for name, schedule in schedules.items()
        ],
    }


def look(name: str) -> ScheduleLook:
    """The colour and dashes of a schedule, the same in every plot."""
    return SCHEDULE_LOOKS[list(widgets.SCHEDULE_TITLES).index(name)]


def keep_points() -> None:
    """What came from the browser becomes the custom schedule when it is one; otherwise the last good one stays."""
    try:
        st.session_state["points"] = session.check_points(st.session_state["curve"].points)
    except ValueError as error:
        st.session_state["points_error"] = str(error)
        st.session_state["points_rev"] = st.session_state.get("points_rev", 0) + 1


def strips(
    source: PlaneSource | BitSource, configs: dict[str, ScheduleConfig], seed: int, dark: bool
) -> dict[str, tuple[bytes, list[int]]]:
    """The data at eight times under each schedule: a picture and its times."""
    if isinstance(source, BitSource):
        return {name: bit_schedule.strip(source, config, seed, dark) for name, config in configs.items()}
    colour = DATA.dark if dark else DATA.light
    return {name: cache.strip(source, config, seed, colour) for name, config in configs.items()}


def left_at_the_end(source: PlaneSource | BitSource, configs: dict[str, ScheduleConfig]) -> dict[str, str]:
    """KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π) under each schedule, in words."""
    out = {}
    for name, config in configs.items():
        if isinstance(source, BitSource):
            kl, unit = bit_schedule.left_bits(source, config), "bits per bit"
        else:
            kl, unit = cache.diffusion(config).schedule.terminal_kl_nats() / NATS_PER_BIT, "bits per dimension"
        out[name] = "exactly nothing" if kl == 0 else f"{'under 0.0001' if kl < 1e-4 else f'{kl:.2g}'} {unit}"
    return out


def show_strips(images: dict[str, tuple[bytes, list[int]]], words: dict[str, str]) -> None:
    """One row per schedule, with its times and what is left at the end."""
    for name, (image, times) in images.items():
        left = words[name]
        labels = "".join(f"<span>t = {t}</span>" for t in times)
        st.html(
            f"<div><b>{widgets.SCHEDULE_TITLES[name]}</b>"
            f'<span style="opacity:0.72"> &ensp;left at the end, KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π): {left}</span></div>'
            f'<div style="width:{100 * len(times) / 8:g}%">'
            f'<img src="{session.data_uri(image)}" alt="The data at t = {", ".join(map(str, times))}" style="width:100%;display:block">'
            f'<div style="display:grid;grid-template-columns:repeat({len(times)},1fr);text-align:center;font-size:0.8rem;opacity:0.72;'
            f'font-variant-numeric:tabular-nums">{labels}</div></div>'
        )


def equation(schedules: dict[str, Schedule], rate: float | None = None) -> str:
    """The forward marginal, of bits when there is a ρ, with the numbers of the first schedule half way."""
    name, schedule = next(iter(schedules.items()))
    t = schedule.T // 2
    if rate is not None:
        kept, own = float(schedule.alpha_bar(t)), rate * float(schedule.noise(t))
        return (
            r"q(x^{(t)}\mid x^{(0)})=\mathcal B\!\left(\bar\alpha_t\,x^{(0)}+\rho\,(1-\bar\alpha_t)\right),\qquad "
            rf"q(x^{{({t})}}\mid x^{{(0)}})=\mathcal B\!\left({kept:.3f}\,x^{{(0)}}+{own:.3f}\right)"
            rf"\ \text{{for “{widgets.SCHEDULE_TITLES[name].replace('−', '-')}”}}"
        )
    signal, noise = float(schedule.alpha_bar(t)) ** 0.5, float(schedule.noise(t))
    return (
        r"q(x^{(t)}\mid x^{(0)})=\mathcal N\!\left(\sqrt{\bar\alpha_t}\,x^{(0)},\,1-\bar\alpha_t\right),\qquad "
        rf"q(x^{{({t})}}\mid x^{{(0)}})=\mathcal N\!\left({signal:.3f}\,x^{{(0)}},\,{noise:.3f}\right)"
        rf"\ \text{{for “{widgets.SCHEDULE_TITLES[name].replace('−', '-')}”}}"
    )


def python(configs: dict[str, ScheduleConfig]) -> str:
    """The Python that makes these schedules."""
    lines = "\n".join(f"    {name!r}: {widgets.python_schedule(config)}," for name, config in configs.items())
    return f"""import torch
from dpm_core.schedules import make_schedule

schedules = {{
{lines}
}}
for name, schedule in schedules.items():
    t = torch.arange(1, schedule.T + 1)
    print(name, schedule.betas, schedule.alpha_bar(t), schedule.log_snr(t), schedule.terminal_kl_nats())
"""


def table(schedules: dict[str, Schedule], t: Tensor) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """β, ᾱ and log-SNR of every schedule over t, as arrays and as lists."""
    columns = {"t": t.tolist()}
    for name, schedule in schedules.items():
        measures = {"beta": schedule.beta, "alpha_bar": schedule.alpha_bar, "log_snr": schedule.log_snr}
        columns |= {f"{name}_{measure}": value(t).tolist() for measure, value in measures.items()}
    return {key: np.array(values) for key, values in columns.items()}, columns
