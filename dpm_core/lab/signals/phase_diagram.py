"""The phase diagram of random networks over (σ_w², σ_b²): χ₁ on a grid, the line χ₁ = 1, and the depth that can be trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.lab.random_networks import Activation, depth_scales, fixed_points

REFINEMENTS = 12  # steps of the search for the critical line, every third of them a bisection
PHASES = {"ordered": "ordered phase", "critical": "edge of chaos", "chaotic": "chaotic phase", "unbounded": "unbounded signals"}
EDGE = 0.005  # |χ₁ − 1| below which a network is said to be at the edge of chaos


class Diagram(NamedTuple):
    """χ₁ and q*, ``[len(sigma_b2), len(sigma_w2)]``, and the critical σ_w² for each σ_b², NaN where χ₁ does not cross 1 on the grid."""

    sigma_w2: np.ndarray
    sigma_b2: np.ndarray
    q_star: np.ndarray
    chi_1: np.ndarray
    critical: np.ndarray


def phase(chi_1: float, q_star: float) -> str:
    """Return "ordered" (χ₁ < 1), "critical" or "chaotic" (χ₁ > 1); "unbounded" where χ₁ > 1 and q grows without limit, as for ReLU.

    Then the differences between inputs grow, but no faster than the inputs, so that their correlation does not fall.
    """
    if abs(chi_1 - 1) < EDGE:
        return "critical"
    return "ordered" if chi_1 < 1 else "chaotic" if q_star < math.inf else "unbounded"


def diagram(activation: Activation, sigma_w2: Sequence[float] | np.ndarray, sigma_b2: Sequence[float] | np.ndarray) -> Diagram:
    """Return the phase diagram on a grid of variances, each increasing."""
    w, b = (torch.as_tensor(np.asarray(axis), dtype=torch.float64) for axis in (sigma_w2, sigma_b2))
    columns, rows = torch.meshgrid(w, b, indexing="xy")
    q, chi = fixed_points(activation, columns, rows)
    return Diagram(w.numpy(), b.numpy(), q.numpy(), chi.numpy(), _critical(activation, w, b, chi).numpy())


def _critical(activation: Activation, w: Tensor, b: Tensor, chi: Tensor) -> Tensor:
    """The first crossing of χ₁ = 1 in every row, refined by the false position rule, with a bisection every third time; to about 1e-6."""
    crosses = (chi[:, :-1] < 1) & (chi[:, 1:] >= 1)
    exists, at = crosses.any(1), crosses.double().argmax(1)
    left, right = w[at].clone(), w[at + 1].clone()
    low, high = chi.gather(1, at[:, None])[:, 0] - 1, chi.gather(1, at[:, None] + 1)[:, 0] - 1
    for i in range(REFINEMENTS):
        chord = left - low * (right - left) / (high - low)
        middle = torch.where(exists, chord if i % 3 else (left + right) / 2, left)
        found = fixed_points(activation, middle, b)[1] - 1
        below = found < 0
        left, low = torch.where(below, middle, left), torch.where(below, found, low)
        right, high = torch.where(below, right, middle), torch.where(below, high, found)
    return torch.where(exists, left - low * (right - left) / (high - low), torch.nan)


def trainable_depths(activation: Activation, sigma_w2: Sequence[float] | np.ndarray, sigma_b2: float) -> np.ndarray:
    """Return 6 ξ_c for each σ_w² (Schoenholz et al. 2017, section 5): infinity at the edge of chaos, NaN without a fixed point q* > 0."""
    return np.array([depth_scales(activation, float(w), sigma_b2).trainable_depth for w in sigma_w2])
