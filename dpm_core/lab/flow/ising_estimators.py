"""Estimators of an Ising model's couplings from its samples, each of which reports its estimate along the way, over seconds of work.

References: minimum probability flow (Sohl-Dickstein, Battaglino & DeWeese, PRL 107, 220601, 2011; ICML 2011), pseudolikelihood (Besag
1975), naive mean field (Kappen & Rodríguez 1998), TAP (Tanaka 1998; Roudi, Aurell & Hertz 2009), contrastive divergence (Hinton 2002).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.lab.flow import ising_objectives as objectives
from dpm_core.lab.flow.ising_models import to_bits
from dpm_core.lab.flow.ising_objectives import SpinData, read_spins
from dpm_core.lab.flow.quasi_newton import Stage, Step, Value, minimise, product_of_covariances, sum_of_rows

FINAL = 1e-10  # expected decrease of an objective at which a search ends
ROUGH = 1.0  # of what sampling moves an objective: where the connectivity is matched
FINE = 1e-3  # of the same: where single precision ends
SINGULAR = 1e-7  # smallest eigenvalue of a covariance that is inverted
BATCH, RATE, RATE_STEPS, AVERAGING = 1000, 0.5, 50, 3  # of contrastive divergence
CD_SECONDS = 1.0  # for which it runs unless told otherwise


class Estimate(NamedTuple):
    """``J`` ``[d, d]`` of E(x) = xᵀ J x after these ``seconds`` of work, the reading of the data included."""

    seconds: float
    J: Tensor


class Estimator(NamedTuple):
    """``short``: a title for narrow places. ``direct``: one estimate in closed form. ``states``: sums over all states, for few spins."""

    title: str
    short: str
    run: Callable[[Tensor, float, int], Iterator[Estimate]]
    direct: bool = False
    states: bool = False


def estimates(name: str, x: Tensor, seconds: float = math.inf, seed: int = 0) -> Iterator[Estimate]:
    """Yield the estimates of one of ESTIMATORS from data x ``[n, d]`` of 0 and 1; ``seconds`` ends a search early.

    Raises ValueError for a name that is not known, other data, too many spins, or a singular covariance.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"The estimator is {name!r}; choose one of {', '.join(ESTIMATORS)}.")
    return ESTIMATORS[name].run(x, seconds, seed)


def estimates_in_a_new_process(name: str, x: Tensor, seconds: float = math.inf, seed: int = 0) -> Iterator[Estimate]:
    """Yield the same, after a short run on few data: what a process loads at its first use is no time of the estimator's."""
    with suppress(ValueError):
        next(estimates(name, x[:64], 0.0, seed))
    yield from estimates(name, x, seconds, seed)


def as_bits(theta: Tensor) -> Tensor:
    """Return J for fields and couplings in one matrix."""
    fields = theta.diagonal()
    return to_bits(theta - torch.diag(fields), fields)


# ---- searches ----------------------------------------------------------------------------------------------------------------------


def _search(stages: Callable[[SpinData], list[Stage]], exact: bool = False) -> Callable[[Tensor, float, int], Iterator[Estimate]]:
    def run(x: Tensor, seconds: float, seed: int) -> Iterator[Estimate]:
        began = time.perf_counter()
        data = read_spins(x)
        solve = (product_of_covariances if exact else sum_of_rows)(data.covariance, data.mean)
        chosen = stages(data)
        for step in minimise(chosen, data.independent, solve, seconds, time.perf_counter() - began):
            yield _estimate(step)

    return run


def _estimate(step: Step) -> Estimate:
    return Estimate(step.seconds, as_bits(step.theta))


def sampling_error(data: SpinData) -> float:
    """About how much sampling moves the minimum of an objective with a unit weight: parameters / (2 n)."""
    d = len(data.mean)
    return d * (d + 1) / (4 * data.n)


def two_precisions(make: Callable[[torch.dtype], Value], data: SpinData) -> list[Stage]:
    """Single precision until close, then double."""
    single = max(FINE * sampling_error(data), 2e-6 * len(data.mean))
    return [Stage(lambda _: make(torch.float32), single), Stage(lambda _: make(torch.float64), FINAL)]


def flow_stages(data: SpinData) -> list[Stage]:
    """Minimum probability flow with all single flips."""
    return two_precisions(lambda dtype: objectives.flow(data, dtype=dtype), data)


def _outside_stages(data: SpinData) -> list[Stage]:
    g = (~objectives.flips_into_data(data)).double()
    return two_precisions(lambda dtype: objectives.flow(data, g, dtype=dtype), data)


def _all_flip_stages(data: SpinData) -> list[Stage]:
    return two_precisions(lambda dtype: objectives.flow(data, all_flip=True, dtype=dtype), data)


def matched_stages(data: SpinData) -> list[Stage]:
    """Minimum probability flow with g = 1, roughly, then with g = 1/cosh(½ [E(x) − E(x')]) at what that found.

    Any symmetric g keeps detailed balance, so the model stays where the flow ends. This one makes rare flips count less: at the pilot its
    gradient is that of the pseudolikelihood, and its Hessian has the same mean.
    """
    found = list[Tensor]()

    def make(theta: Tensor, dtype: torch.dtype) -> Value:
        if not found:
            found.append(objectives.matched_connectivity(theta, data))
        return objectives.flow(data, found[0], dtype=dtype)

    return [
        Stage(lambda _: objectives.flow(data, dtype=torch.float32), ROUGH * sampling_error(data)),
        Stage(lambda theta: make(theta, torch.float32), max(FINE * sampling_error(data), 2e-6 * len(data.mean))),
        Stage(lambda theta: make(theta, torch.float64), FINAL),
    ]


def _pseudo_stages(data: SpinData) -> list[Stage]:
    return two_precisions(lambda dtype: objectives.pseudolikelihood(data, dtype), data)


def _likelihood_stages(data: SpinData) -> list[Stage]:
    return [Stage(lambda _: objectives.likelihood(data), FINAL)]


# ---- closed forms ------------------------------------------------------------------------------------------------------------------


def mean_field(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return couplings −(C⁻¹)_ij and fields atanh m_i − Σ_j K_ij m_j of naive mean field theory (Kappen & Rodríguez 1998).

    Raises ValueError for a singular covariance.
    """
    inverse = _inverted(covariance)
    couplings = torch.diag(inverse.diagonal()) - inverse
    return couplings, torch.atanh(mean) - couplings @ mean


def tap(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return couplings that solve (C⁻¹)_ij = −K_ij − 2 K_ij² m_i m_j, the fields of the TAP equations, and for how many pairs none do.

    Of both solutions that which is −(C⁻¹)_ij for m = 0 (Tanaka 1998; Roudi, Aurell & Hertz 2009); where none is real, the real part.
    Fields: atanh m_i − Σ_j K_ij m_j + m_i Σ_j K_ij² (1 − m_j²). Raises ValueError for a singular covariance.
    """
    inverse = _inverted(covariance)
    inverse = inverse - torch.diag(inverse.diagonal())
    inside = 1 - 8 * (outer := torch.outer(mean, mean)) * inverse
    couplings = torch.where(inside < 0, -1 / (4 * outer), -2 * inverse / (1 + inside.clamp(min=0).sqrt()))
    fields = torch.atanh(mean) - couplings @ mean + mean * (couplings.square() @ (1 - mean.square()))
    return couplings, fields, int((inside < 0).sum()) // 2


def _inverted(covariance: Tensor) -> Tensor:
    smallest = float(torch.linalg.eigvalsh(covariance)[0])
    if not smallest > SINGULAR:
        raise ValueError(
            f"The covariance of the spins is singular (smallest eigenvalue {smallest:.1g}), so mean field theory cannot invert it: some "
            "spins never change, or always change together. Use more samples or a higher temperature."
        )
    return torch.linalg.inv(covariance)


def _direct(invert: Callable[[Tensor, Tensor], tuple]) -> Callable[[Tensor, float, int], Iterator[Estimate]]:
    def run(x: Tensor, seconds: float, seed: int) -> Iterator[Estimate]:
        began = time.perf_counter()
        s = 2 * objectives.checked_spins(x).double() - 1
        mean = s.mean(0)
        couplings, fields, *_ = invert(mean, s.T @ s / len(s) - torch.outer(mean, mean))
        J = to_bits(couplings, fields)
        yield Estimate(time.perf_counter() - began, J)

    return run


# ---- contrastive divergence --------------------------------------------------------------------------------------------------------


def up_field(theta: np.ndarray, s: np.ndarray, i: int) -> np.ndarray:
    """Return half the log-odds of s_i = 1 given the other spins, for states s ``[d, n]`` and θ ``[d, d]``: h_i + Σ_j K_ij s_j."""
    return theta[i] @ s - theta[i, i] * (s[i] - 1)


def sweep(theta: np.ndarray, s: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the states ``[d, n]`` after one sweep of Gibbs sampling, in the order of the spins."""
    s = s.copy()
    level = np.maximum(random.random(s.shape, np.float32), np.float32(1e-12))
    level = 0.5 * np.log(level / (1 - level))
    for i in range(len(s)):
        s[i] = np.where(level[i] < up_field(theta, s, i), np.float32(1), np.float32(-1))
    return s


def _contrastive(x: Tensor, seconds: float, seed: int) -> Iterator[Estimate]:
    """CD-1: θ moves by what data and their states after one sweep differ in, with a falling rate and averaging (Shamir & Zhang 2013)."""
    clock = time.perf_counter()
    random = np.random.default_rng(seed)
    s = np.ascontiguousarray((2 * objectives.checked_spins(x).float() - 1).numpy().T)
    n = s.shape[1]
    theta = np.diag(np.arctanh(np.clip(s.mean(1), -1 + 1 / n, 1 - 1 / n))).astype(np.float32)
    average, limit, shown = theta.copy(), seconds if math.isfinite(seconds) else CD_SECONDS, 0.0
    step = 0
    while True:
        now = time.perf_counter() - clock
        if now >= limit or now >= 1.1 * shown:  # a report for every tenth more of time
            shown = now
            yield Estimate(now, as_bits(torch.from_numpy(average.astype(np.float64))))
            clock = time.perf_counter() - now
        if now >= limit:
            return
        before = s[:, random.integers(0, n, min(BATCH, n))]
        after = sweep(theta, before, random)
        change = (before @ before.T - after @ after.T) / before.shape[1]
        np.fill_diagonal(change, (before - after).mean(1))
        theta += np.float32(RATE / (1 + step / RATE_STEPS) ** 0.7) * change
        step += 1
        average += np.float32((AVERAGING + 1) / (step + AVERAGING)) * (theta - average)


FLOW, PSEUDO, EXACT = "flow", "pseudolikelihood", "likelihood"
ESTIMATORS = {
    FLOW: Estimator("Minimum probability flow", "MPF", _search(flow_stages)),
    PSEUDO: Estimator("Pseudolikelihood", "Pseudolikelihood", _search(_pseudo_stages)),
    "contrastive": Estimator("Contrastive divergence, CD-1", "CD-1", _contrastive),
    "mean_field": Estimator("Naive mean field", "Mean field", _direct(mean_field), direct=True),
    "tap": Estimator("TAP", "TAP", _direct(tap), direct=True),
    EXACT: Estimator("Maximum likelihood, all states", "Likelihood", _search(_likelihood_stages, exact=True), states=True),
    "matched": Estimator("MPF, matched connectivity", "MPF, matched", _search(matched_stages)),
    "all_flip": Estimator("MPF with the all-bits flip", "MPF, all bits", _search(_all_flip_stages)),
    "outside": Estimator("MPF, neighbours outside the data", "MPF, outside", _search(_outside_stages)),
}
