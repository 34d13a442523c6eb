"""Estimates of the log-likelihood to compare with the bound: Jarzynski's equality and Parzen windows; and Crooks' theorem.

K is the mean of log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) over trajectories of q. The logarithm of the mean of the ratio itself is log p(x⁽⁰⁾)
(Eq. 9): this is Jarzynski's equality, with work W = −log of the ratio. All values are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import Chain, draw
from dpm_core.reverse import ReverseKernel

BLOCK_STATES = 1 << 15  # states processed at once
PARZEN_BLOCK = 1 << 24  # distances computed at once


@dataclass(frozen=True)
class Jarzynski:
    """Importance weights. ``log_weights`` ``[n, N]``: log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) of N trajectories per datum, float64, nats."""

    log_weights: Tensor

    @property
    def log_prob(self) -> Tensor:
        """The estimate of log p(x⁽⁰⁾), ``[n]``: log mean exp of the weights; a lower bound on average, consistent as N → ∞."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])

    @property
    def elbo(self) -> Tensor:
        """The mean log weight, ``[n]``: the ELBO of each datum under the chain whose weights these are.

        For a network its mean over data is K. An exact kernel has its own step t = 1 here, which in K is fixed (App. B.2), so this lies
        above its K by what the fixed first step costs (:attr:`dpm_core.measure.budget.Budget.first_step`).
        """
        return self.log_weights.mean(1)

    @property
    def effective_samples(self) -> Tensor:
        """The effective sample size (Σ w)²/Σ w², ``[n]``, of N trajectories."""
        return torch.exp(2 * self.log_weights.logsumexp(1) - (2 * self.log_weights).logsumexp(1))

    @property
    def standard_error(self) -> Tensor:
        """Standard error of ``log_prob`` by the delta method, ``[n]``; NaN for N = 1.

        It is too small where the effective sample size is small.
        """
        N = self.log_weights.shape[1]
        if N < 2:
            return torch.full((len(self.log_weights),), math.nan, dtype=torch.float64)
        return ((1 / self.effective_samples - 1 / N).clamp(min=0) * N / (N - 1)).sqrt()

    @property
    def elbo_error(self) -> Tensor:
        """Standard error of ``elbo`` over the trajectories, ``[n]``; NaN for N = 1."""
        return self.log_weights.std(1) / math.sqrt(self.log_weights.shape[1])

    def after(self, N: int) -> Jarzynski:
        """Return the weights of the first N trajectories alone."""
        return Jarzynski(self.log_weights[:, :N])

    def curve(self) -> list[dict[str, float]]:
        """Return the first datum's estimate after 1, 2, 5, 10, … and N trajectories, with one standard error: rows of a chart.

        Rows without a finite estimate are left out.
        """
        rows, N = [], self.log_weights.shape[1]
        for count in sorted({digit * 10**power for power in range(len(str(N))) for digit in (1, 2, 5)} | {N}):
            if count > N:
                break
            part = self.after(count)
            value, error = float(part.log_prob[0]), float(part.standard_error[0])
            error = error if math.isfinite(error) else 0.0
            rows.append({"N": count, "value": value, "low": value - error, "high": value + error})
        return [row for row in rows if math.isfinite(row["value"])]


@torch.inference_mode()
def jarzynski(model: ReverseKernel, diffusion: Chain, x0: Tensor, trajectories: int, generator: torch.Generator | None = None) -> Jarzynski:
    """Return the weights of ``trajectories`` forward trajectories from each of x0 ``[n, ...]`` (Eq. 9).

    Memory does not grow with T, n or N, as trajectories are processed in blocks. Model calls: T for every BLOCK_STATES of n·N.
    Raises ValueError for fewer than one trajectory.
    """
    if trajectories < 1:
        raise ValueError(f"At least one trajectory is needed, not {trajectories}.")
    n = len(x0)
    rows = torch.arange(n).repeat_interleave(trajectories)
    parts = [_log_weights(model, diffusion, x0[part], generator) for part in rows.split(BLOCK_STATES)]
    return Jarzynski(torch.cat(parts).view(n, trajectories))


def jarzynski_log_prob(
    model: ReverseKernel, diffusion: Chain, x0: Tensor, trajectories: int, generator: torch.Generator | None = None
) -> Tensor:
    """Return the estimate of log p(x⁽⁰⁾) in nats, float64 ``[n]``; see :func:`jarzynski`."""
    return jarzynski(model, diffusion, x0, trajectories, generator).log_prob


def _log_weights(model: ReverseKernel, diffusion: Chain, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) of one trajectory from each x ``[m, ...]``, float64 ``[m]``."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for t in range(1, diffusion.T + 1):
        q = diffusion.q_step(x, t)
        later = draw(q, generator)
        total += sum_per_datum(model.reverse(later, t).log_prob(x)) - sum_per_datum(q.log_prob(later))
        x = later
    return total + sum_per_datum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))


@torch.inference_mode()
def forward_and_backward_work(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    log_q: Tensor,
    other_log_q,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the work W = log q(x⁽⁰··ᵀ⁾)/p(x⁽⁰··ᵀ⁾) over forward and over reverse trajectories, float64 ``[n]`` each (Crooks 1999).

    ``log_q`` ``[n]`` is the log density of the data at x0; the function ``other_log_q`` evaluates it elsewhere. Both path measures are
    normalised, so the free energies are equal and the two histograms cross at W = 0: P_q(W)/P_p(W) = eᵂ.
    """
    forward = log_q.double() - _log_weights(model, diffusion, x0, generator)
    x = diffusion.start(tuple(x0.shape), generator).to(x0.dtype)
    total = -sum_per_datum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))
    for t in range(diffusion.T, 0, -1):
        p = model.reverse(x, t)
        earlier = draw(p, generator)
        total += sum_per_datum(diffusion.q_step(earlier, t).log_prob(x)) - sum_per_datum(p.log_prob(earlier))
        x = earlier
    return forward, total + other_log_q(x).double()


def bennett_free_energy(forward: Tensor, backward: Tensor) -> tuple[float, float]:
    """Return the free-energy difference at which the two histograms of work cross, and its standard error, in nats.

    Bennett's acceptance ratio: the root F of Σ_forward 1/(1 + e^(W−F)) = Σ_backward 1/(1 + e^(F−W)), for equal sample sizes.
    """
    n = min(len(forward), len(backward))
    forward, backward = forward[:n].double(), backward[:n].double()
    low = float(torch.minimum(forward.min(), backward.min())) - 1
    high = float(torch.maximum(forward.max(), backward.max())) + 1
    for _ in range(100):
        middle = (low + high) / 2
        if float(torch.sigmoid(middle - forward).mean() - torch.sigmoid(backward - middle).mean()) < 0:
            low = middle
        else:
            high = middle
    a, b = torch.sigmoid(low - forward), torch.sigmoid(backward - low)
    # Bennett 1976, Eq. 10: the variance of each mean, relative to the overlap
    spread = float(a.var() / a.mean().square() + b.var() / b.mean().square()) / n
    return low, math.sqrt(spread)


@dataclass(frozen=True)
class Parzen:
    """A Parzen-window estimate: ``log_prob`` ``[n]`` in nats per datum, for Gaussian windows of standard deviation ``bandwidth``."""

    log_prob: Tensor
    bandwidth: float

    @property
    def nats(self) -> tuple[float, float]:
        """Mean log-likelihood and its standard error over the data, in nats."""
        spread = float(self.log_prob.std(unbiased=len(self.log_prob) > 1))
        return float(self.log_prob.mean()), spread / math.sqrt(len(self.log_prob))

    @property
    def bits(self) -> tuple[float, float]:
        """Mean log-likelihood and its standard error over the data, in bits."""
        mean, error = self.nats
        return mean / NATS_PER_BIT, error / NATS_PER_BIT


def parzen_log_prob(samples: Tensor, x: Tensor, bandwidth: float) -> Tensor:
    """Return the log of the mean of Gaussian windows N(x; sample, bandwidth²) over ``samples`` ``[N, ...]``, in nats, float64 ``[n]``."""
    if not bandwidth > 0:
        raise ValueError(f"The bandwidth must be positive, not {bandwidth}.")
    centres, points = samples.flatten(1).float(), x.flatten(1).float()
    half = 0.5 * centres.square().sum(1)
    out = []
    for part in points.split(max(1, PARZEN_BLOCK // len(centres))):
        # −|x − s|²/2 from one matrix product, without forming the differences
        logits = (part @ centres.T - half - 0.5 * part.square().sum(1, keepdim=True)).double() / bandwidth**2
        out.append(logits.logsumexp(1))
    dims = centres.shape[1]
    return torch.cat(out) - math.log(len(centres)) - 0.5 * dims * math.log(2 * math.pi * bandwidth**2)


def parzen(samples: Tensor, validation: Tensor, test: Tensor, bandwidths: Tensor | None = None) -> Parzen:
    """Return the Parzen-window estimate of ``test`` with the bandwidth that maximises the likelihood of ``validation``.

    (Breuleux et al. 2011.) Default bandwidths: 40 from 0.05 to 1, evenly spaced in their logarithm. Raises ValueError if there are none.
    """
    if bandwidths is None:
        bandwidths = torch.logspace(math.log10(0.05), 0, 40, dtype=torch.float64)
    if len(bandwidths) == 0:
        raise ValueError("At least one bandwidth is needed; the list is empty.")
    scores = [float(parzen_log_prob(samples, validation, float(b)).mean()) for b in bandwidths]
    best = float(bandwidths[max(range(len(scores)), key=scores.__getitem__)])
    return Parzen(parzen_log_prob(samples, test, best), best)


def sum_per_datum(values: Tensor) -> Tensor:
    """Return the sum over all elements of each datum, float64 ``[n]``."""
    return values.flatten(1).double().sum(1)
