"""What the Paths page computes: the flows of every path, their straightness, and the distance to the data over the number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.paths import PATHS, flow, straighten, straightness
from dpm_core.reverse import AdaptableKernel, ReverseModel
from dpm_core.samplers import Recording
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.kinds.points import stages
from pages.ui.kinds.points.source import PointSource, dataset
from pages.ui.paths.question import Question

REFLOW = "reflow"
TITLES = {name: path.title for name, path in PATHS.items()} | {REFLOW: "Re-flow, straight line"}
PAIRS, PAIR_STEPS, PAIR_SEED, TRAINING = 8000, 64, 8, 1500  # of the re-flow: pairs, Heun steps, seed, and steps of training
COUNTS = (2, 4, 8, 16, 32)  # evaluations of the velocity that are compared
FINE = 64  # Heun steps of the flow by which straightness and the map are measured
MEASURED = 500  # particles by which they are


class Flow(NamedTuple):
    """The particles of one path, and its straightness at FINE steps."""

    path: Recording
    straightness: float


def shown(question: Question) -> list[str]:
    """The paths on the page."""
    return [*PATHS, *([REFLOW] if question.reflow else [])]


def noise(n: int, seed: int) -> torch.Tensor:
    """The start of every flow."""
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


@st.cache_resource(max_entries=8, show_spinner=False)
def _straightened(source: PointSource, ref: ModelRef | None) -> cache.Once[ReverseModel]:
    return cache.Once()


def reflow_model(question: Question, progress: Callable[[float], None] | None = None) -> ReverseModel:
    """The straightened flow, trained once for the data and the velocity; ``progress`` takes the share that is done."""

    def make() -> ReverseModel:
        starts = noise(PAIRS, PAIR_SEED)
        *_, (_, ends) = flow(question.model(), "line", starts, PAIR_STEPS, second_order=True)
        return straighten(starts, ends, TRAINING, seed=PAIR_SEED, progress=progress)

    return _straightened(question.source, question.ref).get(make)


def _model(question: Question, name: str) -> tuple[AdaptableKernel, str]:
    return (reflow_model(question), "line") if name == REFLOW else (question.model(), name)


@st.cache_data(max_entries=64, show_spinner=False)
def run(question: Question, name: str) -> Flow:
    """The flow of one path from the page's noise."""
    model, path = _model(question, name)
    states = [step.x for step in flow(model, path, noise(question.n, question.seed), question.steps, question.second_order)]
    few = stages.shown(question.n, len(states), len(TITLES))
    recording = Recording(np.arange(question.steps, -1, -1), np.stack([x[:few].numpy() for x in states]))
    fine = [step.x for step in flow(model, path, noise(MEASURED, question.seed + 2), FINE, second_order=True)]
    return Flow(recording, straightness(fine))


def end_distance(question: Question, name: str) -> float:
    """Sliced W₂ between the data and the particles at the end."""
    x = torch.from_numpy(run(question, name).path.x[-1])
    data = dataset(question.source).sample(stages.COMPARED["sliced"], torch.Generator().manual_seed(51))
    return stages.sliced(x, data)


def picture_scale(name: str, steps: int) -> np.ndarray:
    """By what the states are divided in the picture, ``[steps + 1]``: 1, but for the path whose noise grows beyond it."""
    if name != "exploding":
        return np.ones(steps + 1, np.float32)
    a, b, *_ = PATHS[name].coefficients(torch.arange(steps, -1, -1, dtype=torch.float64) / steps)
    return (a.square() + b.square()).sqrt().numpy().astype(np.float32)


@st.cache_data(max_entries=64, show_spinner=False)
def distances(question: Question, name: str) -> dict[int, float]:
    """Sliced W₂ between the data and the end of the flow, by evaluations of the velocity, one for each step."""
    model, path = _model(question, name)
    n = stages.COMPARED["sliced"]
    data = dataset(question.source).sample(n, torch.Generator().manual_seed(51))
    found = {}
    for steps in COUNTS:
        *_, (_, x) = flow(model, path, noise(n, question.seed + 3), steps)
        found[steps] = stages.sliced(x, data)
    return found


@st.cache_data(max_entries=32, show_spinner=False)
def floor(source: PointSource) -> tuple[float, float]:
    """Sliced W₂ between two draws of the data: mean and standard deviation."""
    n = stages.COMPARED["sliced"]
    return stages.floor(lambda i: dataset(source).sample(n, torch.Generator().manual_seed(7000 + i)), stages.sliced)


@st.cache_data(max_entries=32, show_spinner=False)
def apart(question: Question) -> float:
    """Median distance between the ends of the straight line's flow and of the variance-preserving one, from the same noise."""
    ends = []
    for name in ("line", "preserving"):
        *_, (_, x) = flow(question.model(), name, noise(MEASURED, question.seed + 2), 4 * FINE, second_order=True)
        ends.append(x)
    return float((ends[0] - ends[1]).norm(dim=1).median())
