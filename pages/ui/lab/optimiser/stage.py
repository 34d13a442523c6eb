"""The stage of the Sum of functions page: the path of every optimiser over the contours of the objective, and the models of SFO."""

from __future__ import annotations

import numpy as np
import torch
from skimage.measure import find_contours

from dpm_core.lab.optimiser.optimiser_comparison import TITLES, Curve
from dpm_core.lab.optimiser.plane_objectives import HI, LO, Surface
from pages.ui.components.player import Lines, Number, Panel, Stage, pack
from pages.ui.lab.optimiser import compute
from pages.ui.lab.optimiser.question import Plane

ROLES = {"sfo": "model", "sgd": "data", "adam": "data", "lbfgs": "exact"}
LEVELS = tuple(4.0**k for k in range(-5, 2))  # of the contours, in units of the loss at the start above the minimum
MODEL_LEVEL = 4.0**-4  # of the ellipses of the models, in the same unit, divided by N
SUM_LEVELS = (4.0**-3, 4.0**-1)  # of the sum of all models: those of two contours
MOST_MODELS = 12  # whose ellipses are drawn
GRID = 241
CROSS = 0.07  # half of the size of a cross

CAPTION = (
    "Each panel shows the [path](path) of one optimiser over the [contours](contours) of the objective. The time t counts evaluations of "
    "a subfunction, so all have used the same amount of data. SFO: the [ellipses](models) are level sets of the quadratic models of the "
    "subfunctions, the [crosses](places) are where each model was made, and the [dashed ellipses](sum) are level sets of the sum of all "
    "models at the values of two contours. The next step goes to their centre."
)


def make(question: Plane) -> bytes:
    """The packed stage."""
    at, film, runs = compute.surface(question.surface, question.N, question.seed), compute.film(question), compute.runs(question)
    scale = float(at.total(at.start)) - at.lowest
    contours = Lines("contours", "contours", "noise", [_contours(at, scale)])
    panels, cards = [], []
    for name, curve in runs.items():
        rows = compute.at_frames(curve, film.evaluations)
        x = curve.x[rows]
        above = np.log10(compute.above_minimum(curve, at.lowest)[rows])
        passes = curve.passes_to(at.lowest + compute.CLOSE[0], at.N)
        note = "not within 0.001 of the minimum" if passes is None else f"within 0.001 after {passes:.1f} passes"
        cards.append(Number(f"{TITLES[name]}: log₁₀(F − F*)", above, 1, "", note, True, ROLES[name]))
        if name not in ("sfo", question.beside) and question.beside != "all":
            continue
        path = Lines("path", "path", ROLES[name], [[_inside(curve.x[: row + 1])] for row in rows])
        layers = [contours, path, *(_models(film, question.N, scale) if name == "sfo" else ())]
        panels.append(Panel(name, TITLES[name], ROLES[name], _inside(x)[:, None], setting(curve), tuple(layers)))
    return pack(
        Stage(
            tuple(panels), film.evaluations.tolist(), question.N * question.passes, LO, HI, tuple(cards), CAPTION,
            on=("contours", "path", "models", "places", "sum"), duration=12.0, start=_opening(question),
            name="dpm-sum-of-functions",
        )
    )  # fmt: skip


def setting(curve: Curve) -> str:
    """The setting of a run in words."""
    if curve.setting is None:
        return "no step size"
    return f"memory {curve.setting:g}" if curve.name == "lbfgs" else f"step size {curve.setting:g}"


def _opening(question: Plane) -> int:
    """The evaluation at which the player opens: after two passes, when there is something to see."""
    frames = compute.frames(question)
    return int(frames[np.abs(frames - 2 * question.N).argmin()])


def _inside(x: np.ndarray) -> np.ndarray:
    """Positions; those far outside of the drawing are missing."""
    return np.where((np.abs(x) < 2.9 * HI).all(-1, keepdims=True), x, np.nan)


def _contours(at: Surface, scale: float) -> list[np.ndarray]:
    """Lines of equal loss; they reach beyond the square because a panel can be wider than high."""
    far = 2 * HI
    axis = torch.linspace(-far, far, GRID, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    values = at.total(x).numpy()
    lines = [line for level in LEVELS for line in find_contours(values, at.lowest + level * scale)]
    return [(line[:, ::-1] / (GRID - 1) * 2 - 1) * far for line in lines]


def _models(film: compute.Film, N: int, scale: float) -> list[Lines]:
    """The layers of SFO's panel."""
    models: list[list[np.ndarray]] = []
    places: list[list[np.ndarray]] = []
    sums: list[list[np.ndarray]] = []
    for known in film.models:
        ellipses = [compute.ellipse(model, MODEL_LEVEL * scale / N) for model in list(known.values())[:MOST_MODELS]]
        models.append([_inside(line) for line in ellipses if line is not None])
        places.append([line for model in known.values() for line in _cross(model.x.numpy())])
        sums.append([])
        if known:
            total = compute.sum_of_models(known, N)
            for level in SUM_LEVELS:
                line = compute.ellipse(total, level * scale, 97)
                sums[-1] += [] if line is None else [_inside(line[i : i + 3]) for i in range(0, 96, 4)]
    return [
        Lines("models", "models", "data", models),
        Lines("places", "places", "data", places),
        Lines("sum", "sum of models", "exact", sums),
    ]


def _cross(x: np.ndarray) -> list[np.ndarray]:
    a, b = np.array([CROSS, CROSS]), np.array([CROSS, -CROSS])
    return [_inside(np.stack([x - a, x + a])), _inside(np.stack([x - b, x + b]))]
