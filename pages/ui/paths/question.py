"""What the Paths page is asked: the posterior mean that gives the velocity, and how its flow is followed; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.reverse import AdaptableKernel
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.controls import widgets
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS, cached
from pages.ui.kinds.points.model_choice import choose_model
from pages.ui.kinds.points.source import PointSource, python

STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
NETWORK = "mlp"  # asked by its log-SNR, so it is known on every path
ANY = ScheduleConfig("flow", 40)  # the exact kernel is asked under the diffusions of the paths, not under this


@dataclass(frozen=True)
class Question:
    """``second_order``: two evaluations per step. ``reflow``: whether the straightened flow is shown as well."""

    source: PointSource
    ref: ModelRef | None = None
    steps: int = 8
    second_order: bool = False
    reflow: bool = False
    n: int = 1000
    seed: int = 7

    def model(self) -> AdaptableKernel:
        """The kernel whose posterior mean gives the velocity of every path."""
        return cached.exact(self.source, ANY) if self.ref is None else cache.model(self.ref).model


def controls() -> Question:
    """The question, from controls. Raises DataError, CheckpointError, OSError."""
    chosen = choose_model("Velocity", "Exact velocity, no network", "velocity", lambda run: run.network.name == NETWORK)
    ref, source = (None, menu.choose_source(only=POINTS)) if chosen is None else chosen[:2]
    steps = session.bind(st.select_slider, "Steps of the flow", list(STEPS), 8, key="flow_steps")
    method = widgets.choose("Method", {"euler": "First order (Euler, DDIM)", "heun": "Second order (Heun)"}, "flow_method", "euler")
    reflow = session.bind(
        st.toggle, "Re-flow once", value=False, key="reflow",
        help="Trains a network on the pairs of noise and data that the flow connects: its lines are straighter. About ten seconds.",
    )  # fmt: skip
    return Question(source, ref, int(steps), method == "heun", bool(reflow), widgets.particles(1000), widgets.seed())


def python_of(question: Question) -> str:
    """The Python that makes the particles of every path."""
    if question.ref is None:
        made = f"from dpm_core.data import toy2d, uploads\n\ndata = {python(question.source)}"
        model = 'data.exact_reverse(diffusion_of("line", 40))'
    else:
        made, model = "from dpm_core import checkpoints\n", f"{question.ref.python}.model"
    again = ""
    if question.reflow:
        again = f"""
starts = torch.randn(8000, 2, generator=torch.Generator().manual_seed(8))
*_, (_, ends) = flow(model, "line", starts, 64, second_order=True)
*_, (t, x) = flow(straighten(starts, ends, seed=8), "line", noise, {question.steps}, {question.second_order})
print("re-flow", x.mean(0), x.var(0))
"""
    return f"""import torch
from dpm_core.paths import PATHS, diffusion_of, flow, straighten, straightness
{made}
model = {model}
noise = torch.randn({question.n}, 2, generator=torch.Generator().manual_seed({question.seed}))
for name in PATHS:
    states = [x for t, x in flow(model, name, noise, {question.steps}, {question.second_order})]
    print(name, states[-1].mean(0), states[-1].var(0), straightness(states))
{again}"""
