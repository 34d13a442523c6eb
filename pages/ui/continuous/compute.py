"""What the Continuous page computes, once for each question: particles, errors of solvers, paths of the chain, the bound in the limit."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.continuous import (
    SOLVERS,
    Convergence,
    Reference,
    between_ends,
    bound_of_steps,
    convergence,
    forward_paths,
    integrate,
    solve_reference,
    time_grid,
)
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.probability_flow import probability_flow_log_prob
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import AdaptableKernel
from dpm_core.samplers import Recording, record
from pages.ui import cache
from pages.ui.continuous.question import Question
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource, dataset

COMPARED = 200  # particles by which solvers are compared
REFERENCE_STEPS, COUNTS = 512, (8, 16, 32, 64, 128)
FOLLOWED = 4  # particles whose paths are drawn in the forward process
BOUND_SCHEDULES, BOUND_STEPS, ENDS = ("paper", "log_snr", "linear", "cosine"), (4, 8, 16, 32, 64, 128, 256), (6.0, -6.0)
BOUND_POINTS, FLOW_POINTS, FLOW_STEPS = 300, 150, 64


class Bounds(NamedTuple):
    """Diffusion loss in bits by schedule, one for each of BOUND_STEPS, and the standard error of the last; log-likelihoods in bits.

    ``flow``: by the ODE, and its standard error; ``exact``: by the density of the data, at the same points.
    """

    losses: dict[str, list[float]]
    error: float
    flow: tuple[float, float]
    exact: float


def kernel(question: Question) -> AdaptableKernel:
    """The model whose score is used, under the fine schedule."""
    if question.ref is None:
        return cached.exact(question.source, question.schedule)
    return cache.model(question.ref).model.with_diffusion(cache.diffusion(question.schedule))


def path(question: Question, noise_level: float) -> Recording:
    """The particles of one noise level; all levels start from the same noise."""
    return _path(replace(question, noise_level=noise_level))


@st.cache_data(max_entries=48, show_spinner=False)
def _path(question: Question) -> Recording:
    diffusion, level = cache.diffusion(question.schedule), question.noise_level
    x = torch.randn(question.n, 2, generator=torch.Generator().manual_seed(question.seed))
    noise = torch.Generator().manual_seed(question.seed + 1)
    times = time_grid(diffusion, question.steps)
    steps = integrate(kernel(question), diffusion, x, times, question.solver, noise_level=level, generator=noise)
    frames = min(len(times), stages.MAX_FRAMES)
    return record(steps, len(times), frames, stages.shown(question.n, frames, 3))


@st.cache_data(max_entries=48, show_spinner=False)
def marginals(source: PointSource, schedule: ScheduleConfig, times: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    """Fresh draws of q(x⁽ᵗ⁾) at each time, ``[F, n, 2]``; one noise for each particle."""
    diffusion, x0 = cache.diffusion(schedule), dataset(source).sample(n, torch.Generator().manual_seed(seed))
    return np.stack([diffusion.q_sample(x0, t, torch.Generator().manual_seed(seed + 1)).numpy() for t in times])


@st.cache_data(max_entries=48, show_spinner=False)
def floor(source: PointSource, schedule: ScheduleConfig, n: int) -> tuple[float, float]:
    """Sliced W₂ between two draws of q(x⁽¹⁾): mean and standard deviation."""
    diffusion = cache.diffusion(schedule)

    def draw(i: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(6000 + i)
        return diffusion.q_sample(dataset(source).sample(n, generator), 1, generator)

    return stages.floor(draw, stages.sliced)


@st.cache_resource(max_entries=8, show_spinner=False)
def _reference(question: Question) -> Reference:
    diffusion = cache.diffusion(question.schedule)
    x = torch.randn(COMPARED, 2, generator=torch.Generator().manual_seed(question.seed), dtype=torch.float64)
    noise = torch.Generator().manual_seed(question.seed + 1)
    return solve_reference(kernel(question), diffusion, x, REFERENCE_STEPS, noise_level=question.noise_level, generator=noise)


def errors(question: Question) -> dict[str, Convergence]:
    """The errors of every solver that has a reference at this noise level."""
    asked = replace(question, solver="heun", steps=REFERENCE_STEPS, n=COMPARED)
    names = [name for name, solver in SOLVERS.items() if question.noise_level == 0 or solver.follows_noise]
    return {name: _errors(asked, name) for name in names}


@st.cache_data(max_entries=64, show_spinner=False)
def _errors(question: Question, solver: str) -> Convergence:
    return convergence(_reference(question), solver, COUNTS)


@st.cache_data(max_entries=64, show_spinner=False)
def paths_of_chain(source: PointSource, schedule: ScheduleConfig, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """First coordinates of FOLLOWED particles in the limit and in so many steps, ``[T + 1, FOLLOWED]``; and how far apart all are."""
    fine, coarse = cache.diffusion(schedule), cache.diffusion(replace(schedule, T=steps))
    x0 = dataset(source).sample(500, torch.Generator().manual_seed(seed))
    many, few = forward_paths(fine, coarse, x0, torch.Generator().manual_seed(seed + 1))
    gap = float((many[:: fine.T // steps] - few).square().sum(2).mean().sqrt())
    return many[:, :FOLLOWED, 0].numpy(), few[:, :FOLLOWED, 0].numpy(), gap


@st.cache_data(max_entries=16, show_spinner=False)
def bounds(question: Question) -> Bounds:
    """The bound of four schedules with the same two ends, and the log-likelihood of the flow."""
    data, model = dataset(question.source), kernel(question)
    x0 = data.sample(BOUND_POINTS, torch.Generator().manual_seed(31))
    losses: dict[str, list[float]] = {}
    error = 0.0
    for name in BOUND_SCHEDULES:
        fine = cache.schedule(ScheduleConfig(name, question.schedule.T))
        losses[name] = []
        for steps in BOUND_STEPS:
            found = bound_of_steps(
                model, GaussianDiffusion(between_ends(fine, *ENDS, steps)), x0, torch.Generator().manual_seed(32)
            )  # fmt: skip
            losses[name].append(float(found.mean()) / NATS_PER_BIT)
            error = float(found.std()) / NATS_PER_BIT / len(x0) ** 0.5
    few = x0[:FLOW_POINTS]
    flow = probability_flow_log_prob(model, cache.diffusion(question.schedule), few, steps=FLOW_STEPS) / NATS_PER_BIT
    exact = cached.exact(question.source, question.schedule).log_marginal(few.double(), 0) / NATS_PER_BIT
    return Bounds(losses, error, (float(flow.mean()), float((flow - exact).std()) / len(few) ** 0.5), float(exact.mean()))
