"""Figure 2 of Sohl-Dickstein, Mudigonda & DeWeese (ICML 2014): autocorrelation against gradients, with the paper's parameters.

ε = 1, momentum corruption β = 0.1, 10 leapfrog steps, up to 4 of them in a row in look-ahead HMC, 100 chains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.lab.chains.markov_chains import autocorrelation, run
from dpm_core.lab.hamiltonian import Energy, ill_conditioned_gaussian, moves, rough_well

STEP_SIZE, CORRUPTION, LEAPFROG_STEPS, CHAINS = 1.0, 0.1, 10, 100
LOOK_AHEAD = {"look_ahead": 4, "hmc": 1}
DIMENSIONS = {"rough_well": 2, "gaussian_2": 2, "gaussian_100": 100}
WELL_DEVIATION, WELL_PERIOD = 100.0, 4.0
LAGS = 24  # at which a curve is computed, between 0 and half of the gradients


class Curve(NamedTuple):
    """Autocorrelation of one sampler on one target after numbers of gradients per chain, with standard errors."""

    target: str
    sampler: str
    gradients: list[float]
    values: list[float]
    errors: list[float]

    def at(self, gradients: float) -> tuple[float, float]:
        """The autocorrelation after so many gradients and its error, between the computed ones by a straight line.

        Raises ValueError beyond the end of the curve.
        """
        if gradients > self.gradients[-1]:
            raise ValueError(f"The curve ends at {self.gradients[-1]:,.0f} gradients, before {gradients:,.0f}.")
        value, error = (float(np.interp(gradients, self.gradients, row)) for row in (self.values, self.errors))
        return value, error


def energy_of(target: str) -> Energy:
    """Return the energy of one of the three targets, by its name."""
    return rough_well if target == "rough_well" else ill_conditioned_gaussian(DIMENSIONS[target])[0]


def equilibrium(target: str, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Return n exact samples of a target, float64 ``[n, d]``; those of the rough well by rejection from its Gaussian part."""
    d = DIMENSIONS[target]
    if target != "rough_well":
        return torch.randn(n, d, generator=generator, dtype=torch.float64) * ill_conditioned_gaussian(d)[1].sqrt()
    x = torch.full((n, d), torch.nan, dtype=torch.float64)
    while bool((open_ := x.isnan()).any()):
        proposal = WELL_DEVIATION * torch.randn(n, d, generator=generator, dtype=torch.float64)
        accepted = (
            torch.rand(n, d, generator=generator, dtype=torch.float64) < (-1 - torch.cos(2 * torch.pi * proposal / WELL_PERIOD)).exp()
        )
        x = torch.where(open_ & accepted, proposal, x)
    return x


def far_point(target: str) -> Tensor:
    """Return a point 1.9 standard deviations from the centre along every axis, float64 ``[d]``, from which chains can start."""
    d = DIMENSIONS[target]
    deviations = torch.full((d,), WELL_DEVIATION).double() if target == "rough_well" else ill_conditioned_gaussian(d)[1].sqrt()
    return 1.9 * deviations


def curve(target: str, sampler: str, gradients: float, seed: int = 0) -> Curve:
    """Return the curve of one sampler on one target from chains that use this many gradients each."""
    x = equilibrium(target, CHAINS, torch.Generator().manual_seed(seed))
    chain = moves(
        energy_of(target), x, step_size=STEP_SIZE, leapfrog_steps=LEAPFROG_STEPS, look_ahead=LOOK_AHEAD[sampler],
        corruption=CORRUPTION, generator=torch.Generator().manual_seed(seed + 1),
    )  # fmt: skip
    found = run(chain, gradients, 1000)
    lags = torch.linspace(0, len(found.states) // 2, LAGS).round().long().unique().tolist()
    rho = autocorrelation(found.states, lags)
    unit = found.thinning * found.evaluations
    return Curve(target, sampler, [unit * lag for lag in lags], rho.values.tolist(), rho.errors.tolist())


def figure(gradients: float, seed: int = 0) -> Iterator[Curve]:
    """Yield the curves of both samplers on the three targets, one after the other."""
    for target in DIMENSIONS:
        for sampler in LOOK_AHEAD:
            yield curve(target, sampler, gradients, seed)
