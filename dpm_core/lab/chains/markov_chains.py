"""Markov chains beside Hamiltonian Monte Carlo, and how fast chains forget where they were.

The Metropolis-adjusted Langevin algorithm is Hamiltonian Monte Carlo with one leapfrog step and a new momentum each time:
``hamiltonian.moves(..., leapfrog_steps=1, look_ahead=1, corruption=1)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.lab.hamiltonian import Energy, Move

GROUPS = 10  # of chains, whose spread gives standard errors
WINDOW = 5.0  # the sum of autocorrelations ends at this many integrated times (Sokal 1997)
TUNING, BURST = 12, 25  # rounds in which a step size is found, and steps of each


def random_walk(energy: Energy, x: Tensor, *, step_size: float, generator: torch.Generator | None = None) -> Iterator[Move]:
    """Yield steps of random-walk Metropolis from x ``[n, d]``: proposals x + step_size · N(0, I). One energy per step, no gradient.

    Raises ValueError unless ``step_size`` is positive.
    """
    if not step_size > 0:
        raise ValueError(f"The step size must be positive, not {step_size:g}.")
    x, value = x.detach().clone(), energy(x.detach())
    while True:
        proposal = x + step_size * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        new = energy(proposal)
        u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        accepted = u < (value - new).exp()
        x, value = torch.where(accepted[:, None], proposal, x), torch.where(accepted, new, value)
        yield Move(x, torch.zeros_like(x), accepted.long(), torch.ones(len(x), dtype=torch.long))


def tuned(chain: Callable[[float], Iterator[Move]], acceptance: float, step_size: float) -> float:
    """Return a step size at which ``chain(step_size)`` moves in about this share of steps, found in short runs from the same start."""
    factor = 2.0
    for _ in range(TUNING):
        moved = [(move.distance > 0).double().mean() for move in islice(chain(step_size), BURST)]
        step_size *= factor if float(torch.stack(moved).mean()) > acceptance else 1 / factor
        factor = 1 + 0.75 * (factor - 1)
    return step_size


class Run(NamedTuple):
    """States of chains ``[S, n, d]`` that are ``thinning`` steps apart, and means per chain and step: evaluations, moved, reversed."""

    states: Tensor
    thinning: int
    evaluations: float
    moved: float
    reversed: float


def run(chain: Iterator[Move], evaluations: float, keep: int = 1000) -> Run:
    """Follow a chain for about this many evaluations per chain, and record at most 2 ``keep`` of its states, even steps apart."""
    states: list[Tensor] = []
    thinning, steps, used, moved = 1, 0, 0.0, 0.0
    while used < evaluations:
        move = next(chain)
        steps, used = steps + 1, used + float(move.gradients.double().mean())
        moved += float((move.distance > 0).double().mean())
        if steps % thinning == 0:
            states.append(move.x)
        if len(states) == 2 * keep:
            states, thinning = states[1::2], 2 * thinning
    return Run(torch.stack(states), thinning, used / steps, moved / steps, 1 - moved / steps)


class Autocorrelation(NamedTuple):
    """Σ_i E[x_i(s) x_i(s+k)] / Σ_i E[x_i²] at each lag k, and its standard error, float64 ``[K]``."""

    values: Tensor
    errors: Tensor


def autocorrelation(states: Tensor, lags: Sequence[int], mean: Tensor | float = 0.0) -> Autocorrelation:
    """Return the autocorrelation of states ``[steps, n, d]`` of chains in equilibrium whose mean is known; errors from groups of chains.

    Raises ValueError for a lag that is not below the number of steps.
    """
    if max(lags) >= len(states):
        raise ValueError(f"A lag of {max(lags)} needs more than {len(states)} steps.")
    products = _products(states, lags, mean)
    power = _products(states, [0], mean)
    ratio = _leaving_one_out(products) / _leaving_one_out(power)
    return Autocorrelation(products.sum(1) / power.sum(1), _jackknife(ratio))


def _products(states: Tensor, lags: Sequence[int], mean: Tensor | float) -> Tensor:
    """Mean over steps of Σ x(s) x(s+k), summed over the chains of each group: float64 ``[K, G]``."""
    x = states.double() - mean
    count = min(GROUPS, x.shape[1])
    member = torch.nn.functional.one_hot(torch.arange(x.shape[1]) % count).double()
    return torch.stack([(x[: len(x) - k] * x[k:]).sum(2).mean(0) @ member for k in lags])


def _leaving_one_out(sums: Tensor) -> Tensor:
    return sums.sum(1, keepdim=True) - sums if sums.shape[1] > 1 else sums


def _jackknife(values: Tensor) -> Tensor:
    """Standard errors of values computed without one group each, ``[K, G]``; NaN for a single group."""
    G = values.shape[1]
    return (
        ((G - 1) / G * (values - values.mean(1, keepdim=True)).square().sum(1)).sqrt() if G > 1 else torch.full((len(values),), torch.nan)
    )


class EffectiveSamples(NamedTuple):
    """Independent samples that one evaluation is worth, its standard error, and the integrated autocorrelation time in steps.

    ``resolved``: whether the chains are long enough to see the autocorrelation end; otherwise the first is an upper limit.
    """

    per_evaluation: float
    error: float
    time: float
    resolved: bool


def effective_samples(states: Tensor, evaluations_per_step: float, mean: Tensor | float = 0.0) -> EffectiveSamples:
    """Return 1/(τ · evaluations) with τ = 1 + 2 Σ_k ρ(k), the sum ended after WINDOW τ steps; errors from groups of chains.

    ``states`` ``[steps, n, d]`` of chains in equilibrium.
    """
    products = _products(states, range(max(2, len(states) // 3)), mean)
    whole = _integrated(products.sum(1) / products[0].sum())
    window = min(len(products) - 1, int(WINDOW * whole))
    left_out = _leaving_one_out(products)
    times = 1 + 2 * (left_out[1 : window + 1] / left_out[0]).sum(0, keepdim=True)
    rate = 1 / (whole * evaluations_per_step)
    return EffectiveSamples(rate, rate * float(_jackknife(times)[0]) / whole, whole, window < len(products) - 1)


def _integrated(rho: Tensor) -> float:
    """τ of an autocorrelation ``[K]`` that begins with 1."""
    sums = 1 + 2 * rho[1:].cumsum(0)
    enough = torch.nonzero(torch.arange(1, len(rho)) >= WINDOW * sums)
    return max(float(sums[int(enough[0])] if len(enough) else sums[-1]), 1e-3)
