"""What the Memory page is asked: how many training points, and how large a network; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dpm_core.config import ScheduleConfig
from pages.ui import session
from pages.ui.controls import widgets
from pages.ui.controls.schedule import SCHEDULE_TITLES, python_schedule, with_points
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS
from pages.ui.kinds.points.source import PointSource, python

POINTS_OFFERED = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
WIDTHS = (8, 16, 32, 64, 128, 256)
T = 100
TRAINING = 3000  # steps, about five seconds


@dataclass(frozen=True)
class Question:
    """``points``: of the training set; ``width`` of the network's layers."""

    source: PointSource
    schedule: ScheduleConfig
    points: int = 32
    width: int = 64
    n: int = 1000
    seed: int = 7


def controls() -> Question:
    """The question, from controls. Raises DataError, ScheduleError."""
    source = menu.choose_source(only=POINTS)
    points = session.bind(st.select_slider, "Training points N", list(POINTS_OFFERED), 32, key="training_points")
    width = session.bind(
        st.select_slider, "Width of the network", list(WIDTHS), 64, key="memory_width",
        help="Units in each hidden layer. The network is trained on the N points for about five seconds.",
    )  # fmt: skip
    schedule = with_points(widgets.choose("Schedule", SCHEDULE_TITLES, "schedule", "log_snr"), T)
    return Question(source, schedule, int(points), int(width), widgets.particles(1000), widgets.seed())


def python_of(question: Question) -> str:
    """The Python that measures both times and both kinds of samples."""
    return f"""import torch
from dpm_core.data import toy2d, uploads
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.measure.memorisation import collapse_time, copies, nearest_distance, speciation_time
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, build_model
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule
from dpm_core.training import train_steps

data = {python(question.source)}
diffusion = GaussianDiffusion({python_schedule(question.schedule)})
points = data.sample({question.points}, torch.Generator().manual_seed({question.seed}))
exact = data.exact_reverse(diffusion)
print("speciation", speciation_time(exact), "collapse", collapse_time(exact, {question.points}))
network = NetworkConfig("mlp", (("width", {question.width}),))
*_, trained = train_steps(build_model(network, diffusion, seed={question.seed}), points, TrainConfig(steps={TRAINING}, batch=256))
x_T = torch.randn({question.n}, 2, generator=torch.Generator().manual_seed({question.seed + 1}))
for name, kernel in (("memoriser", EmpiricalReverse(points, diffusion)), ("network", trained.average)):
    *_, (_, x) = ancestral(kernel, diffusion, x_T, generator=torch.Generator().manual_seed({question.seed + 2}))
    print(name, copies(x, points), nearest_distance(x, points))
"""
