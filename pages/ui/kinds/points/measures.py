"""What Bound and Likelihood compute of models of points, by the frozen config that determines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.config import ScheduleConfig
from dpm_core.measure import budget as budgets
from dpm_core.measure.budget import Budget
from dpm_core.measure.estimators import Jarzynski, bennett_free_energy, forward_and_backward_work, jarzynski
from dpm_core.measure.model_density import Density, exact_log_prob, first_marginal, on_grid
from dpm_core.measure.probability_flow import probability_flow_log_prob
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.kinds.points import cached
from pages.ui.kinds.points.source import PointSource, dataset
from pages.ui.kinds.records import Model

PAIRS = 160_000  # of a point and a time, in a budget
MOST, FEWEST, OF_A_RUN = 4000, 200, 400  # points; a run in training is measured again and again
TRAJECTORIES = 10_000
MAX_T = 100  # steps of a chain whose density is computed on a grid
QUASI_STATIC_T = (2, 3, 5, 10, 20, 40, 80, 160, 320, 640, 1000)


def points(T: int, running: bool = False) -> int:
    """How many points a budget of T steps takes."""
    return OF_A_RUN if running else max(FEWEST, min(MOST, PAIRS // T))


@st.cache_data(max_entries=32, show_spinner=False)
def budget(model: Model, n: int, seed: int) -> Budget:
    """The budget of a model on n points that it was not trained on."""
    draws, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator().manual_seed(seed)
    kernel, x0 = cached.exact(model.source, model.schedule), dataset(model.source).sample(n, draws)
    return jobs.call(budgets.budget, model.learned(), kernel, cache.diffusion(model.schedule), x0, noise)


@st.cache_data(max_entries=16, show_spinner=False)
def quasi_static(source: PointSource, name: str, params: tuple) -> list[dict]:
    """K of the exact kernel in bits as T grows, as rows with T and bits."""
    rows = []
    for T in QUASI_STATIC_T:
        model = Model("", None, source, ScheduleConfig(name, T, params))
        rows.append({"T": T, "bits": budget(model, max(FEWEST, min(1500, PAIRS // 2 // T)), 5).best_bits})
    return rows


@st.cache_resource(show_spinner=False)
def _computed() -> set[ModelRef]:
    """The models whose density has been computed."""
    return set()


def density_is_ready(ref: ModelRef) -> bool:
    """Whether :func:`density` answers at once."""
    return ref in _computed()


@st.cache_resource(max_entries=4, show_spinner=False)
def density(ref: ModelRef) -> Density:
    """p(x⁽¹⁾) of a model by quadrature: some seconds."""
    loaded = cache.model(ref)
    found = jobs.call(first_marginal, loaded.model, cache.gaussian(loaded.model))
    _computed().add(ref)
    return found


@st.cache_data(max_entries=8, show_spinner=False)
def log_density_map(ref: ModelRef, half_width: float, cells: int) -> np.ndarray:
    """log p(x⁽⁰⁾) in nats on an even grid over ±half_width, ``[cells, cells]``."""
    axis = torch.linspace(-half_width, half_width, cells, dtype=torch.float64)
    return on_grid(cache.model(ref).model, density(ref), axis).clamp(min=1e-12).log().numpy()


@dataclass(frozen=True)
class PointEstimates:
    """Estimates of log p at one point, in nats; ``data`` is log q(x⁽⁰⁾), ``exact`` None where the chain is too long."""

    jarzynski: Jarzynski
    flow: float
    exact: float | None
    data: float


@st.cache_data(max_entries=64, show_spinner=False)
def estimates(ref: ModelRef, source: PointSource, x: float, y: float, seed: int) -> PointEstimates:
    """Every estimate of log p at one point."""
    loaded = cache.model(ref)
    at, T = torch.tensor([[x, y]]), loaded.diffusion.T
    N = TRAJECTORIES if T <= MAX_T else TRAJECTORIES // 5
    exact = float(exact_log_prob(loaded.model, density(ref), at)[0]) if T <= MAX_T else None
    found = jobs.call(jarzynski, loaded.model, loaded.diffusion, at, N, torch.Generator().manual_seed(seed))
    flow = float(probability_flow_log_prob(loaded.model, cache.gaussian(loaded.model), at)[0])
    return PointEstimates(found, flow, exact, float(dataset(source).log_prob(at)[0]))


@st.cache_data(max_entries=8, show_spinner=False)
def work(ref: ModelRef, source: PointSource, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Work along data and model trajectories in nats, and where their histograms cross with its standard error."""
    loaded, data = cache.model(ref), dataset(source)
    x0, noise = data.sample(n, torch.Generator().manual_seed(seed)), torch.Generator().manual_seed(seed + 1)
    both = jobs.call(forward_and_backward_work, loaded.model, loaded.diffusion, x0, data.log_prob(x0), data.log_prob, noise)
    return both[0].numpy(), both[1].numpy(), bennett_free_energy(*both)
