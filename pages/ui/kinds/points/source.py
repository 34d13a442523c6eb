"""Data sets in the plane: their description, the menu's controls, and the Python that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import streamlit as st

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import DataConfig
from dpm_core.data import toy2d, uploads
from dpm_core.data.errors import DataError
from pages.ui import session
from pages.ui.components import sketch_pad
from pages.ui.components.sketch_pad import strokes_on_pad
from pages.ui.controls.file_upload import upload

OWN_TITLES = {"drawn": "Draw your own", "upload": "Upload a CSV"}
TITLES = {name: shape.title for name, shape in toy2d.SHAPES.items()} | OWN_TITLES
NOISES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3)
_U = np.linspace(0, 2 * np.pi, 120)  # a heart, until something is drawn
_HEART = np.stack([16 * np.sin(_U) ** 3, 13 * np.cos(_U) - 5 * np.cos(2 * _U) - 2 * np.cos(3 * _U) - np.cos(4 * _U)], 1)
FIRST_DRAWING = [(128 + 5.5 * _HEART).round().astype(int).ravel().tolist()]


@dataclass(frozen=True)
class PointSource:
    """Where points come from: a built-in set by name, or a person's own points as float64 bytes ``[N, 2]``.

    ``noise``: standard deviation of the blur around each point in standardised units; None is the set's own.
    ``drawing``: the strokes as link text, when the points were drawn. ``label``: the class of a built-in set that remains.
    """

    kind: ClassVar[str] = "points"
    name: str
    noise: float | None = None
    points: bytes = b""
    title: str = ""
    drawing: str = ""
    label: int | None = None

    def dataset(self) -> toy2d.PlaneDataset:
        """The data set itself. Raises DataError."""
        if self.points:
            points = np.frombuffer(self.points).reshape(-1, 2)
            return toy2d.from_points(points, title=self.title, noise=self.noise or toy2d.OWN_NOISE)
        made = toy2d.make_dataset(self.name, self.noise)
        return made if self.label is None else made.of_class(self.label)

    def config(self) -> DataConfig:
        """The description that checkpoints and the command line use; it does not hold a person's own points."""
        data = dataset(self)
        return DataConfig(data.name, data.noise)

    @classmethod
    def of_checkpoint(cls, loaded: Checkpoint) -> PointSource:
        """What a checkpoint was trained on."""
        config, data = loaded.config.data, dataset_of_checkpoint(loaded)
        if config.name != "own":
            return cls(config.name, config.noise)
        # the constants are stored with the checkpoint: undoing them gives the points in raw units again
        raw = data.points.numpy() * np.array(data.scale) + np.array(data.mean)
        return cls("own", data.noise, raw.tobytes(), data.title)

    @classmethod
    def of_config(cls, config: DataConfig) -> PointSource | None:
        """The built-in set of a config; None for a person's own points."""
        if config.name not in toy2d.SHAPES:
            return None
        return cls(config.name, None if config.noise == toy2d.SHAPES[config.name].noise else config.noise)


def dataset_of_checkpoint(loaded: Checkpoint) -> toy2d.PlaneDataset:
    """The data set of a checkpoint of points, which stores all of it."""
    return cast(toy2d.PlaneDataset, loaded.dataset)


@st.cache_resource(max_entries=32, show_spinner=False)
def dataset(source: PointSource) -> toy2d.PlaneDataset:
    """The data set of a source, cached. Raises DataError."""
    return source.dataset()


def controls(name: str) -> PointSource:
    """What a name in the menu stands for, with its own controls. A bad file or drawing leaves the last good data in place."""
    if name == "drawn":
        return _drawn()
    if name == "upload":
        return _uploaded()
    default = toy2d.SHAPES[name].noise
    return PointSource(name, None if (noise := _noise(default)) == default else noise)


def _noise(default: float) -> float:
    with st.sidebar.expander("More"), st.container(key="noise"):
        # far below the set's own noise the exact kernel needs more points than a page can wait for
        widths = sorted({w for w in NOISES if w >= default / 3} | {default})
        return session.bind(
            st.select_slider,
            "Noise of the data (σ)",
            widths,
            default,
            key=f"noise_{default:g}".replace(".", "p"),
            help="Standard deviation of the Gaussian blur around each curve, in units in which the data have variance 1.",
        )


def _drawn() -> PointSource:
    strokes, last = strokes_on_pad(session.DRAWING, FIRST_DRAWING, "pad"), session.LAST_GOOD.get()
    try:
        last["drawn"] = _drawing(strokes)
    except DataError:
        st.info("The drawing must extend in both directions. Until it does, the last valid drawing is shown.")
    return last.get("drawn") or _drawing(FIRST_DRAWING)


def _drawing(strokes: list[list[int]]) -> PointSource:
    """Strokes as data. Raises DataError when there are too few to be a data set."""
    points = sketch_pad.points(strokes)
    source = PointSource("drawn", toy2d.OWN_NOISE, points.tobytes(), "Your drawing", sketch_pad.encode(strokes))
    if len(points) < 2:
        raise DataError("The drawing is empty: draw a shape on the pad.")
    source.dataset()
    return source


def _uploaded() -> PointSource:
    source = upload("Two numeric columns, x and y", ["csv", "tsv", "txt"], "csv", _read)
    if source is None:
        st.caption("No file has been uploaded yet, so the swiss roll is shown.")
        return PointSource("swiss_roll")
    count, most = len(source.points) // 16, toy2d.MAX_OWN_POINTS
    sampled = f", of whose {count:,} rows {most:,} are used, chosen at random" if count > most else ""
    st.caption(f"Showing {session.plain(source.title)}{sampled}.")
    return source


def _read(name: str, raw: bytes) -> PointSource:
    """A file's points. Raises DataError."""
    source = PointSource("upload", toy2d.OWN_NOISE, uploads.read_csv(raw).tobytes(), name)
    source.dataset()
    return source


def python(source: PointSource) -> str:
    """The source as the Python expression that makes its data set."""
    if source.drawing:
        flat = np.frombuffer(source.points).reshape(-1, 2).round(4).tolist()
        return f"toy2d.from_points({flat}, noise={source.noise})"
    if source.points:
        return f"toy2d.from_points(uploads.read_csv(open({source.title!r}, 'rb').read()), noise={source.noise})"
    made = f"toy2d.make_dataset({source.name!r}" + ("" if source.noise is None else f", noise={source.noise}") + ")"
    return made if source.label is None else f"{made}.of_class({source.label})"
