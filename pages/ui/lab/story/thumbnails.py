"""Four live pictures on one clock: walkers that flow to a model, chains, a circle in a random network, and an optimiser."""

from __future__ import annotations

from itertools import islice

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.rasters import PLANE, contour_lines
from dpm_core.lab.chains.plane_energy import exact_energy, time_of
from dpm_core.lab.flow import three_states
from dpm_core.lab.hamiltonian import look_ahead_hmc
from dpm_core.lab.optimiser.optimiser_comparison import sfo_steps
from dpm_core.lab.optimiser.plane_objectives import make_surface
from dpm_core.lab.signals.random_network_simulation import RandomNetwork, circle
from pages.ui import cache
from pages.ui.components.player import Lines, Panel, Stage, pack
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource

FRAMES = 61
WALKERS, CHAINS = 600, 300
ENERGIES = (1.6, 0.0, 0.7)  # of the three states; the data are all in the first one
TIME = 3.0  # at the last frame
ROLL, SCHEDULE, LEVEL = PointSource("swiss_roll"), ScheduleConfig("log_snr", 40), 0.2
NETWORK = RandomNetwork("tanh", 3.0, 0.05, 20, 300)
SURFACE, PARTS = "quadratics", 10
ROOM = 2.6  # from the centre of a picture to its edges
CAPTION = (
    "Learning: walkers that start as data jump until they follow the model. Sampling: chains of look-ahead HMC spread over the density "
    "of a swiss roll. Random network: a circle of inputs passes through twenty layers. Optimisation: the sum-of-functions optimiser goes "
    "to the minimum of a sum of ten functions ([contours](contours))."
)


def _walkers(seed: int) -> np.ndarray:
    """Random walkers between the three states of a model, ``[F, n, 2]``: each state is a disc at a corner of a triangle."""
    generator = torch.Generator().manual_seed(seed)
    gamma = three_states.rates(torch.tensor(ENERGIES, dtype=torch.float64))
    times = np.linspace(0, TIME, FRAMES).tolist()
    start = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    states = three_states.walkers(start, gamma, times, WALKERS, generator)
    angle, radius = 2 * torch.pi * torch.rand(WALKERS, generator=generator), torch.rand(WALKERS, generator=generator).sqrt()
    disc = 0.5 * (radius * torch.stack([angle.cos(), angle.sin()])).T.numpy()
    return ROOM * 0.8 * three_states.CORNERS[states.numpy()] + disc


def _chains(seed: int) -> np.ndarray:
    """Chains that start at one point of the roll, ``[F, n, 2]``."""
    exact = cached.exact(ROLL, SCHEDULE)
    energy = exact_energy(exact, time_of(cache.diffusion(SCHEDULE), LEVEL))
    x = torch.from_numpy(_point(seed)).expand(CHAINS, 2).clone()
    noise = torch.Generator().manual_seed(seed)
    run = look_ahead_hmc(energy, x, step_size=0.07, leapfrog_steps=5, look_ahead=4, corruption=0.1, generator=noise)
    return np.stack([x.numpy(), *(state.numpy() for state in islice(run, FRAMES - 1))])


def _point(seed: int) -> np.ndarray:
    return cached.held_out(ROLL)[seed % cached.HELD_OUT].double().numpy()


def _layers(seed: int) -> np.ndarray:
    """The circle in every layer, straight lines between layers, ``[F, n, 2]``."""
    plane = circle(NETWORK, seed, 150).plane
    at = np.linspace(0, len(plane) - 1, FRAMES)
    first = np.minimum(at.astype(int), len(plane) - 2)
    share = (at - first)[:, None, None]
    return 0.75 * ROOM * ((1 - share) * plane[first] + share * plane[first + 1])


def _iterates(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Positions of the optimiser ``[F, 1, 2]``, and contours of the sum."""
    surface = make_surface(SURFACE, PARTS, seed)
    x = np.stack([x.numpy() for _, x, _ in islice(sfo_steps(surface, seed), FRAMES)])
    axis = torch.linspace(-PLANE, PLANE, 81, dtype=torch.float64)
    height = surface.total(torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)) - surface.lowest
    return x[:, None], contour_lines(np.exp(-height.numpy()), (0.3, 0.6, 0.85, 0.97))


@st.cache_data(max_entries=8, show_spinner=False)
def arrays(seed: int) -> dict[str, np.ndarray]:
    """The positions in every picture, ``[F, n, 2]``."""
    return {"walkers": _walkers(seed), "chains": _chains(seed), "circle": _layers(seed), "optimiser": _iterates(seed)[0]}


@st.cache_data(max_entries=8, show_spinner=False)
def payload(seed: int) -> bytes:
    """The packed stage."""
    found, contours = arrays(seed), _iterates(seed)[1]
    ring = found["circle"]
    closed = np.concatenate([ring, ring[:, :1]], 1)
    trail = [[found["optimiser"][: i + 1, 0]] for i in range(FRAMES)]
    panels = (
        Panel("walkers", "learning", "data", found["walkers"]),
        Panel("chains", "sampling", "model", found["chains"]),
        Panel("circle", "random network", "noise", ring, "", (Lines("thread", "line", "noise", [[line] for line in closed]),)),
        Panel(
            "optimiser", "optimisation", "exact", found["optimiser"], "",
            (Lines("contours", "contours", "noise", [contours]), Lines("path", "path", "exact", trail)),
        ),
    )  # fmt: skip
    return pack(
        Stage(
            panels, list(range(FRAMES)), FRAMES - 1, stages.LO, stages.HI, (), CAPTION, on=("thread", "contours", "path"), start=0,
            duration=9.0, autoplay=True, loop=True, height="hero", name="dpm-lab",
        )
    )  # fmt: skip


def python_of(seed: int) -> str:
    """The Python that computes the four pictures' main steps."""
    return f"""import torch
from itertools import islice
from dpm_core.data import toy2d
from dpm_core.lab.flow import three_states
from dpm_core.lab.hamiltonian import look_ahead_hmc
from dpm_core.lab.optimiser.optimiser_comparison import sfo_steps
from dpm_core.lab.chains.plane_energy import exact_energy, time_of
from dpm_core.lab.optimiser.plane_objectives import make_surface
from dpm_core.lab.signals.random_network_simulation import RandomNetwork, circle
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

gamma = three_states.rates(torch.tensor({list(ENERGIES)}, dtype=torch.float64))
print(three_states.evolve(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), gamma, {TIME}))

diffusion = GaussianDiffusion(make_schedule("log_snr", 40))
exact = toy2d.make_dataset("swiss_roll").exact_reverse(diffusion)
x, noise = torch.zeros({CHAINS}, 2).double(), torch.Generator().manual_seed({seed})
energy = exact_energy(exact, time_of(diffusion, {LEVEL}))
for x in islice(look_ahead_hmc(energy, x, step_size=0.07, leapfrog_steps=5, look_ahead=4, corruption=0.1, generator=noise), {FRAMES - 1}):
    pass
print(x.mean(0), x.var(0))

print(circle(RandomNetwork("tanh", 3.0, 0.05, 20, 300), {seed}).plane.shape)

for evaluations, x, _ in islice(sfo_steps(make_surface("{SURFACE}", {PARTS}, {seed}), {seed}), {FRAMES}):
    pass
print(evaluations, x)
"""
