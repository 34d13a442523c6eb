"""The colour palette: one colour per meaning, for light and dark backgrounds. The only place where Python code defines colours."""

from __future__ import annotations

from typing import NamedTuple


class Role(NamedTuple):
    """The colour of one meaning, on a light and on a dark background."""

    light: str
    dark: str


DATA = Role("#2f6de0", "#6ea0ff")
MODEL = Role("#e4572e", "#ff7a55")
EXACT = Role("#1a936f", "#3ecf9b")
NOISE = Role("#9aa0aa", "#6b7280")
RELATIVE = Role("#7a4fc9", "#b89cff")  # a model of another kind, beside MODEL
ROLES = {"data": DATA, "model": MODEL, "exact": EXACT, "noise": NOISE}

INK = Role("#1d2330", "#e8eaee")  # of text
GROUND = Role("#fbfaf7", "#0f1318")


class ScheduleLook(NamedTuple):
    """The line style of one schedule in all charts: colour and dash pattern, so that colour is never the only distinction."""

    colour: Role
    dash: list[int]


# in the order of the schedule menu; the curve editor uses the same styles
SCHEDULE_LOOKS = (
    ScheduleLook(Role("#2f6de0", "#6ea0ff"), [1, 0]),
    ScheduleLook(Role("#946000", "#e3ac42"), [8, 4]),
    ScheduleLook(Role("#b8307c", "#f283bd"), [2, 3]),
    ScheduleLook(Role("#0b7a75", "#45cbc3"), [11, 3, 2, 3]),
    ScheduleLook(Role("#7a4fc9", "#b89cff"), [15, 4]),
    ScheduleLook(Role("#93482c", "#e0a07e"), [7, 2, 2, 2, 2, 2]),
    ScheduleLook(Role("#5a7006", "#b0c653"), [4, 4]),
    ScheduleLook(Role("#a3221f", "#ff8f86"), [12, 3]),
    ScheduleLook(Role("#4d5667", "#b3bac7"), [2, 6]),
)
