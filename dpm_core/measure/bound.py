"""The bound K on the log likelihood (Eq. 14), term by term.

K = −Σ_{t=2}^{T} E_q[KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾))] + H_q(X⁽ᵀ⁾|X⁽⁰⁾) − H_q(X⁽¹⁾|X⁽⁰⁾) − H_p(X⁽ᵀ⁾)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dpm_core.process import BinomialDiffusion, Chain, GaussianDiffusion
from dpm_core.reverse import LOG_SNR_LIMIT, ReverseKernel
from dpm_core.schedules import Time

NATS_PER_BIT = math.log(2)
EVENLY = 0.2  # share of an estimate's pairs whose times are all alike


@dataclass(frozen=True)
class Bound:
    """K and its parts. ``kl_nats`` and ``kl_standard_error`` are ``[T−1]``, for t = 2..T; entropies in nats."""

    kl_nats: Tensor
    kl_standard_error: Tensor
    h_start: float  # H_q(X⁽¹⁾|X⁽⁰⁾)
    h_end: float  # H_q(X⁽ᵀ⁾|X⁽⁰⁾)
    h_prior: float  # H_p(X⁽ᵀ⁾); of bits whose activity is not that of the noise: the cross entropy that keeps K a bound
    null_nats: float  # L_null: mean log likelihood of the data under π
    standard_error_nats: float  # of K, over data points (each carries all its terms)

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
        """L_null in bits per datum."""
        return self.null_nats / NATS_PER_BIT

    @property
    def standard_error_bits(self) -> float:
        """Standard error of K in bits per datum."""
        return self.standard_error_nats / NATS_PER_BIT


def step_kl_nats(model: ReverseKernel, diffusion: Chain, x0: Tensor, xt: Tensor, t: Time) -> Tensor:
    """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``; t ≥ 2 as int or LongTensor ``[n]``."""
    return diffusion.posterior_kl_nats(x0, xt, *model.x0_posterior(xt, t), t)


@torch.inference_mode()
def bound_terms(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Every KL term of Eq. 14 for every datum, in nats, ``[n, T−1]`` (t = 2..T); x⁽ᵗ⁾ drawn afresh for each t."""
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
    """K of the model on the data x0 ``[n, ...]`` by Monte Carlo over q, with standard errors."""
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
    """H_q(X⁽¹⁾|x⁽⁰⁾), H_q(X⁽ᵀ⁾|x⁽⁰⁾) and what the prior costs, H_p(X⁽ᵀ⁾), in nats per datum."""
    start, end = (diffusion.marginal_entropy_nats(x0, t) for t in (1, diffusion.T))
    return start, end, diffusion.prior_cost_nats(x0)


def _null_nats(diffusion: Chain, x0: Tensor) -> float:
    """L_null: the mean log likelihood of the data under π."""
    return float(diffusion.prior(tuple(x0.shape[1:])).log_prob(x0.cpu()).flatten(1).sum(1).mean())


@dataclass(frozen=True)
class BoundEstimate:
    """K from some pairs of a datum and a time, for chains too long to visit whole. Nats per datum.

    ``t`` and ``kl_nats`` ``[m]``: the time of each pair, rising, and its KL term; ``weight`` ``[m]`` is one over the
    probability of that time, T − 1 where all are alike (unless given).
    """

    t: Tensor
    kl_nats: Tensor
    T: int
    h_start: float  # H_q(X⁽¹⁾|X⁽⁰⁾)
    h_end: float  # H_q(X⁽ᵀ⁾|X⁽⁰⁾)
    h_prior: float  # H_p(X⁽ᵀ⁾)
    null_nats: float
    weight: Tensor | None = None

    @property
    def bound_bits(self) -> float:
        """K in bits per datum."""
        kl = float(self._weighted.mean())
        return (self.h_end - self.h_start - self.h_prior - kl) / NATS_PER_BIT

    @property
    def standard_error_bits(self) -> float:
        """Standard error of K in bits per datum.

        The times are an even grid of their distribution, so the spread about neighbours in t, not about the mean, is what remains
        (successive differences, Wolter 2007, section 8.2).
        """
        m = len(self.kl_nats)
        if m < 2:
            return math.nan
        variance = 0.5 * float(self._weighted.diff().square().mean())
        return math.sqrt(variance / m) / NATS_PER_BIT

    @property
    def null_bits(self) -> float:
        """L_null in bits per datum."""
        return self.null_nats / NATS_PER_BIT

    @property
    def _weighted(self) -> Tensor:
        """Each pair's estimate of the sum of all KL terms, ``[m]``."""
        return self.kl_nats * (self.T - 1 if self.weight is None else self.weight)

    def kl_per_time_nats(self) -> Tensor:
        """The mean KL term at each t = 2..T, ``[T−1]``, linear in between where no pair had this t."""
        sums = torch.zeros(self.T + 1, dtype=torch.float64).index_add(0, self.t, self.kl_nats.double())
        counts = torch.bincount(self.t, minlength=self.T + 1)
        seen = counts.nonzero()[:, 0]
        values = np.interp(np.arange(2, self.T + 1), seen.numpy(), (sums[seen] / counts[seen]).numpy())
        return torch.from_numpy(values)


@torch.inference_mode()
def estimate_bound(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    generator: torch.Generator | None = None,
    chunk: int = 256,
) -> BoundEstimate:
    """K from one time per datum of x0 ``[m, ...]``, the times spread evenly over what is lost in 2..T.

    A step is as likely as the log-SNR it takes away, which is roughly as its KL, with a fifth of the pairs spread over all
    steps alike: for a linear log-SNR all are alike anyway, the cosine schedule loses half of it in a tenth of its steps.
    Unbiased, at m model calls instead of m·(T−1); the error falls as 1/√m. The generator lives on x0's device.
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
    return BoundEstimate(
        t, torch.cat(terms).cpu().double(), diffusion.T, float(h_start.mean()), float(h_end.mean()), float(h_prior.mean()), null, weight
    )


def _probabilities(diffusion: Chain) -> Tensor:
    """How likely each of t = 2..T is to be looked at, float64 ``[T−1]``; a KL of bits follows the share drawn anew."""
    log_snr = diffusion.schedule.log_snr(torch.arange(1, diffusion.T + 1)).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)
    lost = (log_snr[:-1] - log_snr[1:]).clamp(min=0)
    if isinstance(diffusion, BinomialDiffusion):
        kept = diffusion.schedule.alpha_bar(torch.arange(1, diffusion.T + 1))
        lost = kept[:-1] - kept[1:]
    return (1 - EVENLY) * lost / lost.sum() + EVENLY / len(lost)


def entropy_bounds(diffusion: GaussianDiffusion, dimensions: int) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) in nats for t = 2..T, each ``[T−1]`` (Eq. 24, App. A).

    The upper bound holds for data of at most unit variance, as it needs H_q(X⁽ᵗ⁾) ≥ H_q(X⁽ᵗ⁻¹⁾).
    """
    schedule = diffusion.schedule
    t = torch.arange(2, diffusion.T + 1)
    constant = 0.5 * dimensions * math.log(2 * math.pi * math.e)
    upper = constant + 0.5 * dimensions * schedule.beta(t).log()
    lower = upper + 0.5 * dimensions * (schedule.noise(t - 1).log() - schedule.noise(t).log())
    return lower, upper
