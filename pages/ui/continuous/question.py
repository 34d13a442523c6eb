"""What the Continuous page is asked: the score, the equation and the solver; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.continuous import SOLVERS
from dpm_core.continuous.equations import FINE
from pages.ui import session
from pages.ui.cache import ModelRef
from pages.ui.controls import widgets
from pages.ui.controls.schedule import SCHEDULE_TITLES, python_schedule, with_points
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS
from pages.ui.kinds.points.model_choice import choose_model
from pages.ui.kinds.points.source import PointSource, python

STEPS = (4, 8, 16, 32, 64, 128, 256)
NETWORK = "mlp"  # asked by its log-SNR, so it is known at every time; other networks have a table of T times
SOLVER_TITLES = {name: solver.title for name, solver in SOLVERS.items()}


@dataclass(frozen=True)
class Question:
    """``schedule`` has FINE steps, which stand for the limit; ``ref``: the checkpoint whose score is used, None for the exact one."""

    source: PointSource
    schedule: ScheduleConfig
    ref: ModelRef | None = None
    solver: str = "heun"
    noise_level: float = 1.0
    steps: int = 32
    n: int = 1000
    seed: int = 7

    @property
    def calls(self) -> int:
        """How often the score is evaluated."""
        return self.steps * SOLVERS[self.solver].calls


def controls() -> Question:
    """The question, from controls. Raises DataError, ScheduleError, CheckpointError, OSError."""
    chosen = choose_model("Score", "Exact score, no network", "score", lambda run: run.network.name == NETWORK)
    if chosen is None:
        ref, source = None, menu.choose_source(only=POINTS)
        schedule = with_points(widgets.choose("Schedule", SCHEDULE_TITLES, "schedule", "log_snr"), FINE)
    else:
        ref, source, own = chosen
        schedule = replace(own, T=FINE)
    solver = widgets.choose("Solver", SOLVER_TITLES, "solver", "heun")
    steps = session.bind(st.select_slider, "Steps of the solver", list(STEPS), 32, key="solver_steps")
    noise_level = session.bind(
        st.slider, "Noise level κ", 0.0, 2.0, 1.0, 0.25, key="noise_level",
        help="0: the deterministic flow. 1: the time reversal of the forward process. 2: twice its noise, removed by a stronger drift.",
    )  # fmt: skip
    return Question(source, schedule, ref, solver, float(noise_level), int(steps), widgets.particles(1000), widgets.seed())


def python_of(question: Question) -> str:
    """The Python that makes the particles of both panels."""
    if question.ref is None:
        kernel = "data.exact_reverse(diffusion)"
        made = f"from dpm_core.data import toy2d, uploads\n\ndata = {python(question.source)}"
    else:
        kernel = "loaded.model.with_diffusion(diffusion)"
        made = f"from dpm_core import checkpoints\n\nloaded = {question.ref.python}"
    return f"""import torch
from dpm_core.continuous import integrate, time_grid
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule
{made}
diffusion = GaussianDiffusion({python_schedule(question.schedule)})  # so many steps that they stand for the limit
kernel = {kernel}
x = torch.randn({question.n}, 2, generator=torch.Generator().manual_seed({question.seed}))
for noise_level in (0.0, {question.noise_level:g}):
    noise = torch.Generator().manual_seed({question.seed + 1})
    times = time_grid(diffusion, {question.steps})
    *_, (t, end) = integrate(kernel, diffusion, x, times, {question.solver!r}, noise_level=noise_level, generator=noise)
    print(noise_level, end.mean(0), end.var(0))
"""
