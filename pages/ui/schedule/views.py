"""What the Schedule page shows: the curve editor's data, strips of data at eight times, and downloads."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.charts import schedule_chart
from dpm_core.figures.palette import SCHEDULE_LOOKS, ScheduleLook
from dpm_core.schedules import Schedule
from pages.ui import cache, kinds, session
from pages.ui.components.data_uri import data_uri
from pages.ui.controls.schedule import SCHEDULE_TITLES, check_points, control_points, python_schedule
from pages.ui.kinds.records import Export

EDITOR = "curve"


def editor_data(schedules: dict[str, Schedule], T: int) -> dict:
    """What the curve editor draws: every schedule, and handles when one of them is the custom one."""
    slots = list(SCHEDULE_TITLES)
    return {
        "T": T,
        "points": control_points() if "custom" in schedules else None,
        "rev": session.CONTROL_POINTS_REVISION.get(),
        "curves": [
            {
                "name": name,
                "label": SCHEDULE_TITLES[name],
                "slot": slots.index(name),
                "beta": schedule.betas.tolist(),
                "log_snr": schedule.log_snr(torch.arange(1, schedule.T + 1)).tolist(),
            }
            for name, schedule in schedules.items()
        ],
    }


def look(name: str) -> ScheduleLook:
    """The colour and dashes of a schedule, the same in every plot."""
    return SCHEDULE_LOOKS[list(SCHEDULE_TITLES).index(name)]


def take_points() -> None:
    """Make the control points from the browser the custom schedule; points that make none leave the last ones in place."""
    try:
        session.CONTROL_POINTS.remember(check_points(session.component_state(EDITOR, "points")))
    except ValueError as error:
        session.CONTROL_POINTS_ERROR.set(str(error))
        session.CONTROL_POINTS_REVISION.set(session.CONTROL_POINTS_REVISION.get() + 1)


def strips(source: Any, configs: dict[str, ScheduleConfig], seed: int, dark: bool) -> dict[str, tuple[bytes, list[int], str]]:
    """For each schedule: the data at eight times as a PNG, the times, and the mismatch with the prior in words."""
    kind = kinds.of(source)
    out = {}
    for name, config in configs.items():
        kl, unit = kind.prior_mismatch(source, config)
        words = "0" if kl == 0 else f"{'below 0.0001' if kl < 1e-4 else f'{kl:.2g}'} {unit}"
        out[name] = (*kind.schedule_strip(source, config, seed, dark), words)
    return out


def show_strips(shown: dict[str, tuple[bytes, list[int], str]]) -> None:
    """One row per schedule, with its times and its mismatch with the prior."""
    for name, (image, times, mismatch) in shown.items():
        labels = "".join(f"<span>t = {t}</span>" for t in times)
        st.html(
            f"<div><b>{SCHEDULE_TITLES[name]}</b>"
            f'<span style="opacity:0.72"> &ensp;Mismatch with the prior, KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π): {mismatch}</span></div>'
            f'<div style="width:{100 * len(times) / 8:g}%">'
            f'<img src="{data_uri(image)}" alt="The data at t = {", ".join(map(str, times))}" style="width:100%;display:block">'
            f'<div style="display:grid;grid-template-columns:repeat({len(times)},1fr);text-align:center;font-size:0.8rem;opacity:0.72;'
            f'font-variant-numeric:tabular-nums">{labels}</div></div>'
        )


def show_charts(source: Any, configs: dict[str, ScheduleConfig], dark: bool) -> None:
    """Three charts over t, beside each other."""
    looks = {SCHEDULE_TITLES[name]: look(name) for name in configs}
    charts = kinds.of(source).schedule_charts(source, configs)
    for column, (title, (curves, axis, log)) in zip(st.columns(3), charts.items()):
        column.markdown(f"**{title}**")
        titled = {SCHEDULE_TITLES[name]: curve for name, curve in curves.items()}
        column.altair_chart(schedule_chart(titled, axis, looks, dark, log))


def show_equation(source: Any, configs: dict[str, ScheduleConfig]) -> None:
    """The forward marginal with the numbers of the first schedule at t = T/2."""
    name, config = next(iter(configs.items()))
    text = kinds.of(source).marginal_latex(source, cache.schedule(config), config.T // 2)
    st.latex(text + rf"\ \text{{({SCHEDULE_TITLES[name].replace('−', '-')})}}")


def export(configs: dict[str, ScheduleConfig]) -> Export:
    """β, ᾱ and log-SNR of every schedule over t, and the Python that makes the schedules."""
    made = {name: cache.schedule(config) for name, config in configs.items()}
    t = torch.arange(1, next(iter(made.values())).T + 1)
    columns = {"t": t.tolist()}
    for name, schedule in made.items():
        measures = {"beta": schedule.beta, "alpha_bar": schedule.alpha_bar, "log_snr": schedule.log_snr}
        columns |= {f"{name}_{measure}": value(t).tolist() for measure, value in measures.items()}
    lines = "\n".join(f"    {name!r}: {python_schedule(config)}," for name, config in configs.items())
    python = f"""import torch
from dpm_core.schedules import make_schedule

schedules = {{
{lines}
}}
for name, schedule in schedules.items():
    t = torch.arange(1, schedule.T + 1)
    print(name, schedule.betas, schedule.alpha_bar(t), schedule.log_snr(t), schedule.terminal_kl_nats())
"""
    return Export("dpm-schedule", python, {key: np.array(values) for key, values in columns.items()}, columns)
