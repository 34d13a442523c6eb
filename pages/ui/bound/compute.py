"""What the Bound and Likelihood pages compute, kept by what determines it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from dpm_core.data.sources import of_checkpoint
from dpm_core.measure.bit_budget import bit_budget
from dpm_core.measure.bound import NATS_PER_BIT, BoundEstimate, entropy_bounds, estimate_bound
from dpm_core.measure.budget import Budget, budget, reverse_entropies_nats
from dpm_core.measure.estimators import Jarzynski, bennett_free_energy, jarzynski, probability_flow_log_prob, forward_and_backward_work
from dpm_core.measure.model_density import Density, exact_log_prob, first_marginal, on_grid
from dpm_core.reverse import EmpiricalReverse, ReverseModel
from pages.ui import cache
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.bits.bit_controls import BitSource

SUMMED = 2048  # patterns at every pair
PAIRS = 160_000  # of a point and a time, in a budget
MOST, FEWEST, LIVE = 4000, 200, 400  # points; of a run in training, which is looked at again and again
IMAGES, SEQUENCES = 256, 8000  # held-out images, or sequences of bits, one time each
TRAJECTORIES = 10_000
LONGEST = 100  # steps of a chain that is carried down on a grid


@dataclass(frozen=True)
class Subject:
    """Whose bits: a checkpoint, a run at a step, or no network at all; with its data and schedule."""

    title: str
    ref: cache.ModelRef | None
    source: PlaneSource | ImageSpec | BitSource
    schedule: ScheduleConfig
    job: str = ""
    step: int = 0

    @property
    def images(self) -> bool:
        """Whether K is all that is counted: its data are images, or bits with too many patterns to sum over, or to list."""
        if isinstance(self.source, BitSource):
            data = cache.bits(self.source)
            return not data.listed or len(data.patterns) > SUMMED
        return isinstance(self.source, ImageSpec)

    @property
    def bits(self) -> bool:
        """Whether its data are bits."""
        return isinstance(self.source, BitSource)

    def model(self) -> ReverseModel | EmpiricalReverse | None:
        """Its kernel; without a network, none."""
        if self.job:
            running = jobs.get(self.job)
            return None if running is None else running.weights()
        return None if self.ref is None else cache.model(self.ref).model


def points(T: int, live: bool = False) -> int:
    """How many points a budget of T steps takes."""
    return LIVE if live else max(FEWEST, min(MOST, PAIRS // T))


@st.cache_data(max_entries=32, show_spinner=False)
def split(subject: Subject, n: int, seed: int) -> Budget:
    """The budget of a subject in the plane or of bits, on n data that it was not trained on."""
    draws, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator().manual_seed(seed)
    if isinstance(subject.source, BitSource):
        bits, x0 = cache.exact_flips(subject.source, subject.schedule), cache.bits(subject.source).sample(n, draws)
        return bit_budget(subject.model(), bits, bits.diffusion, x0, noise)
    assert isinstance(subject.source, PlaneSource)
    kernel = cache.exact(subject.source, subject.schedule)
    x0 = cache.dataset(subject.source).sample(n, draws)
    return budget(subject.model(), kernel, cache.diffusion(subject.schedule), x0, noise)


@st.cache_data(max_entries=8, show_spinner=False)
def images(ref: cache.ModelRef, seed: int) -> BoundEstimate:
    """K of a model of images, term by term, on held-out images. Raises DataError where these are not at hand."""
    loaded = cache.model(ref)
    held_out = of_checkpoint(loaded.dataset, loaded.config.data).sample_held_out(IMAGES, torch.Generator().manual_seed(seed))  # type: ignore[union-attr]
    return estimate_bound(loaded.model, loaded.diffusion, held_out, torch.Generator().manual_seed(seed), chunk=32)


@st.cache_data(max_entries=8, show_spinner=False)
def flipped(subject: Subject, seed: int) -> BoundEstimate:
    """K of a run on bits as it is at its step, term by term, on data that it was not trained on. Raises ValueError where it is gone."""
    assert isinstance(subject.source, BitSource)
    if (model := subject.model()) is None:
        raise ValueError("This run is no longer in memory; choose another.")
    data, noise = cache.bits(subject.source), torch.Generator().manual_seed(seed)
    n = SEQUENCES if len(data.shape) == 1 else IMAGES
    return estimate_bound(model, model.diffusion, data.sample_held_out(n, torch.Generator().manual_seed(seed + 1)), noise)


@st.cache_data(max_entries=64, show_spinner=False)
def entropies(source: PlaneSource, schedule: ScheduleConfig, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bound, upper bound and truth of H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) in bits, t = 2..T, of the data made ``scale`` times as wide."""
    kernel = cache.exact(source, schedule)
    wide = EmpiricalReverse(kernel.data * scale, kernel.diffusion, kernel.noise * scale, kernel.weights)
    lower, upper = entropy_bounds(kernel.diffusion, 2)
    return tuple((nats / NATS_PER_BIT).numpy() for nats in (lower, upper, reverse_entropies_nats(wide)))  # type: ignore[return-value]


@st.cache_data(max_entries=16, show_spinner=False)
def quasi_static(source: PlaneSource, name: str, params: tuple) -> list[dict]:
    """K of the best Gaussian chain in bits as T grows, by rows with T and bits."""
    rows = []
    for T in (2, 3, 5, 10, 20, 40, 80, 160, 320, 640, 1000):
        schedule = ScheduleConfig(name, T, params)
        rows.append({"T": T, "bits": split(Subject("", None, source, schedule), max(FEWEST, min(1500, PAIRS // 2 // T)), 5).best_bits})
    return rows


@st.cache_resource(max_entries=4, show_spinner=False)
def density(ref: cache.ModelRef) -> Density:
    """p(x⁽¹⁾) of a model in the plane, by quadrature: some seconds."""
    loaded = cache.model(ref)
    return first_marginal(loaded.model, loaded.diffusion)


@st.cache_data(max_entries=8, show_spinner=False)
def heat(ref: cache.ModelRef, reach: float, cells: int) -> np.ndarray:
    """log p(x⁽⁰⁾) in nats on an even grid over ±reach, ``[cells, cells]``."""
    axis = torch.linspace(-reach, reach, cells, dtype=torch.float64)
    return on_grid(cache.model(ref).model, density(ref), axis).clamp(min=1e-12).log().numpy()


@dataclass(frozen=True)
class Opinions:
    """What is said of log p at one point, in nats; ``data`` is log q(x⁽⁰⁾), ``exact`` None where the chain is too long."""

    jarzynski: Jarzynski
    flow: float
    exact: float | None
    data: float

    def curve(self) -> list[dict]:
        """The estimate after 1, 2, 5, … trajectories, with one standard error."""
        rows, weights = [], self.jarzynski.log_weights
        for N in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, TRAJECTORIES):
            part = Jarzynski(weights[:, :N])
            value, error = float(part.log_prob[0]), float(part.standard_error[0])
            error = error if np.isfinite(error) else 0.0
            rows.append({"N": N, "value": value, "low": value - error, "high": value + error})
        return [row for row in rows if np.isfinite(row["value"])]


@st.cache_data(max_entries=64, show_spinner=False)
def opinions(ref: cache.ModelRef, source: PlaneSource, x: float, y: float, seed: int) -> Opinions:
    """Every estimate of log p at one point."""
    loaded = cache.model(ref)
    at, T = torch.tensor([[x, y]]), loaded.diffusion.T
    N = TRAJECTORIES if T <= LONGEST else TRAJECTORIES // 5
    exact = float(exact_log_prob(loaded.model, density(ref), at)[0]) if T <= LONGEST else None
    found = jarzynski(loaded.model, loaded.diffusion, at, N, torch.Generator().manual_seed(seed))
    flow = float(probability_flow_log_prob(loaded.model, loaded.diffusion, at)[0])
    return Opinions(found, flow, exact, float(cache.dataset(source).log_prob(at)[0]))


@st.cache_data(max_entries=8, show_spinner=False)
def works(ref: cache.ModelRef, source: PlaneSource, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Works both ways in nats, and where their histograms cross with its standard error."""
    loaded, dataset = cache.model(ref), cache.dataset(source)
    x0 = dataset.sample(n, torch.Generator().manual_seed(seed))
    both = forward_and_backward_work(
        loaded.model, loaded.diffusion, x0, dataset.log_prob(x0), dataset.log_prob, torch.Generator().manual_seed(seed + 1)
    )
    return both[0].numpy(), both[1].numpy(), bennett_free_energy(*both)
