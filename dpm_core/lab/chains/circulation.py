"""Three states on a cycle: the same stationary distribution with detailed balance, and with a current that runs around.

The rates from state j to its neighbours are √(p_i/p_j), which satisfy detailed balance, plus φ/p_j forward and minus φ/p_j backward. The
current φ flows through every state alike, so p stays stationary. It can only speed the relaxation up: the real part of the slowest
eigenvalue grows from the smaller one of the reversible chain to the mean of both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.lab.flow import three_states

STATES = 3


def largest_current(p: Tensor) -> float:
    """Return the φ at which the first backward rate vanishes, for probabilities p ``[3]``. Raises ValueError unless all are positive."""
    _check(p)
    return float(torch.sqrt(p * p.roll(1)).min())


def rates(p: Tensor, current: float = 0.0) -> Tensor:
    """Return the rate matrix Q ``[3, 3]``, float64, of dp/dt = Q p: Q_ij from state j to state i, columns sum to 0.

    Raises ValueError for probabilities that are not positive and for a current at which a rate would be negative.
    """
    p = torch.as_tensor(p, dtype=torch.float64)
    if not 0 <= current <= largest_current(p) * (1 + 1e-12):
        raise ValueError(f"The current must lie between 0 and {largest_current(p):.4g}, not {current:.4g}.")
    Q = three_states.rates(-torch.log(p))
    for j in range(STATES):
        ahead, behind = (j + 1) % STATES, (j - 1) % STATES
        Q[ahead, j] += current / p[j]
        Q[behind, j] = (Q[behind, j] - current / p[j]).clamp(min=0)
    return Q


def spectral_gap(Q: Tensor) -> float:
    """Return the smallest −Re λ of the eigenvalues of Q other than 0: the rate at which the slowest deviation from p dies out."""
    real = torch.linalg.eigvals(Q).real.sort().values
    return float(-real[-2])


def evolved(Q: Tensor, start: Tensor, times: Tensor) -> Tensor:
    """Return exp(Q t) start for each time, float64 ``[F, n, 3]``, of distributions ``[n, 3]``."""
    maps = torch.linalg.matrix_exp(times.double()[:, None, None] * Q)
    return torch.einsum("fij,nj->fni", maps, start.double())


def _check(p: Tensor) -> None:
    if p.shape != (STATES,) or not bool((p > 0).all()):
        raise ValueError("Three positive probabilities are needed.")
