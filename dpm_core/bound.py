"""The bound K on the log likelihood (Eq. 14), term by term.

K = −Σ_{t=2}^{T} E_q[KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾))] + H_q(X⁽ᵀ⁾|X⁽⁰⁾) − H_q(X⁽¹⁾|X⁽⁰⁾) − H_p(X⁽ᵀ⁾)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dpm_core.diffusion import GaussianDiffusion, expand, gaussian_entropy_nats
from dpm_core.reverse import ReverseKernel
from dpm_core.schedules import Time

NATS_PER_BIT = math.log(2)


@dataclass(frozen=True)
class Bound:
    """K and its parts. ``kl_nats`` and ``kl_standard_error`` are ``[T−1]``, for t = 2..T; entropies in nats."""

    kl_nats: Tensor
    kl_standard_error: Tensor
    h_start: float  # H_q(X⁽¹⁾|X⁽⁰⁾)
    h_end: float  # H_q(X⁽ᵀ⁾|X⁽⁰⁾)
    h_prior: float  # H_p(X⁽ᵀ⁾)
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


def step_kl_nats(model: ReverseKernel, diffusion: GaussianDiffusion, x0: Tensor, xt: Tensor, t: Time) -> Tensor:
    """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``; t ≥ 2 as int or LongTensor ``[n]``."""
    return moments_kl_nats(diffusion, x0, *model.x0_moments(xt, t), t)


def moments_kl_nats(diffusion: GaussianDiffusion, x0: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time) -> Tensor:
    """The same, for a kernel given by its mean and variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as x0.

    The two means differ by c₀ (x⁽⁰⁾ − x̂⁽⁰⁾) and the variances' ratio is 1 + c₀² Var/β̃, so nothing
    cancels where β is small.
    """
    c0, _, variance = diffusion.posterior_coefficients(t)
    gain = expand(c0.square() / variance, x0)
    excess = gain * x0_variance  # f_Σ/β̃ − 1
    kl = 0.5 * (torch.log1p(excess) + (gain * (x0 - x0_mean).square() - excess) / (1 + excess))
    return kl.flatten(1).sum(1)


@torch.inference_mode()
def bound_terms(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
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
    diffusion: GaussianDiffusion,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Bound:
    """K of the model on the data x0 ``[n, ...]`` by Monte Carlo over q, with standard errors."""
    terms = bound_terms(model, diffusion, x0, generator).cpu().double()
    n, dims = len(x0), x0[0].numel()
    schedule = diffusion.schedule
    prior = diffusion.prior(tuple(x0.shape[1:]))
    root = math.sqrt(n)
    deviation = terms.std(0, unbiased=n > 1)
    return Bound(
        kl_nats=terms.mean(0),
        kl_standard_error=deviation / root,
        h_start=gaussian_entropy_nats(schedule.noise(1), dims),
        h_end=gaussian_entropy_nats(schedule.noise(diffusion.T), dims),
        h_prior=gaussian_entropy_nats(torch.ones(()), dims),
        null_nats=float(prior.log_prob(x0.cpu()).flatten(1).sum(1).mean()),
        standard_error_nats=float(terms.sum(1).std(unbiased=n > 1)) / root,
    )


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
