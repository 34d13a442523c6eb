"""What the Reversibility page is asked: the data and the reverse process; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

from dpm_core.config import ScheduleConfig
from dpm_core.reverse import ReverseKernel
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.controls import widgets
from pages.ui.controls.schedule import python_schedule, schedule_config
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS, cached
from pages.ui.kinds.points.model_choice import choose_model
from pages.ui.kinds.points.source import PointSource, python

FEW = 5  # steps at the start: so few that the films differ


@dataclass(frozen=True)
class Question:
    """The data and the model whose reverse process is compared with the film: a checkpoint, or exact Gaussian steps (``ref`` None)."""

    source: PointSource
    schedule: ScheduleConfig
    ref: ModelRef | None = None
    n: int = 1500
    seed: int = 7

    def kernel(self) -> ReverseKernel:
        """The reverse kernel."""
        return cached.exact(self.source, self.schedule) if self.ref is None else cache.model(self.ref).model


def controls() -> Question:
    """The question, from controls. Raises DataError, ScheduleError, CheckpointError, OSError."""
    chosen = choose_model("Reverse process", "Exact Gaussian steps", "film_model")
    if chosen is None:
        ref, source, schedule = None, menu.choose_source(only=POINTS), schedule_config(T=FEW)
    else:
        ref, source, schedule = chosen
    return Question(source, schedule, ref, widgets.particles(1000), widgets.seed())


def python_of(question: Question) -> str:
    """The Python that measures every step."""
    if question.ref is None:
        made = f"from dpm_core.data import toy2d, uploads\n\ndata = {python(question.source)}"
        model, process = "exact", f"GaussianDiffusion({python_schedule(question.schedule)})"
    else:
        made = f"from dpm_core import checkpoints\n\nloaded = {question.ref.python}\ndata = loaded.dataset{question.ref.python_class}"
        model, process = "loaded.model", "loaded.diffusion"
    return f"""import torch
from dpm_core.continuous.reversibility import reversibility
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule
{made}
diffusion = {process}
exact = data.exact_reverse(diffusion)
x0 = data.sample(1000, torch.Generator().manual_seed(41))
found = reversibility({model}, exact, x0, torch.Generator().manual_seed(42))
for name, one in found._asdict().items():
    print(name, one.total, "±", one.total_error, "nats")
"""
