"""Minimum probability flow with three states, where every distribution is a point of a triangle (Sohl-Dickstein et al. 2011).

Detailed-balance dynamics dp/dt = Γ p with Γ_ij = g_ij exp(½ [E_j − E_i]) for i ≠ j, g symmetric, columns that sum to 0. They carry the data
distribution p⁽⁰⁾ to the model p⁽∞⁾ ∝ exp(−E). The functions take any number of states.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CORNERS = np.array([[-1.0, -(3**-0.5)], [1.0, -(3**-0.5)], [0.0, 2 * 3**-0.5]])  # of the triangle, centred at 0


def boltzmann(energies: Tensor) -> Tensor:
    """Return p⁽∞⁾ ∝ exp(−E) for energies ``[..., k]``."""
    return torch.softmax(-energies, -1)


def rates(energies: Tensor, g: Tensor | None = None) -> Tensor:
    """Return Γ ``[..., k, k]`` for energies ``[..., k]``; Γ_ij is the rate from j to i. ``g`` ``[k, k]`` is symmetric, 1 by default."""
    off = torch.exp((energies[..., None, :] - energies[..., :, None]) / 2)
    off = off * (1 - torch.eye(energies.shape[-1], dtype=energies.dtype)) * (1 if g is None else g)
    return off - torch.diag_embed(off.sum(-2))


def evolve(p: Tensor, gamma: Tensor, t: float) -> Tensor:
    """Return p⁽ᵗ⁾ = exp(Γ t) p⁽⁰⁾, ``[..., k]``."""
    return (torch.matrix_exp(gamma * t) @ p[..., None])[..., 0]


def initial_flow(p: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    """Return p⁽ᵋ⁾ = p⁽⁰⁾ + ε Γ p⁽⁰⁾, the first-order Taylor expansion of :func:`evolve`."""
    return p + epsilon * (gamma @ p[..., None])[..., 0]


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p ‖ q) in nats over the last axis; states with p = 0 contribute nothing."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def flow_out_of_the_data(p: Tensor, gamma: Tensor) -> Tensor:
    """Return Σ_{j: p_j > 0} Σ_{i: p_i = 0} Γ_ij p_j: the papers' K, which is dKL(p⁽⁰⁾ ‖ p⁽ᵗ⁾)/dt at t = 0.

    States with data count in no flow among themselves, and where all states have data it is 0 for all energies.
    """
    empty = (p == 0).to(p.dtype)
    return (empty * (gamma @ p[..., None])[..., 0]).sum(-1)


def flow_to_all_neighbours(p: Tensor, gamma: Tensor) -> Tensor:
    """Return Σ_j Σ_{i ≠ j} Γ_ij p_j = −Σ_j Γ_jj p_j, the rate at which data jump: the sum over all neighbours, data or not."""
    return -(gamma.diagonal(dim1=-2, dim2=-1) * p).sum(-1)


def spectral_gap(energies: Tensor) -> float:
    """Return the rate of the slowest decay to p⁽∞⁾. By detailed balance the eigenvalues of Γ are those of a symmetric matrix."""
    gamma = rates(energies)
    root = boltzmann(energies).sqrt()
    symmetric = gamma * root[None, :] / root[:, None]
    return float(-torch.linalg.eigvalsh((symmetric + symmetric.T) / 2)[-2])


def in_the_triangle(p: Tensor) -> np.ndarray:
    """Return the point of each distribution ``[..., 3]``: the mean of the corners, ``[..., 2]``."""
    return p.double().numpy() @ CORNERS


def walkers(p: Tensor, gamma: Tensor, times: list[float], n: int, generator: torch.Generator) -> Tensor:
    """Return the states ``[F, n]`` of n walkers that start from p and jump with rates Γ, at increasing times."""
    state = torch.multinomial(p, n, replacement=True, generator=generator)
    out, before = [], 0.0
    for t in times:
        jumps = torch.matrix_exp(gamma * (t - before)).T.clamp(min=0)
        state = torch.multinomial(jumps[state], 1, generator=generator)[:, 0]
        out.append(state)
        before = t
    return torch.stack(out)
