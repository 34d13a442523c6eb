"""Energies −log p of diffused data in the plane, which Markov chains can sample: the exact one, and that of a network's score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from dpm_core.continuous.equations import Field
from dpm_core.lab.chains.grid_energy import GridEnergy, potential
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseKernel

LIMIT, POINTS = 4.5, 181  # of the grid: half its side, and its points on an axis
AXIS = np.linspace(-LIMIT, LIMIT, POINTS)
LEAST = 1e-300  # a density below this counts as this much
LEAST_WEIGHT = 1e-4  # of a place without data in the fit of an energy, relative to the largest


def density_of(energy: GridEnergy) -> np.ndarray:
    """Return exp(−E) on AXIS × AXIS, scaled to a sum of 1, float64 ``[m, m]``."""
    grid = torch.from_numpy(np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), -1).reshape(-1, 2))
    return torch.softmax(-energy(grid), 0).numpy().reshape(POINTS, POINTS)


def sample(energy: GridEnergy, n: int, generator: torch.Generator) -> torch.Tensor:
    """Return n samples of exp(−E), float64 ``[n, 2]``: a cell of the grid by its density, and a place in it at random."""
    cells = torch.multinomial(torch.from_numpy(density_of(energy).ravel()), n, replacement=True, generator=generator)
    corner = torch.from_numpy(AXIS)[torch.stack([cells // POINTS, cells % POINTS], 1)]
    return corner + (AXIS[1] - AXIS[0]) * (torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5)


class LearnedEnergy(NamedTuple):
    """The energy whose gradient is nearest to a network's score, and the share of the score's mean square that is no gradient."""

    energy: GridEnergy
    rest: float


def time_of(diffusion: GaussianDiffusion, deviation: float) -> int:
    """Return the time t ≥ 1 at which the standard deviation √(1 − ᾱ_t) of the noise is nearest to this."""
    noise = diffusion.schedule.noise(torch.arange(1, diffusion.T + 1)).double().sqrt()
    return 1 + int((noise - deviation).abs().argmin())


def density(exact: EmpiricalReverse, t: int) -> np.ndarray:
    """Return q(x⁽ᵗ⁾) on AXIS × AXIS, float64 ``[m, m]``, first coordinate first."""
    return exact.marginal_on_grid(torch.from_numpy(AXIS), t).numpy().T


def exact_energy(exact: EmpiricalReverse, t: int) -> GridEnergy:
    """Return −log q(x⁽ᵗ⁾) of plane data."""
    return GridEnergy(AXIS, -np.log(np.maximum(density(exact, t), LEAST)))


def learned_energy(model: ReverseKernel, exact: EmpiricalReverse, t: int) -> LearnedEnergy:
    """Return the energy of the score of ``model`` at t, fitted where the data are: weights are the exact density q(x⁽ᵗ⁾)."""
    grid = torch.from_numpy(np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), -1).reshape(-1, 2)).float()
    with torch.inference_mode():
        score = Field(model, exact.diffusion).score(grid, t).double().numpy().reshape(POINTS, POINTS, 2)
    weights = density(exact, t)
    found = potential(score, float(AXIS[1] - AXIS[0]), np.maximum(weights, LEAST_WEIGHT * weights.max()))
    return LearnedEnergy(GridEnergy(AXIS, found.values), found.rest)
