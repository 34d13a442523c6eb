"""Widgets into frozen configs. Every widget is bound to the query string under its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.data import toy2d, uploads
from dpm_core.schedules import SCHEDULES, make_schedule
from pages.ui import session
from pages.ui.components import sketch_pad

SCHEDULE_TITLES = {
    "paper": "Paper: 1/(T−t+1)",
    "log_snr": "Linear log-SNR",
    "linear": "Linear β",
    "cosine": "Cosine",
    "quadratic": "Quadratic",
    "sigmoid": "Sigmoid",
    "constant": "Constant",
    "custom": "Custom, drawn",
}
OWN_TITLES = {"drawn": "Draw your own", "upload": "Upload a CSV"}
DATA_TITLES = {name: title for name, (title, _, _) in toy2d.SHAPES.items()} | OWN_TITLES
FIRST_POINTS = [[0.0, 0.0004], [0.3, 0.03], [0.7, 0.2], [1.0, 0.5]]
_U = np.linspace(0, 2 * np.pi, 120)  # a heart, until something is drawn
_HEART = np.stack([16 * np.sin(_U) ** 3, 13 * np.cos(_U) - 5 * np.cos(2 * _U) - 2 * np.cos(3 * _U) - np.cos(4 * _U)], 1)
FIRST_DRAWING = [(128 + 5.5 * _HEART).round().astype(int).ravel().tolist()]


@dataclass(frozen=True)
class PlaneSource:
    """Where plane data comes from: a built-in name, or the person's own points as float64 bytes ``[N, 2]``."""

    name: str
    noise: float | None = None
    points: bytes = b""
    title: str = ""
    drawing: str = ""

    def dataset(self) -> toy2d.PlaneDataset:
        """The data set itself. Raises DataError."""
        if self.points:
            points = np.frombuffer(self.points).reshape(-1, 2)
            return toy2d.from_points(points, title=self.title, noise=self.noise or toy2d.OWN_NOISE)
        return toy2d.make_dataset(self.name, self.noise)


def linked(widget: Callable[..., Any], *args: Any, key: str, **options: Any) -> Any:
    """A widget whose value stands in the link under its key; :func:`state.keep_link` carries it from page to page."""
    st.session_state.setdefault("bound", set()).add(key)
    return widget(*args, key=key, bind="query-params", **options)


def choose(label: str, titles: dict[str, str], key: str, default: str | None = None, help: str | None = None) -> str:
    """One of ``titles``' keys. A link may also name the key itself instead of its title; an untouched default as in :func:`whole`."""
    names = list(titles)
    _follow_default(key, default or names[0])
    if key not in st.session_state and (asked := st.query_params.get(key)) in titles:
        st.query_params[key] = titles[asked]
        st.session_state[key] = asked
    index = names.index(default) if default else 0
    return linked(st.selectbox, label, names, index, titles.get, key=key, help=help)


def _follow_default(key: str, default: Any) -> None:
    """Where other data bring another default, a value that was never touched goes along."""
    before = st.session_state.setdefault(f"default_{key}", default)
    if before != default and st.session_state.get(key) == before:
        st.session_state[key] = default
    st.session_state[f"default_{key}"] = default


def data_source() -> PlaneSource:
    """The data set in the plane: a built-in one, drawn, or uploaded."""
    return plane_source(choose("Data", DATA_TITLES, "data", "swiss_roll"))


def plane_source(name: str) -> PlaneSource:
    """What a name in the menu stands for, with its own controls. A bad file leaves the last good data in place."""
    if name == "drawn":
        return _drawn()
    if name == "upload":
        return _uploaded()
    default = toy2d.SHAPES[name][2]
    return PlaneSource(name, None if (noise := _noise(default)) == default else noise)


def _noise(default: float) -> float:
    with st.sidebar.expander("More"), st.container(key="noise"):
        # far below the set's own noise the exact kernel needs more points than a page can wait for
        widths = sorted({w for w in (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3) if w >= default / 3} | {default})
        return linked(
            st.select_slider,
            "Noise of the data (σ)",
            widths,
            default,
            key=f"noise_{default:g}".replace(".", "p"),
            help="Standard deviation of the blur around each curve, in units in which the data has variance 1.",
        )


def strokes_on_pad(key: str, default: list[list[int]], pad: str) -> list[list[int]]:
    """What is drawn on a sketch pad; it lives in the link under ``key``. Nonsense leaves the last strokes in place."""
    strokes = session.linked(key, sketch_pad.decode, default)
    result = sketch_pad.sketch_pad(strokes, key=pad)
    if result.strokes is not None:
        try:
            strokes = sketch_pad.validate(result.strokes)
        except ValueError as error:
            session.complain(str(error))
    st.session_state[key] = strokes
    session.put_in_link(key, sketch_pad.encode(strokes) if strokes != default else None)
    return strokes


def _drawn() -> PlaneSource:
    strokes = strokes_on_pad("draw", FIRST_DRAWING, "pad")
    try:
        st.session_state["drawn"] = _drawing(strokes)
    except toy2d.DataError:
        st.info("Draw a shape that is wide and high; until then the last one is shown.")
    return st.session_state.get("drawn") or _drawing(FIRST_DRAWING)


def _drawing(strokes: list[list[int]]) -> PlaneSource:
    """Strokes as data. Raises DataError when they are too little to be a data set."""
    points = sketch_pad.points(strokes)
    source = PlaneSource("drawn", toy2d.OWN_NOISE, points.tobytes(), "Your drawing", sketch_pad.encode(strokes))
    if len(points) < 2:
        raise toy2d.DataError("The drawing is empty.")
    source.dataset()
    return source


def _uploaded() -> PlaneSource:
    file = st.file_uploader("Two numeric columns", type=["csv", "tsv", "txt"], key="csv")
    if file is not None and st.session_state.get("read", ("",))[0] != file.file_id:
        st.session_state["read"] = (file.file_id, *_read(file.name, file.getvalue()))
    if file is not None:
        _, note, error = st.session_state["read"]
        if error:
            session.complain(error)
        elif note:
            st.caption(note)
    kept = st.session_state.get("uploaded")
    if kept is None:
        st.caption("Until then the swiss roll is shown.")
        return PlaneSource("swiss_roll")
    st.caption(f"Showing {kept.title}.")
    return kept


def _read(name: str, raw: bytes) -> tuple[str, str]:
    """Keep a file's points for the session when they are data; a note and an error, either may be empty."""
    try:
        points = uploads.read_csv(raw)
        source = PlaneSource("upload", toy2d.OWN_NOISE, points.tobytes(), name)
        source.dataset()
    except toy2d.DataError as error:
        return "", str(error)
    st.session_state["uploaded"] = source
    few = toy2d.MAX_OWN_POINTS
    return (f"{len(points):,} rows; {few:,} of them, chosen at random, are used." if len(points) > few else ""), ""


def schedule_config(default: str = "log_snr", T: int = 40) -> ScheduleConfig:
    """A schedule and its T, with the drawn points when it is the custom one."""
    name = choose("Schedule", SCHEDULE_TITLES, "schedule", default)
    steps = whole("Steps T", 2, 2000, T, "T")
    return with_points(name, int(steps))


def with_points(name: str, T: int) -> ScheduleConfig:
    """The schedule ``name``, with the person's control points when it is the custom one."""
    if name != "custom":
        return ScheduleConfig(name, T)
    points = session.linked("points", session.decode_points, FIRST_POINTS)
    session.put_in_link("points", session.encode_points(points) if points != FIRST_POINTS else None)
    return ScheduleConfig(name, T, (("points", tuple(map(tuple, points))),))


def whole(label: str, low: int, high: int, default: int, key: str, step: int = 1, help: str | None = None) -> int:
    """A whole number typed or stepped. Where another data set brings another default, an untouched one goes along."""
    _follow_default(key, default)
    return int(linked(st.number_input, label, low, high, default, step, key=key, help=help))


def sampler_steps(T: int) -> int | None:
    """Number of sampler steps, at most T; None for all of them."""
    with st.container(key="steps"):
        steps = linked(st.slider, "Sampler steps", 1, T, T, key=f"steps_{T}", help="Fewer steps than T jump over times.")
    return None if steps == T else steps


def eta(sampler: str) -> float:
    """DDIM's noise; the other samplers have none."""
    return linked(st.slider, "η, DDIM's noise", 0.0, 1.0, 0.0, 0.05, key="eta") if sampler == "ddim" else 0.0


def particles(default: int = 3000) -> int:
    """How many particles."""
    options = [500, 1000, 2000, 3000, 5000, 10000, 20000]
    return linked(st.select_slider, "Particles", options, default, key="particles")


def seed() -> int:
    """The seed of all randomness on the page."""
    return whole("Seed", 0, 9999, 7, "seed", help="The same seed gives the same picture.")


def schedule_names() -> list[str]:
    """Any number of schedules to lay over each other, at least one."""
    names = linked(
        st.multiselect,
        "Schedules",
        list(SCHEDULES),
        ["paper", "log_snr", "linear", "cosine"],
        format_func=SCHEDULE_TITLES.get,
        key="schedules",
    )
    if not names:
        st.caption("Nothing chosen: the paper's schedule is shown.")
    return names or ["paper"]


def python_schedule(config: ScheduleConfig) -> str:
    """The config as the Python that makes it."""
    params = "".join(f", {name}={value!r}" for name, value in config.params)
    make_schedule(config.name, config.T, **dict(config.params))
    return f"make_schedule({config.name!r}, {config.T}{params})"


def python_data(source: PlaneSource) -> str:
    """The source as the Python that makes it."""
    if source.drawing:
        flat = np.frombuffer(source.points).reshape(-1, 2).round(4).tolist()
        return f"toy2d.from_points({flat}, noise={source.noise})"
    if source.points:
        return f"toy2d.from_points(uploads.read_csv(open({source.title!r}, 'rb').read()), noise={source.noise})"
    return f"toy2d.make_dataset({source.name!r}" + ("" if source.noise is None else f", noise={source.noise}") + ")"
