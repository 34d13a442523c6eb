"""The noise schedule: its controls, its control points in the link, and the Python that makes it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.schedules import SCHEDULES, make_schedule
from pages.ui import session
from pages.ui.controls.widgets import choose, whole_number

SCHEDULE_TITLES = {name: schedule.title for name, schedule in SCHEDULES.items()}
FIRST_POINTS = [[0.0, 0.0004], [0.3, 0.03], [0.7, 0.2], [1.0, 0.5]]
MAX_POINTS = 40


def schedule_config(default: str = "log_snr", T: int = 40) -> ScheduleConfig:
    """A schedule and its number of steps T; with the control points when it is the custom one."""
    name = choose("Schedule", SCHEDULE_TITLES, "schedule", default)
    return with_points(name, whole_number("Steps T", 2, 2000, T, "T"))


def with_points(name: str, T: int) -> ScheduleConfig:
    """The schedule ``name``; the custom one with the control points of the session."""
    if name != "custom":
        return ScheduleConfig(name, T)
    points = control_points()
    session.CONTROL_POINTS.show(encode_points(points) if points != FIRST_POINTS else None)
    return ScheduleConfig(name, T, (("points", tuple(map(tuple, points))),))


def control_points() -> list[list[float]]:
    """The control points (u, β) of the custom schedule."""
    return session.CONTROL_POINTS.read(decode_points, FIRST_POINTS)


def set_control_points(points: list[list[float]]) -> None:
    """Make these the control points, in the link and in the curve editor."""
    session.CONTROL_POINTS.write(points, encode_points(points))
    session.CONTROL_POINTS_REVISION.set(session.CONTROL_POINTS_REVISION.get() + 1)


def schedule_names() -> list[str]:
    """Any number of schedules to compare, at least one."""
    names = session.bind(
        st.multiselect,
        "Schedules",
        list(SCHEDULES),
        ["paper", "log_snr", "linear", "cosine"],
        format_func=SCHEDULE_TITLES.get,
        key="schedules",
    )
    if not names:
        st.caption("No schedule is selected, so the paper's schedule is shown.")
    return names or ["paper"]


def python_schedule(config: ScheduleConfig) -> str:
    """The config as the Python expression that makes it. Raises ScheduleError where it makes no schedule."""
    params = "".join(f", {name}={value!r}" for name, value in config.params)
    make_schedule(config.name, config.T, **dict(config.params))
    return f"make_schedule({config.name!r}, {config.T}{params})"


def encode_points(points: list[list[float]]) -> str:
    """Control points (u, β) as link text: u:β pairs joined by '_'."""
    return "_".join(f"{u:.4g}:{beta:.5g}" for u, beta in points)


def decode_points(text: str) -> list[list[float]]:
    """The inverse of encode_points. Raises ValueError as check_points does."""
    return check_points([[float(part) for part in pair.split(":")] for pair in text.split("_")])


def check_points(points: Any) -> list[list[float]]:
    """Control points from the browser or a link as lists of floats.

    Raises ValueError unless there are 2 to MAX_POINTS of them with u rising in [0, 1] and β in [1e-5, 1].
    """
    message = f"A custom schedule needs 2 to {MAX_POINTS} points (u, β) with u rising in [0, 1] and β in [1e-5, 1]."
    try:
        checked = [[float(u), float(beta)] for u, beta in points]
    except (TypeError, ValueError):
        raise ValueError(message) from None
    rising = all(a[0] <= b[0] for a, b in pairwise(checked))
    if not 2 <= len(checked) <= MAX_POINTS or not rising or any(not (0 <= u <= 1 and 1e-5 <= b <= 1) for u, b in checked):
        raise ValueError(message)
    return checked
