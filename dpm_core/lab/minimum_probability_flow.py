"""Minimum probability flow: learning an unnormalised model (Sohl-Dickstein, Battaglino & DeWeese, PRL 107, 220601, 2011; ICML 2011).

The model's parameters are those for which the least probability flows from the data to their neighbours in the first moment of a dynamics
that would end in the model. Its rate needs energy differences only, and no partition function:

    K(θ) = 1/|D| Σ_{x∈D} Σ_{x'} exp(½ [E(x; θ) − E(x'; θ)]),  x' a neighbour of x.

For the Ising model E(x) = xᵀ J x with x in {0, 1}ᵈ the neighbours differ in one bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

MOST_ENUMERATED = 20  # spins whose 2ᵈ states are listed
BLOCK = 1 << 22  # elements at once
ITERATIONS = 1000  # of L-BFGS, at most


class _OutOfTime(Exception):
    """Ends an optimisation at its time limit."""


def flip_differences(J: Tensor, x: Tensor) -> Tensor:
    """Return E(x) − E(x') for each x ``[n, d]`` and each flip of one bit, ``[n, d]``: −δ_i ((J + Jᵀ) x)_i − J_ii with δ = 1 − 2x."""
    return (2 * x - 1) * (x @ (J + J.T)) - J.diagonal()


def ising_objective(J: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return K and its gradient ∂K/∂J ``[d, d]``, symmetric, for data x ``[n, d]`` of 0 and 1; both in float64.

    E(x) = xᵀ J x; the diagonal of J holds the biases. The gradient is that with respect to each element on its own: an off-diagonal
    coupling that stands in both places changes K by their sum. Raises ValueError for shapes that do not fit.
    """
    J, x = torch.as_tensor(J).double(), torch.as_tensor(x).double()
    return _objective(J, x, torch.full((len(x),), 1 / len(x), dtype=torch.float64))


def fit_ising(x: Tensor, seconds: float | None = None, watch: Callable[[Tensor], None] | None = None) -> Tensor:
    """Return the symmetric couplings J ``[d, d]``, float64, that minimise K on data x ``[n, d]`` of 0 and 1, by L-BFGS.

    ``seconds`` ends the search early; ``watch`` is shown J after every iteration. Raises ValueError for data that are not 0 and 1.
    """
    patterns, weights = _patterns(x)
    return _minimised(lambda J: _objective(J, patterns, weights), patterns.shape[1], watch, seconds)


def ising_energy(J: Tensor, x: Tensor) -> Tensor:
    """Return E(x) = xᵀ J x of each x ``[n, d]``, ``[n]``."""
    return ((x @ J) * x).sum(1)


def all_states(d: int) -> Tensor:
    """Return the 2ᵈ states of d spins, float64 ``[2ᵈ, d]``. Raises ValueError above MOST_ENUMERATED spins."""
    if d > MOST_ENUMERATED:
        raise ValueError(f"{d} spins have too many states to list; at most {MOST_ENUMERATED} can be.")
    return torch.tensor(list(product((0.0, 1.0), repeat=d)), dtype=torch.float64)


def sample_ising(J: Tensor, n: int, generator: torch.Generator | None = None, sweeps: int = 200) -> Tensor:
    """Return n samples of p(x) ∝ exp(−xᵀ J x), float64 ``[n, d]``: exact where the states can be listed, else the ends of Gibbs chains.

    Each of the n chains starts from coin tosses and makes ``sweeps`` sweeps over all spins.
    """
    d = len(J)
    if d <= MOST_ENUMERATED:
        states = all_states(d)
        weights = torch.softmax(-ising_energy(J, states), 0)
        return states[torch.multinomial(weights, n, replacement=True, generator=generator)]
    x = torch.randint(2, (n, d), generator=generator).double()
    both = J + J.T
    for _ in range(sweeps):
        for i in range(d):
            field = x @ both[:, i] - x[:, i] * both[i, i] + J[i, i]  # E(x_i = 1) − E(x_i = 0)
            x[:, i] = (torch.rand(n, generator=generator, dtype=torch.float64) < torch.sigmoid(-field)).double()
    return x


def fit_by_likelihood(x: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
    """Return the symmetric J of largest likelihood, by listing all states: the exact answer. Raises ValueError for too many spins."""
    patterns, weights = _patterns(x)
    states = all_states(patterns.shape[1])
    moments = patterns.T @ (weights[:, None] * patterns)

    def value(J: Tensor) -> tuple[Tensor, Tensor]:
        energies = -ising_energy(J, states)
        p = torch.softmax(energies, 0)
        return (moments * J).sum() + torch.logsumexp(energies, 0), moments - states.T @ (p[:, None] * states)

    return _minimised(value, patterns.shape[1], watch)


def fit_by_pseudolikelihood(x: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
    """Return the symmetric J that maximises Σ_i log p(x_i | the other spins) (Besag 1975)."""
    patterns, weights = _patterns(x)

    def value(J: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = torch.zeros((), dtype=torch.float64), torch.zeros_like(J)
        for part, share in zip(patterns.split(_rows(J)), weights.split(_rows(J))):
            difference = flip_differences(J, part)  # −log p(x_i|…) = log(1 + exp(E(x) − E(x')))
            loss = loss + (share[:, None] * torch.nn.functional.softplus(difference)).sum()
            gradient = gradient + _backward(share[:, None] * torch.sigmoid(difference), part)
        return loss, gradient

    return _minimised(value, patterns.shape[1], watch)


def _objective(J: Tensor, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """K and its gradient for patterns x ``[m, d]`` that make up these shares of the data."""
    if J.shape != (x.shape[1],) * 2:
        raise ValueError(f"The couplings must have the shape {(x.shape[1],) * 2} for data of {x.shape[1]} spins, not {tuple(J.shape)}.")
    value, gradient = torch.zeros((), dtype=torch.float64), torch.zeros_like(J)
    for part, share in zip(x.split(_rows(J)), weights.split(_rows(J))):
        flow = share[:, None] * torch.exp(0.5 * flip_differences(J, part))
        value = value + flow.sum()
        gradient = gradient + _backward(0.5 * flow, part)
    return value, gradient


def _backward(slope: Tensor, x: Tensor) -> Tensor:
    """Σ slope_ni ∂(E(x_n) − E(x_n with bit i flipped))/∂J, ``[d, d]``."""
    product_ = (slope * (2 * x - 1)).T @ x
    return product_ + product_.T - torch.diag(slope.sum(0))


def _minimised(
    value: Callable[[Tensor], tuple[Tensor, Tensor]],
    d: int,
    watch: Callable[[Tensor], None] | None,
    seconds: float | None = None,
) -> Tensor:
    """The symmetric J, from 0, that minimises a loss given with its gradient, or the one reached after ``seconds``."""
    rows, columns = np.tril_indices(d)
    until = math.inf if seconds is None else time.monotonic() + seconds
    best = np.zeros(len(rows))

    def couplings(theta: np.ndarray) -> Tensor:
        J = np.zeros((d, d))
        J[rows, columns] = J[columns, rows] = theta
        return torch.from_numpy(J)

    def wrapped(theta: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = value(couplings(theta))
        return float(loss), np.where(rows == columns, 1.0, 2.0) * gradient.numpy()[rows, columns]  # a coupling stands in two places

    def seen(theta: np.ndarray) -> None:
        best[:] = theta
        if watch is not None:
            watch(couplings(theta))
        if time.monotonic() > until:
            raise _OutOfTime

    with suppress(_OutOfTime):
        options = {"maxiter": ITERATIONS, "maxcor": 20}
        best[:] = minimize(wrapped, best.copy(), jac=True, method="L-BFGS-B", callback=seen, options=options).x
    return couplings(best)


def _rows(J: Tensor) -> int:
    return max(1, BLOCK // len(J))


def _patterns(x: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of data of 0 and 1, float64 ``[m, d]``, and their shares ``[m]``."""
    x = torch.as_tensor(x)
    if x.ndim != 2 or not bool(((x == 0) | (x == 1)).all()):
        raise ValueError(f"Spins must be rows of 0 and 1, [n, d], not values of shape {tuple(x.shape)} that differ from these.")
    patterns, counts = torch.unique(x.to(torch.uint8), dim=0, return_counts=True)
    return patterns.double(), counts.double() / len(x)
