"""What the Hamiltonian Monte Carlo page computes: the chains on the stage, and four samplers compared at equal cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.lab.chains.markov_chains import Autocorrelation, EffectiveSamples, autocorrelation, effective_samples, random_walk, run, tuned
from dpm_core.lab.hamiltonian import Move, ladder, moves, transition_probabilities
from pages.ui.lab.hmc import targets
from pages.ui.lab.hmc.question import Question

STEPS = 120  # on the stage
TRAIL, TRAILED = 4, 50  # steps of a trail, and chains that have one
BUDGET, BUDGET_OF_DATA = 5000.0, 1500.0  # evaluations per chain by which samplers are compared; chains of data forget sooner
COMPARED = 100  # chains in a comparison
LONGEST = 2000.0  # evaluations on the axis, at most
LAGS = 32
TITLES = {"look_ahead": "Look-ahead HMC", "hmc": "HMC", "mala": "MALA", "walk": "Random walk"}
ACCEPTANCE = {"mala": 0.57, "walk": 0.3}  # to which step sizes are tuned (Roberts & Rosenthal 2001)


class Chains(NamedTuple):
    """Chains of one sampler: states ``[F, n, d]`` and momenta from the start on, trajectories gone ``[F, n]``, mean gradients per step."""

    x: Tensor
    momentum: Tensor
    distance: Tensor
    gradients: np.ndarray


def chain(question: Question, sampler: str, x: Tensor, seed: int, step_size: float | None = None) -> Iterator[Move]:
    """The steps of a sampler from x, with the page's parameters; ``step_size``: of MALA and of the random walk."""
    energy, generator = targets.target(question).energy, torch.Generator().manual_seed(seed)
    if sampler == "walk":
        return random_walk(energy, x, step_size=step_size or question.step_size, generator=generator)
    if sampler == "mala":
        return moves(
            energy, x, step_size=step_size or question.step_size, leapfrog_steps=1, look_ahead=1, corruption=1.0, generator=generator
        )
    return moves(
        energy, x, step_size=question.step_size, leapfrog_steps=question.leapfrog_steps,
        look_ahead=question.look_ahead if sampler == "look_ahead" else 1, corruption=question.corruption, generator=generator,
    )  # fmt: skip


def start(question: Question, n: int, spread: bool) -> Tensor:
    """The first states ``[n, d]``: samples of p, or one point."""
    target = targets.target(question)
    if spread:
        return target.sample(n, torch.Generator().manual_seed(question.seed))
    return target.point.expand(n, -1).clone()


@st.cache_resource(max_entries=8, show_spinner=False)  # nothing in it is changed, and copies would be large
def chains(question: Question, sampler: str) -> Chains:
    """The chains on the stage: STEPS steps."""
    x = start(question, question.n, question.spread)
    found = list(islice(chain(question, sampler, x, question.seed + 1), STEPS))
    still = torch.zeros_like(x)
    return Chains(
        torch.stack([x, *(move.x for move in found)]),
        torch.stack([still, *(move.momentum for move in found)]),
        torch.stack([torch.ones(len(x), dtype=torch.long), *(move.distance for move in found)]),
        np.array([0.0, *(float(move.gradients.double().mean()) for move in found)]),
    )


def second_moments(question: Question, found: Chains) -> list[float]:
    """E|x − mean|² over the chains, divided by its exact value, for each frame."""
    target = targets.target(question)
    return ((found.x - target.mean).square().sum(2).mean(1) / target.second).tolist()


class Ladder(NamedTuple):
    """The states ζ, Lζ, …, Lᴷζ of one chain: energies relative to that of ζ ``[K+1]``, and the probabilities of a step.

    ``probabilities`` ``[K]``: to go to Lᵃζ; ``reversal``: to stay and reverse the momentum.
    """

    energies: list[float]
    probabilities: list[float]
    reversal: float


def ladder_of(question: Question, frame: int, number: int) -> Ladder:
    """The ladder of a look-ahead chain at a frame, with the momentum that it has there."""
    found = chains(question, "look_ahead")
    frame, number = min(max(frame, 1), len(found.x) - 1), min(number, found.x.shape[1] - 1)
    x, v = found.x[frame, number][None], found.momentum[frame, number][None]
    _, totals = ladder(
        targets.target(question).energy, x, v, step_size=question.step_size, leapfrog_steps=question.leapfrog_steps,
        look_ahead=question.look_ahead,
    )  # fmt: skip
    probabilities = transition_probabilities(totals)[0].tolist()
    return Ladder((totals[0] - totals[0, 0]).tolist(), probabilities, max(0.0, 1 - sum(probabilities)))


class Compared(NamedTuple):
    """One sampler at equal cost: autocorrelation against evaluations per chain, and what an evaluation is worth."""

    evaluations: list[float]
    rho: Autocorrelation
    effective: EffectiveSamples
    step_size: float
    moved: float
    second: float  # E|x − mean|² ÷ exact


def budget(question: Question) -> float:
    """Evaluations of each chain in a comparison."""
    return BUDGET if question.source is None else BUDGET_OF_DATA


def comparison(question: Question, progress: Callable[[float], None]) -> dict[str, Compared]:
    """All samplers from equilibrium with BUDGET evaluations per chain; ``progress`` takes the share that is done."""
    asked, found = replace(question, n=COMPARED, spread=True), {}
    for done, name in enumerate(TITLES):
        progress(done / len(TITLES))
        found[name] = _compared(asked, name)
    return found


def range_shown(found: Mapping[str, Compared]) -> float:
    """Evaluations up to which the curves are shown: until all have nearly come down to 0, between 100 and 2,000."""
    down = [next((n for n, rho in zip(one.evaluations, one.rho.values) if rho < 0.05), LONGEST) for one in found.values()]
    return min(LONGEST, max(100.0, 1.5 * max(down)))


@st.cache_data(max_entries=64, show_spinner=False)
def reverse_second(question: Question) -> float:
    """E|x − mean|² of samples of the reverse process, divided by the exact value."""
    target, x = targets.target(question), targets.reversed_samples(question, 1000).double()
    return float((x - target.mean).square().sum(1).mean()) / target.second


@st.cache_data(max_entries=64, show_spinner=False)
def _compared(question: Question, name: str) -> Compared:
    target, x = targets.target(question), start(question, COMPARED, True)
    size = question.step_size
    if name in ACCEPTANCE:
        size = tuned(lambda step: chain(question, name, x, question.seed + 2, step), ACCEPTANCE[name], question.step_size)
    found = run(chain(question, name, x, question.seed + 3, size), budget(question), 500)
    lags = [0, *np.geomspace(1, max(2, len(found.states) // 2), LAGS).round().astype(int)]
    lags = sorted(set(map(int, lags)))
    unit = found.thinning * found.evaluations
    rho = autocorrelation(found.states, lags, target.mean)
    return Compared(
        [unit * lag for lag in lags], rho, effective_samples(found.states, unit, target.mean), size, found.moved,
        float((found.states - target.mean).square().sum(2).mean()) / target.second,
    )  # fmt: skip
