"""What the Sum of functions page computes in the plane: the runs of four optimisers, and the models of SFO at every frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.lab.optimiser.optimiser_comparison import MEMORIES, Curve, best_of, first_order_curves, lbfgs_curve, make_curve, sfo_steps
from dpm_core.lab.optimiser.plane_objectives import Surface, make_surface
from dpm_core.lab.optimiser.subfunction_models import Quadratic
from pages.ui.lab.optimiser.question import Plane

FRAMES = 120  # at most, beside the start
CLOSE = (1e-3, 1e-6)  # of the minimum: passes to these are compared
SMALLEST = 1e-16  # loss above the minimum that is told apart from rounding


class Film(NamedTuple):
    """SFO at the frames: evaluations ``[F]``, the models of all subfunctions that have been evaluated, and how many those are in use."""

    evaluations: np.ndarray
    models: list[dict[int, Quadratic]]
    in_use: list[int]


@st.cache_resource(max_entries=32, show_spinner=False)
def surface(name: str, N: int, seed: int) -> Surface:
    """The objective."""
    return make_surface(name, N, seed)


def frames(question: Plane) -> np.ndarray:
    """The numbers of evaluations at which everything is drawn."""
    total = question.N * question.passes
    return np.arange(0, total + 1, max(1, total // FRAMES))


@st.cache_resource(max_entries=32, show_spinner=False)
def _sfo(name: str, N: int, seed: int, passes: int) -> tuple[Curve, Film]:
    at = surface(name, N, seed)
    wanted = frames(Plane(name, N, passes, seed=seed))
    steps, models, in_use = [], list[dict[int, Quadratic]](), list[int]()
    current: tuple[dict[int, Quadratic], int] = ({}, 0)
    for evaluations, x, optimiser in sfo_steps(at):
        while len(models) < len(wanted) and wanted[len(models)] < evaluations:
            models.append(current[0])
            in_use.append(current[1])
        if evaluations > passes * N:
            break
        steps.append((evaluations, x))
        current = optimiser.models(), optimiser.in_use
    return make_curve(at, "sfo", None, steps), Film(wanted, models, in_use)


@st.cache_resource(max_entries=32, show_spinner=False)
def _others(name: str, N: int, seed: int, passes: int) -> dict[str, list[Curve]]:
    at = surface(name, N, seed)
    found = {way: first_order_curves(at, way, passes) for way in ("sgd", "adam")}
    return found | {"lbfgs": [lbfgs_curve(at, passes, memory) for memory in MEMORIES]}


def film(question: Plane) -> Film:
    """The models of SFO at every frame."""
    return _sfo(question.surface, question.N, question.seed, question.passes)[1]


def runs(question: Plane) -> dict[str, Curve]:
    """The run of each optimiser that the page shows: the chosen step size, or the best setting."""
    at = surface(question.surface, question.N, question.seed)
    others = _others(question.surface, question.N, question.seed, question.passes)
    chosen: Mapping[str, float | None] = {"sgd": question.sgd, "adam": question.adam}
    shown = {"sfo": _sfo(question.surface, question.N, question.seed, question.passes)[0]}
    for name, curves in others.items():
        setting = chosen.get(name)
        shown[name] = best_of([c for c in curves if setting in (None, c.setting)], at.lowest + CLOSE[0])
    return shown


def at_frames(curve: Curve, evaluations: np.ndarray) -> np.ndarray:
    """The number of the last recorded point of a run at each of so many evaluations, ``[F]``."""
    return np.searchsorted(curve.evaluations, evaluations, side="right") - 1


def above_minimum(curve: Curve, lowest: float) -> np.ndarray:
    """The loss above the minimum, at least SMALLEST."""
    return np.maximum(curve.loss - lowest, SMALLEST)


def ellipse(model: Quadratic, level: float, points: int = 40, longest: float = 12.0) -> np.ndarray | None:
    """The points ``[n, 2]`` where a model is ``level`` above its minimum; None where it has no minimum. Long axes are cut."""
    values, vectors = torch.linalg.eigh(model.hessian)
    if float(values[0]) <= 0:
        return None
    centre = model.x - torch.linalg.solve(model.hessian, model.gradient)
    axes = (2 * level / values).sqrt().clamp(max=longest)
    angle = torch.linspace(0, 2 * torch.pi, points, dtype=torch.float64)
    return (centre + torch.stack([angle.cos(), angle.sin()], 1) * axes @ vectors.T).numpy()


def sum_of_models(models: Mapping[int, Quadratic], N: int) -> Quadratic:
    """The sum of all models as one; as long as some subfunctions are not in use, times N over the number of those that are."""
    share = N / len(models)
    hessian = share * torch.stack([model.hessian for model in models.values()]).sum(0)
    pull = share * torch.stack([model.hessian @ model.x - model.gradient for model in models.values()]).sum(0)
    centre = torch.linalg.solve(hessian, pull)
    value = share * sum(
        model.value + float(model.gradient @ (centre - model.x) + 0.5 * (centre - model.x) @ model.hessian @ (centre - model.x))
        for model in models.values()
    )
    return Quadratic(centre, value, torch.zeros_like(centre), hessian)
