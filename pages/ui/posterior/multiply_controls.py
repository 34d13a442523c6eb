"""The factor r(x) by which p is multiplied: its controls, and one frozen config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import streamlit as st
import torch

from dpm_core.figures.rasters import PLANE
from dpm_core.posterior import Factor, GaussianObservation, Inpaint, Potential, plane_factors
from dpm_core.process import GaussianDiffusion
from pages.ui import session
from pages.ui.components import sketch_pad
from pages.ui.components.sketch_pad import strokes_on_pad
from pages.ui.controls import widgets

FACTORS = {
    "half_plane": "Half-plane",
    "ring": "Ring",
    "observation": "Noisy observation",
    "known": "Known coordinate",
    "painted": "Painted",
}
AXES = {"x1": "x₁ (horizontal)", "x2": "x₂ (vertical)"}
_SHAPES: dict[str, Callable[..., Potential]] = {"half_plane": plane_factors.half_plane, "ring": plane_factors.ring}
FIRST_PAINTING = [[48, 150, 60, 185, 90, 212, 128, 222, 166, 214, 196, 188]]


@dataclass(frozen=True)
class FactorConfig:
    """r(x): its kind and what that kind needs, in the units of the plane (degrees for an angle), as ``values``.

    half_plane: angle, offset, softness · ring: radius, width · observation: y₁, y₂, σ · known: coordinate 0 or 1, c ·
    painted: width of the brush, with the ``strokes`` as link text.
    """

    kind: str = "half_plane"
    values: tuple[float, ...] = (0.0, 0.0, 0.1)
    strokes: str = ""

    @property
    def is_delta(self) -> bool:
        """Whether it fixes a coordinate."""
        return self.kind == "known"

    def factor(self, diffusion: GaussianDiffusion | None = None) -> Factor:
        """The factor itself; a known coordinate takes noise when the diffusion is given. Raises FactorError."""
        if self.kind == "observation":
            return GaussianObservation(torch.tensor(self.values[:2]), self.values[2])
        if self.kind == "known":
            free = torch.tensor([self.values[0] != 0, self.values[0] != 1])
            return Inpaint(free, torch.where(free, 0.0, self.values[1]), diffusion)
        if self.kind == "painted":
            return _brush(self)
        return _SHAPES[self.kind](*self.values)

    def lines(self) -> list[np.ndarray]:
        """The strokes in the plane, each ``[k, 2]``."""
        return [PLANE * sketch_pad.points([stroke]) for stroke in sketch_pad.decode(self.strokes)]

    def python(self) -> str:
        """The Python that makes it."""
        if self.kind == "observation":
            return f"GaussianObservation(torch.tensor({list(self.values[:2])}), {self.values[2]})"
        if self.kind == "known":
            free = [self.values[0] != i for i in range(2)]
            return f"Inpaint(torch.tensor({free}), torch.full((2,), {self.values[1]}))"
        if self.kind == "painted":
            lines = ", ".join(f"np.array({line.round(3).tolist()})" for line in self.lines())
            return f"painted([{lines}], {self.values[0]})"
        return f"{self.kind}({', '.join(map(str, self.values))})"


@lru_cache(maxsize=8)
def _brush(r: FactorConfig) -> Potential:
    """Cached, as the distances to all strokes take some time."""
    return plane_factors.painted(r.lines(), *r.values)


def factor_config() -> FactorConfig:
    """r(x), chosen in the sidebar."""
    kind = widgets.choose("Factor r(x)", FACTORS, "r")
    return _WIDGETS[kind]()


def repaint() -> tuple[int, int]:
    """RePaint's jump j and number of resamplings r."""
    help_jump = "Number of steps that RePaint goes back up the chain before it comes down again."
    help_again = "Number of passes over each part of the chain; each pass costs kernel evaluations."
    jump = widgets.whole_number("RePaint: jump j", 1, 20, 1, "jump", help=help_jump)
    return jump, widgets.whole_number("RePaint: resamplings r", 1, 20, 10, "resamplings", help=help_again)


def samples() -> int:
    """How many samples each rule draws."""
    return int(session.bind(st.select_slider, "Samples", [1000, 2000, 4000, 10_000], 4000, key="samples"))


def _slider(label: str, low: float, high: float, default: float, key: str, step: float = 0.05, help: str | None = None) -> float:
    return round(float(session.bind(st.slider, label, low, high, default, step, key=key, help=help)), 4)


def _half_plane() -> FactorConfig:
    angle = _slider("Angle (degrees)", -180.0, 180.0, 0.0, "r_angle", 5.0, "Where the side points on which r is 1.")
    offset = _slider("Offset", -3.0, 3.0, 0.0, "r_offset", help="Distance of the edge from the middle, in standard deviations of the data.")
    softness = _slider("Softness", 0.02, 1.0, 0.1, "r_softness", 0.02, "Half the width over which r rises from 0.27 to 0.73.")
    return FactorConfig("half_plane", (angle, offset, softness))


def _ring() -> FactorConfig:
    radius = _slider("Radius", 0.0, 3.0, 1.2, "r_radius")
    return FactorConfig("ring", (radius, _slider("Width", 0.04, 1.0, 0.2, "r_width", 0.02)))


def _observation() -> FactorConfig:
    y = _slider("Observation y₁", -3.0, 3.0, 0.5, "r_y1"), _slider("Observation y₂", -3.0, 3.0, 0.5, "r_y2")
    return FactorConfig("observation", (*y, _slider("Noise σ", 0.05, 2.0, 0.5, "r_sigma")))


def _known() -> FactorConfig:
    axis = widgets.choose("Known coordinate", AXES, "r_axis")
    return FactorConfig("known", (list(AXES).index(axis), _slider("Known value c", -3.0, 3.0, 0.5, "r_c")))


def _painted() -> FactorConfig:
    strokes, last = strokes_on_pad(session.FACTOR_STROKES, FIRST_PAINTING, "r_pad"), session.LAST_GOOD.get()
    if strokes:
        last["r_painting"] = strokes
    else:
        st.info("The pad is empty, so the last painting is used. Paint where r(x) should be large.")
    width = _slider("Width of the brush", 0.1, 1.0, 0.25, "r_brush")
    return FactorConfig("painted", (width,), sketch_pad.encode(last.get("r_painting", FIRST_PAINTING)))


_WIDGETS: dict[str, Callable[[], FactorConfig]] = {
    "half_plane": _half_plane,
    "ring": _ring,
    "observation": _observation,
    "known": _known,
    "painted": _painted,
}
