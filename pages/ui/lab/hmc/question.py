"""What the Hamiltonian Monte Carlo page is asked: the density, the sampler and the start; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.ui import session
from pages.ui.cache import ModelRef
from pages.ui.controls import widgets
from pages.ui.kinds import menu
from pages.ui.kinds.points import POINTS
from pages.ui.kinds.points.model_choice import choose_model
from pages.ui.kinds.points.source import PointSource, python

VIEWS = {"sample": "Chains in the plane", "figure": "Figure 2 of the paper", "cycle": "Three states on a cycle"}
DENSITIES = {
    "rough_well": "Rough well, 2 dimensions",
    "gaussian_2": "Ill-conditioned Gaussian, 2 dimensions",
    "gaussian_100": "Ill-conditioned Gaussian, 100 dimensions",
    "points": "Data set, blurred",
    "checkpoint": "Checkpoint, energy from its score",
}
PAPER = ("rough_well", "gaussian_2", "gaussian_100")
STEP_SIZES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
LEVELS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7)
CHAINS = (50, 100, 200, 500)


@dataclass(frozen=True)
class Question:
    """The density p(x), and how it is sampled.

    ``source``: the data of "points" and "checkpoint"; ``ref``: the checkpoint. ``level``: standard deviation √(1 − ᾱ_t) of the noise at
    the time t whose density is sampled. ``spread``: whether the chains start in equilibrium, or all at one point.
    """

    density: str = "rough_well"
    source: PointSource | None = None
    ref: ModelRef | None = None
    level: float = 0.2
    step_size: float = 1.0
    leapfrog_steps: int = 10
    look_ahead: int = 4
    corruption: float = 0.1
    spread: bool = False
    n: int = 100
    seed: int = 7


def view() -> str:
    """Which part of the page is shown."""
    return str(session.widget_value("hmc_view", "sample"))


def controls() -> Question:
    """The question, from controls. Raises DataError, CheckpointError, OSError."""
    shown = widgets.choose("Show", VIEWS, "hmc_view")
    if shown != "sample":
        return Question(seed=widgets.seed())
    density = widgets.choose("Density p(x)", DENSITIES, "density")
    source, ref, level = None, None, 0.2
    if density == "points":
        source = menu.choose_source(only=POINTS)
    if density == "checkpoint":
        chosen = choose_model("Checkpoint", "No network: exact score", "energy_of", usual="swiss_roll_mlp")
        ref, source = (None, PointSource("swiss_roll")) if chosen is None else chosen[:2]
    if density not in PAPER:
        level = session.bind(
            st.select_slider, "Noise level √(1 − ᾱₜ)", list(LEVELS), 0.2, key="density_level",
            help="The density of x⁽ᵗ⁾ is sampled, at the time t with about this standard deviation of the noise.",
        )  # fmt: skip
    default = 1.0 if density in PAPER else 0.1
    session.follow_default("leap", default)
    step_size = session.bind(st.select_slider, "Step size ε", list(STEP_SIZES), default, key="leap")
    steps = widgets.whole_number("Leapfrog steps L", 1, 30, 10, "leapfrog_steps")
    look_ahead = widgets.whole_number(
        "Look-ahead K", 1, 8, 4, "look_ahead", help="Trajectories that are tried in a row before the momentum is reversed. 1: standard HMC."
    )
    with st.expander("More"):
        corruption = session.bind(
            st.slider, "Momentum corruption β", 0.0, 1.0, 0.1, 0.05, key="corruption",
            help="Before each step the momentum v becomes √(1−β) v + √β noise. 1 draws it anew.",
        )  # fmt: skip
        start = widgets.choose("Start of the chains", {"point": "All at one point", "spread": "In equilibrium"}, "chains_start")
        n = session.bind(st.select_slider, "Chains", list(CHAINS), 100, key="chains")
    return Question(
        density, source, ref, float(level), float(step_size), steps, look_ahead, float(corruption), start == "spread", int(n),
        widgets.seed(),
    )  # fmt: skip


def python_of(question: Question) -> str:
    """The Python that runs the chains of look-ahead HMC on the stage."""
    imports, made = "from dpm_core.lab.chains.look_ahead_figure import energy_of, equilibrium, far_point", ""
    energy = f"energy_of({question.density!r})"
    start = f"equilibrium({question.density!r}, {question.n}, torch.Generator().manual_seed({question.seed}))"
    point = f"far_point({question.density!r})"
    if question.source is not None:
        imports = "from dpm_core.lab.chains.plane_energy import exact_energy, learned_energy, sample, time_of"
        start = f"sample(energy, {question.n}, torch.Generator().manual_seed({question.seed}))"
        point = "sample(energy, 1, torch.Generator().manual_seed(0))[0]"
        if question.ref is None:
            imports += "\nfrom dpm_core.data import toy2d, uploads\nfrom dpm_core.process import GaussianDiffusion"
            imports += "\nfrom dpm_core.schedules import make_schedule"
            made = f"data = {python(question.source)}\ndiffusion = GaussianDiffusion(make_schedule('log_snr', 40))\n"
            energy = "exact_energy(data.exact_reverse(diffusion), t)"
        else:
            imports += "\nfrom dpm_core import checkpoints"
            made = f"loaded = {question.ref.python}\ndata, diffusion = loaded.dataset{question.ref.python_class}, loaded.diffusion\n"
            energy = "learned_energy(loaded.model, data.exact_reverse(diffusion), t).energy"
        made += f"t = time_of(diffusion, {question.level})\n"
    x = start if question.spread else f"{point}.expand({question.n}, -1).clone()"
    return f"""import torch
from itertools import islice
from dpm_core.lab.hamiltonian import look_ahead_hmc
{imports}

{made}energy = {energy}
x = {x}
chains = look_ahead_hmc(
    energy, x, step_size={question.step_size}, leapfrog_steps={question.leapfrog_steps}, look_ahead={question.look_ahead},
    corruption={question.corruption}, generator=torch.Generator().manual_seed({question.seed + 1}),
)
for x in islice(chains, 120):
    pass
print(x.mean(0)[:2], x.var(0)[:2])
"""
