"""Minimum probability flow: learning an unnormalised model (Sohl-Dickstein, Battaglino & DeWeese, PRL 107, 220601, 2011; ICML 2011).

The model's parameters are those for which the least probability flows from the data to their neighbours in the first moment of a dynamics
that would end in the model. Its rate needs energy differences only, and no partition function:

    K(θ) = 1/|D| Σ_{x∈D} Σ_{x'} exp(½ [E(x; θ) − E(x'; θ)]),  x' a neighbour of x.

For the Ising model E(x) = xᵀ J x with x in {0, 1}ᵈ the neighbours differ in one bit. The papers derive the sum over x' outside the data,
where it is the derivative of KL(p⁽⁰⁾ ‖ p⁽ᵗ⁾) at t = 0; their code for Ising models sums over all flips, and so does this module. Where few
states are possible, almost all of them are data, nothing flows out of the data, and only the sum over all flips is still consistent.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from dpm_core.lab.flow.ising_estimators import FLOW, estimates
from dpm_core.lab.flow.ising_models import MOST_ENUMERATED, all_states, ising_energy, sample_ising

__all__ = ["MOST_ENUMERATED", "all_states", "fit_by_likelihood", "fit_by_pseudolikelihood", "fit_ising", "flip_differences"]
__all__ += ["ising_energy", "ising_objective", "sample_ising"]

BLOCK = 1 << 22  # elements at once
ITERATIONS = 1000  # of SciPy's L-BFGS, at most


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
    """Return the symmetric couplings J ``[d, d]``, float64, that minimise K on data x ``[n, d]`` of 0 and 1.

    By a quasi-Newton method (see flow/quasi_newton.py). ``seconds`` ends the search early; ``watch`` is shown J after every iteration.
    Raises ValueError for data that are not 0 and 1.
    """
    found = torch.zeros(0)
    for _, found in estimates(FLOW, x, math.inf if seconds is None else seconds):
        if watch is not None:
            watch(found)
    return found


def fit_by_likelihood(x: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
    """Return the symmetric J of largest likelihood, by listing all states and SciPy's L-BFGS. Raises ValueError for too many spins."""
    patterns, weights = _patterns(x)
    states = all_states(patterns.shape[1])
    moments = patterns.T @ (weights[:, None] * patterns)

    def value(J: Tensor) -> tuple[Tensor, Tensor]:
        energies = -ising_energy(J, states)
        p = torch.softmax(energies, 0)
        return (moments * J).sum() + torch.logsumexp(energies, 0), moments - states.T @ (p[:, None] * states)

    return _minimised(value, patterns.shape[1], watch)


def fit_by_pseudolikelihood(x: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
    """Return the symmetric J that maximises Σ_i log p(x_i | the other spins) (Besag 1975), by SciPy's L-BFGS."""
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


def _minimised(value: Callable[[Tensor], tuple[Tensor, Tensor]], d: int, watch: Callable[[Tensor], None] | None) -> Tensor:
    """The symmetric J, from 0, that minimises a loss given with its gradient."""
    rows, columns = np.tril_indices(d)

    def couplings(theta: np.ndarray) -> Tensor:
        J = np.zeros((d, d))
        J[rows, columns] = J[columns, rows] = theta
        return torch.from_numpy(J)

    def wrapped(theta: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = value(couplings(theta))
        return float(loss), np.where(rows == columns, 1.0, 2.0) * gradient.numpy()[rows, columns]  # a coupling stands in two places

    def seen(theta: np.ndarray) -> None:
        if watch is not None:
            watch(couplings(theta))

    options = {"maxiter": ITERATIONS, "maxcor": 20}
    return couplings(minimize(wrapped, np.zeros(len(rows)), jac=True, method="L-BFGS-B", callback=seen, options=options).x)


def _rows(J: Tensor) -> int:
    return max(1, BLOCK // len(J))


def _patterns(x: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of data of 0 and 1, float64 ``[m, d]``, and their shares ``[m]``."""
    x = torch.as_tensor(x)
    if x.ndim != 2 or not bool(((x == 0) | (x == 1)).all()):
        raise ValueError(f"Spins must be rows of 0 and 1, [n, d], not values of shape {tuple(x.shape)} that differ from these.")
    patterns, counts = torch.unique(x.to(torch.uint8), dim=0, return_counts=True)
    return patterns.double(), counts.double() / len(x)
