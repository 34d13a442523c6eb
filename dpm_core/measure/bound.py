"""The lower bound K on the log-likelihood (ELBO, Eq. 14), term by term.

K = −Σ_{t=2}^{T} E_q[KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾))] + H_q(X⁽ᵀ⁾|X⁽⁰⁾) − H_q(X⁽¹⁾|X⁽⁰⁾) − H_p(X⁽ᵀ⁾)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dpm_core.process import Chain, GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.schedules import Time

NATS_PER_BIT = math.log(2)
LOCAL = 16  # pairs on each side, whose mean is the trend in t that is taken off before an error is computed
UNIFORM_SHARE = 0.2  # of the pairs of an estimate: their times are drawn uniformly, the others by importance


@dataclass(frozen=True)
class Bound:
    """K and its terms. ``kl_nats`` and ``kl_standard_error`` are ``[T−1]``, for t = 2..T; entropies are in nats."""

    kl_nats: Tensor
    kl_standard_error: Tensor
    h_start: float  # H_q(X⁽¹⁾|X⁽⁰⁾)
    h_end: float  # H_q(X⁽ᵀ⁾|X⁽⁰⁾)
    h_prior: float  # H_p(X⁽ᵀ⁾) for standardised data; in general the mean of the diffusion's prior_cost_nats
    null_nats: float  # L_null: mean log-likelihood of the data under π
    standard_error_nats: float  # of K, over data points (the terms of one datum are summed first)

    @property
    def bound_nats(self) -> float:
        """K in nats per datum."""
        return -float(self.kl_nats.sum()) + self.h_end - self.h_start - self.h_prior

    @property
    def bound_bits(self) -> float:
        """K in bits per datum."""
        return self.bound_nats / NATS_PER_BIT

    @property
    def null_bits(self) -> float:
        """The baseline L_null in bits per datum: log-likelihood of the data under the prior π."""
        return self.null_nats / NATS_PER_BIT

    @property
    def standard_error_bits(self) -> float:
        """Standard error of K in bits per datum."""
        return self.standard_error_nats / NATS_PER_BIT


def step_kl_nats(model: ReverseKernel, diffusion: Chain, x0: Tensor, xt: Tensor, t: Time) -> Tensor:
    """Return KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``; t ≥ 2 as an int or a LongTensor ``[n]``."""
    return diffusion.posterior_kl_nats(x0, xt, *model.x0_posterior(xt, t), t)


@torch.inference_mode()
def bound_terms(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return every KL term of Eq. 14 for every datum, in nats, ``[n, T−1]`` (t = 2..T); each x⁽ᵗ⁾ is drawn independently."""
    terms = []
    for t in range(2, diffusion.T + 1):
        xt = diffusion.q_sample(x0, t, generator)
        terms.append(step_kl_nats(model, diffusion, x0, xt, t))
    return torch.stack(terms, 1)


def evaluate_bound(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Bound:
    """Estimate K of the model on the data x0 ``[n, ...]`` by Monte Carlo over q, with standard errors."""
    terms = bound_terms(model, diffusion, x0, generator).cpu().double()
    n, root = len(x0), math.sqrt(len(x0))
    h_start, h_end, h_prior = _entropies(diffusion, x0)
    deviation = terms.std(0, unbiased=n > 1)
    return Bound(
        kl_nats=terms.mean(0),
        kl_standard_error=deviation / root,
        h_start=float(h_start.mean()),
        h_end=float(h_end.mean()),
        h_prior=float(h_prior.mean()),
        null_nats=_null_nats(diffusion, x0),
        standard_error_nats=float((terms.sum(1) - h_end + h_start + h_prior).std(unbiased=n > 1)) / root,
    )


def _entropies(diffusion: Chain, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """H_q(X⁽¹⁾|x⁽⁰⁾), H_q(X⁽ᵀ⁾|x⁽⁰⁾) and the prior term H_p(X⁽ᵀ⁾), in nats per datum."""
    start, end = (diffusion.marginal_entropy_nats(x0, t) for t in (1, diffusion.T))
    return start, end, diffusion.prior_cost_nats(x0)


def _null_nats(diffusion: Chain, x0: Tensor) -> float:
    """L_null: the mean log-likelihood of the data under π, in nats."""
    return float(diffusion.prior(tuple(x0.shape[1:])).log_prob(x0.cpu()).flatten(1).sum(1).mean())


@dataclass(frozen=True)
class BoundEstimate:
    """K estimated from a sample of (datum, time) pairs, for chains too long to evaluate at every time. Nats per datum.

    ``t`` and ``kl_nats`` ``[m]``: the time of each pair, in ascending order, and its KL term. ``weight`` ``[m]`` is the inverse of the
    probability of that time; the default T − 1 is that of uniformly drawn times. ``groups`` ``[m]`` numbers what is independent: pairs
    of one group, such as overlapping cuts of one picture, are not. ``ends`` ``[m]`` are the other terms of each datum, h_start − h_end +
    h_prior, which only the standard error uses.
    """

    t: Tensor
    kl_nats: Tensor
    T: int
    h_start: float  # H_q(X⁽¹⁾|X⁽⁰⁾)
    h_end: float  # H_q(X⁽ᵀ⁾|X⁽⁰⁾)
    h_prior: float  # H_p(X⁽ᵀ⁾)
    null_nats: float
    weight: Tensor | None = None
    groups: Tensor | None = None
    ends: Tensor | None = None

    @property
    def bound_bits(self) -> float:
        """K in bits per datum."""
        kl = float(self._weighted.mean())
        return (self.h_end - self.h_start - self.h_prior - kl) / NATS_PER_BIT

    @property
    def standard_error_bits(self) -> float:
        """Standard error of K in bits per datum.

        The times form an even grid in the quantiles of their distribution, so the variance is estimated from the differences between
        neighbours in t, not from the spread about the mean (successive differences, Wolter 2007, section 8.2). Where pairs form groups,
        the deviations from the local mean in t are summed over each group, and these sums are independent (Wolter, section 2.3).
        """
        m = len(self.kl_nats)
        if m < 2:
            return math.nan
        values = self._weighted if self.ends is None else self._weighted + self.ends
        if self.groups is not None:
            _, group = torch.unique(self.groups.cpu(), return_inverse=True)
            count = int(group.max()) + 1
            sums = torch.zeros(count, dtype=torch.float64).index_add(0, group, values - _local_mean(values))
            return math.sqrt(float(sums.square().sum()) * count / max(count - 1, 1)) / m / NATS_PER_BIT
        variance = 0.5 * float(values.diff().square().mean())
        return math.sqrt(variance / m) / NATS_PER_BIT

    @property
    def null_bits(self) -> float:
        """The baseline L_null in bits per datum: log-likelihood of the data under the prior π."""
        return self.null_nats / NATS_PER_BIT

    @property
    def _weighted(self) -> Tensor:
        """Each pair's estimate of the sum of all KL terms, ``[m]``."""
        return self.kl_nats * (self.T - 1 if self.weight is None else self.weight)

    def kl_per_time_nats(self) -> Tensor:
        """Return the mean KL term at each t = 2..T, ``[T−1]``, interpolated linearly at times without a pair."""
        sums = torch.zeros(self.T + 1, dtype=torch.float64).index_add(0, self.t, self.kl_nats.double())
        counts = torch.bincount(self.t, minlength=self.T + 1)
        present = counts.nonzero()[:, 0]
        values = np.interp(np.arange(2, self.T + 1), present.numpy(), (sums[present] / counts[present]).numpy())
        return torch.from_numpy(values)


@torch.inference_mode()
def estimate_bound(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    generator: torch.Generator | None = None,
    chunk: int = 256,
    groups: Tensor | None = None,
) -> BoundEstimate:
    """Estimate K from one time per datum of x0 ``[m, ...]``, with importance-sampled, stratified times in 2..T.

    80 % of the probability of a step is proportional to the log-SNR that it removes (for bits: to the signal that it removes),
    which roughly follows its KL term; the remaining 20 % is uniform. For a schedule linear in log-SNR all times are equally likely;
    the cosine schedule removes half of the log-SNR in a tenth of its steps. The estimate is unbiased, costs m model evaluations
    instead of m·(T−1), and its error falls as 1/√m. The generator lives on x0's device. ``groups`` ``[m]``: see BoundEstimate.
    """
    m = len(x0)
    device = generator.device if generator is not None else "cpu"
    offset = torch.rand((), generator=generator, device=device).cpu()
    probability = _probabilities(diffusion)
    levels = (offset.double() + torch.arange(m)) / m
    t = 2 + torch.searchsorted(probability.cumsum(0), levels, right=True).clamp(max=diffusion.T - 2)
    terms = []
    for part, times in zip(x0.split(chunk), t.split(chunk)):
        terms.append(step_kl_nats(model, diffusion, part, diffusion.q_sample(part, times, generator), times))
    h_start, h_end, h_prior = _entropies(diffusion, x0)
    null = _null_nats(diffusion, x0)
    weight = 1 / probability[t - 2]
    start, end, prior = (float(h.mean()) for h in (h_start, h_end, h_prior))
    ends = (h_start - h_end + h_prior).cpu()
    return BoundEstimate(t, torch.cat(terms).cpu().double(), diffusion.T, start, end, prior, null, weight, groups, ends)


def _local_mean(values: Tensor) -> Tensor:
    """The mean of each value and its neighbours, ``LOCAL`` on each side or as many as there are, ``[m]``."""
    total = torch.cat([torch.zeros(1, dtype=values.dtype), values.cumsum(0)])
    at = torch.arange(len(values))
    low, high = (at - LOCAL).clamp(min=0), (at + LOCAL + 1).clamp(max=len(values))
    return (total[high] - total[low]) / (high - low)


def _probabilities(diffusion: Chain) -> Tensor:
    """The probability of each t = 2..T, float64 ``[T−1]``."""
    lost = diffusion.signal_removed_per_step()
    return (1 - UNIFORM_SHARE) * lost / lost.sum() + UNIFORM_SHARE / len(lost)


def entropy_bounds(diffusion: GaussianDiffusion, dimensions: int) -> tuple[Tensor, Tensor]:
    """Return the lower and upper bound on H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) in nats for t = 2..T, each ``[T−1]`` (Eq. 24, App. A).

    The upper bound holds for data of at most unit variance, because it requires H_q(X⁽ᵗ⁾) ≥ H_q(X⁽ᵗ⁻¹⁾).
    """
    schedule = diffusion.schedule
    t = torch.arange(2, diffusion.T + 1)
    constant = 0.5 * dimensions * math.log(2 * math.pi * math.e)
    upper = constant + 0.5 * dimensions * schedule.beta(t).log()
    lower = upper + 0.5 * dimensions * (schedule.noise(t - 1).log() - schedule.noise(t).log())
    return lower, upper
