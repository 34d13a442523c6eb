"""Objectives of the inverse Ising problem for spins ±1, each with its gradient in closed form.

Parameters θ ``[d, d]``: fields h on the diagonal, couplings K, symmetric, beside it. The gradient has the derivative with respect to h_i
on the diagonal and that with respect to the pair K_ij = K_ji beside it. With a_i = h_i + Σ_j K_ij s_j, flipping spin i changes the
energy by E(s') − E(s) = 2 s_i a_i.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.lab.flow.ising_models import MOST_ENUMERATED, all_states
from dpm_core.lab.flow.quasi_newton import Value

BLOCK = 1 << 17  # elements at once: they stay in the cache of the processor
MOST_EXACT_BITS = 62  # of a pattern's number; longer patterns are told apart by 64 random bits


class SpinData(NamedTuple):
    """Different patterns s ``[m, d]`` of ±1, their shares of the data ``[m]``, mean ``[d]`` and covariance ``[d, d]``, float64.

    ``numbers`` int64 ``[m]`` tell patterns apart; flipping spin i changes them by s_i ``steps[i]``.
    """

    s: Tensor
    shares: Tensor
    mean: Tensor
    covariance: Tensor
    numbers: np.ndarray
    steps: np.ndarray
    n: int

    @property
    def independent(self) -> Tensor:
        """The θ of independent spins with these means: where searches start."""
        m = self.mean.clamp(-1 + 0.5 / self.n, 1 - 0.5 / self.n)
        return torch.diag(torch.atanh(m))


def checked_spins(x: Tensor) -> Tensor:
    """Return data x ``[n, d]`` if they are of 0 and 1. Raises ValueError for other values and for no rows."""
    x = torch.as_tensor(x)
    if x.ndim != 2 or not len(x) or not bool(((x == 0) | (x == 1)).all()):
        raise ValueError(f"Spins must be rows of 0 and 1, [n, d], not values of shape {tuple(x.shape)} that differ from these.")
    return x


def read_spins(x: Tensor) -> SpinData:
    """Return the patterns of data x ``[n, d]`` of 0 and 1. Raises ValueError for other values."""
    x = checked_spins(x)
    bits, d = x.numpy().astype(np.int64), x.shape[1]
    if d <= MOST_EXACT_BITS:
        steps = np.left_shift(np.int64(1), np.arange(d, dtype=np.int64))
    else:
        steps = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, d, dtype=np.int64)
    numbers, first, counts = np.unique(bits @ steps, return_index=True, return_counts=True)
    s = torch.from_numpy(2.0 * bits[first] - 1)
    shares = torch.from_numpy(counts / len(bits))
    mean = shares @ s
    centred = s - mean
    return SpinData(s, shares, mean, centred.T @ (shares[:, None] * centred), numbers, steps, len(bits))


def flips_into_data(data: SpinData) -> Tensor:
    """Return for each pattern and spin whether flipping the spin leads to another pattern of the data, ``[m, d]``."""
    with np.errstate(over="ignore"):
        neighbours = data.numbers[:, None] - data.s.numpy().astype(np.int64) * data.steps
    return torch.from_numpy(np.isin(neighbours, data.numbers))


def matched_connectivity(theta: Tensor, data: SpinData) -> Tensor:
    """Return g = 1/cosh(½ [E(s) − E(s')]) of each single flip at θ, ``[m, d]``: symmetric in s and s', as detailed balance needs."""
    return 1 / torch.cosh(data.s * _local_fields(theta, data.s))


def flow(data: SpinData, g: Tensor | None = None, all_flip: bool = False, dtype: torch.dtype = torch.float64) -> Value:
    """Minimum probability flow: Σ_s share(s) Σ_i g_i(s) exp(−s_i a_i), the flow into the neighbours that differ in one spin.

    ``g`` ``[m, d]``: connectivities, 1 by default; 0 leaves a neighbour out. ``all_flip`` adds the neighbour in which all spins are
    flipped, as in the authors' code for Ising models: its term is exp(−Σ_i h_i s_i), as pairs keep their product.
    """
    rows = _rows(data)
    parts = [part.to(dtype) for part in data.s.split(rows)]
    shares = [part.to(dtype)[:, None] for part in data.shares.split(rows)]
    scales = shares if g is None else [share * part.to(dtype) for share, part in zip(shares, g.split(rows))]

    def value(theta: Tensor) -> tuple[float, Tensor, float]:
        at, total = theta.to(dtype), 0.0
        gradient = torch.zeros_like(theta)
        for s, share, scale in zip(parts, shares, scales):
            rates = scale * torch.exp(-s * _local_fields(at, s))
            total += float(rates.sum(dtype=torch.float64))
            gradient -= _pairs(rates * s, s)
            if all_flip:
                rate = share[:, 0] * torch.exp(-(s @ at.diagonal()))
                total += float(rate.sum(dtype=torch.float64))
                gradient -= torch.diag(rate @ s).double()
        return total, gradient, max(total / len(theta), 1e-12)

    return value


def pseudolikelihood(data: SpinData, dtype: torch.dtype = torch.float64) -> Value:
    """Minus the logarithm of the pseudolikelihood: Σ_s share(s) Σ_i log(1 + exp(−2 s_i a_i)) (Besag 1975)."""
    rows = _rows(data)
    parts = [part.to(dtype) for part in data.s.split(rows)]
    shares = [part.to(dtype)[:, None] for part in data.shares.split(rows)]

    def value(theta: Tensor) -> tuple[float, Tensor, float]:
        at, total, weight = theta.to(dtype), 0.0, 0.0
        gradient = torch.zeros_like(theta)
        for s, share in zip(parts, shares):
            z = -2 * s * _local_fields(at, s)
            p = torch.sigmoid(z)
            total += float((share * torch.nn.functional.softplus(z)).sum(dtype=torch.float64))
            slopes = share * p
            gradient -= 2 * _pairs(slopes * s, s)
            weight += 4 * float((slopes * (1 - p)).sum())
        return total, gradient, max(weight / len(theta), 1e-12)

    return value


def likelihood(data: SpinData) -> Value:
    """Minus the mean log-likelihood, exactly, by all 2ᵈ states. Raises ValueError above MOST_ENUMERATED spins.

    The states are pairs of states of two halves of the spins, so that all energies are one product of small matrices.
    """
    d = data.s.shape[1]
    if d > MOST_ENUMERATED:
        raise ValueError(f"{d} spins have too many states to list; at most {MOST_ENUMERATED} can be.")
    left, right = 2 * all_states(d // 2) - 1, 2 * all_states(d - d // 2) - 1
    k = d // 2
    second = data.covariance + torch.outer(data.mean, data.mean)
    wanted = (second + second.T) / 2 - torch.diag(second.diagonal()) + torch.diag(data.mean)

    def value(theta: Tensor) -> tuple[float, Tensor, float]:
        logits = left @ theta[:k, k:] @ right.T
        logits += _exponent(theta[:k, :k], left)[:, None] + _exponent(theta[k:, k:], right)
        top = logits.max()
        p = torch.exp_(logits - top)
        total = p.sum()
        p /= total
        first, last = p.sum(1), p.sum(0)
        found = torch.zeros_like(theta)
        found[:k, :k] = _moments(left, first)
        found[k:, k:] = _moments(right, last)
        found[:k, k:] = left.T @ p @ right
        found[k:, :k] = found[:k, k:].T
        mean_exponent = ((theta * wanted).sum() + (theta.diagonal() * wanted.diagonal()).sum()) / 2
        return float(top + total.log() - mean_exponent), found - wanted, 1.0

    return value


def _exponent(theta: Tensor, s: Tensor) -> Tensor:
    """½ Σ K_ij s_i s_j + Σ h_i s_i of each state, ``[m]``."""
    return (_local_fields(theta, s) * s + s * theta.diagonal()).sum(1) / 2


def _moments(s: Tensor, p: Tensor) -> Tensor:
    second = s.T @ (p[:, None] * s)
    return (second + second.T) / 2 - torch.diag(second.diagonal()) + torch.diag(p @ s)


def _local_fields(theta: Tensor, s: Tensor) -> Tensor:
    """a_i = h_i + Σ_j K_ij s_j, ``[m, d]``."""
    fields = theta.diagonal()
    return torch.addmm(fields, s, theta - torch.diag(fields))


def _pairs(slopes: Tensor, s: Tensor) -> Tensor:
    """Σ slopes_ni ∂a_ni/∂θ: for fields on the diagonal, for pairs beside it, float64."""
    product = (slopes.T @ s).double()
    return product + product.T - torch.diag(2 * product.diagonal()) + torch.diag(slopes.sum(0).double())


def _rows(data: SpinData) -> int:
    return max(1, BLOCK // data.s.shape[1])
