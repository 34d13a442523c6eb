"""The Gaussian forward process in closed form (Table App. 1 of the paper, left column)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Normal

from dpm_core.process.chain import LOG_SNR_LIMIT, Chain, expand
from dpm_core.schedules import Time


class GaussianDiffusion(Chain):
    """The Gaussian forward process: q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾) = N(√(1−β_t) x⁽ᵗ⁻¹⁾, β_t) and π = N(0, I) (Table App. 1 of the paper).

    ``x`` is ``[n, ...]``; ``t`` is an int or a LongTensor ``[n]`` in 1..T. Distributions are independent Normals over x's
    elements. No coefficient divides by α_t or ᾱ_t, so a schedule that ends at ᾱ_T = 0 needs no special case.
    """

    def q_step(self, x_prev: Tensor, t: Time) -> Normal:
        """q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾) = N(√(1−β_t) x⁽ᵗ⁻¹⁾, β_t)."""
        mean = expand(self.schedule.alpha(t).sqrt(), x_prev) * x_prev
        return _normal(mean, expand(self.schedule.beta(t), x_prev))

    def q_jump(self, x: Tensor, s: int, t: int) -> Normal:
        """q(x⁽ᵗ⁾|x⁽ˢ⁾) = N(√(ᾱ_t/ᾱ_s) x⁽ˢ⁾, 1−ᾱ_t/ᾱ_s) for s ≤ t."""
        log_alpha = self.schedule.log_alpha_bars[t] - self.schedule.log_alpha_bars[s]
        return _normal(expand((0.5 * log_alpha).exp(), x) * x, expand(-torch.expm1(log_alpha), x))

    def q_marginal(self, x0: Tensor, t: Time) -> Normal:
        """q(x⁽ᵗ⁾|x⁽⁰⁾) = N(√ᾱ_t x⁽⁰⁾, 1−ᾱ_t)."""
        mean = expand(self.schedule.alpha_bar(t).sqrt(), x0) * x0
        return _normal(mean, expand(self.schedule.noise(t), x0))

    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time, s: Time | None = None) -> Normal:
        """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) = N(c₀ x⁽⁰⁾ + c_t x⁽ᵗ⁾, β̃) for s < t; by default s = t−1."""
        c0, ct, variance = self.posterior_coefficients(t, s)
        return _normal(expand(c0, xt) * x0 + expand(ct, xt) * xt, expand(variance, xt))

    def posterior_coefficients(self, t: Time, s: Time | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return (c₀, c_t, β̃) with q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) = N(c₀ x⁽⁰⁾ + c_t x⁽ᵗ⁾, β̃), float64, shaped as t.

        c₀ = √ᾱ_s β/(1−ᾱ_t), c_t = √α (1−ᾱ_s)/(1−ᾱ_t), β̃ = β (1−ᾱ_s)/(1−ᾱ_t), where
        α = ᾱ_t/ᾱ_s and β = 1−α are those of the transition from s to t.
        """
        if s is None:
            c0, ct, variance = self._step_coefficients[:, t]
            return c0, ct, variance
        schedule = self.schedule
        log_alpha = schedule.log_alpha_bars[t] - schedule.log_alpha_bars[s]
        beta = -torch.expm1(log_alpha)
        noise_s, noise_t = schedule.noise(s), schedule.noise(t)
        c0 = schedule.alpha_bar(s).sqrt() * beta / noise_t
        return c0, (0.5 * log_alpha).exp() * noise_s / noise_t, beta * noise_s / noise_t

    @cached_property
    def _step_coefficients(self) -> Tensor:
        """Coefficients of the single steps t = 1..T, ``[3, T+1]`` (column 0 is unused), cached for training."""
        with torch.inference_mode(False):  # training needs ordinary tensors even if sampling filled the cache
            t = torch.arange(1, self.T + 1)
            return torch.nn.functional.pad(torch.stack(self.posterior_coefficients(t, t - 1)), (1, 0))

    def prior(self, shape: tuple[int, ...]) -> Normal:
        """π(x⁽ᵀ⁾) = N(0, I) for x of the given shape."""
        return _normal(torch.zeros(shape), torch.ones(shape))

    def reverse_step(self, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time, s: Time | None = None) -> Normal:
        """N(c₀ E[x⁽⁰⁾|x⁽ᵗ⁾] + c_t x⁽ᵗ⁾, β̃ + c₀² Var(x⁽⁰⁾|x⁽ᵗ⁾)): the diagonal Gaussian with the moments of x⁽ˢ⁾ given x⁽ᵗ⁾."""
        c0, ct, variance = (expand(c, xt) for c in self.posterior_coefficients(t, s))
        scale = (variance + c0.square() * x0_variance).sqrt()
        return Normal(c0 * x0_mean + ct * xt, scale, validate_args=False)

    def posterior_kl_nats(self, x0: Tensor, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time) -> Tensor:
        """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``, p being the ``reverse_step``; t ≥ 2.

        The two means differ by c₀ (x⁽⁰⁾ − x̂⁽⁰⁾) and the ratio of the variances is 1 + c₀² Var/β̃. Written in these terms the
        divergence loses no precision to cancellation where β is small.
        """
        c0, _, variance = self.posterior_coefficients(t)
        gain = expand(c0.square() / variance, x0)
        excess = gain * x0_variance  # f_Σ/β̃ − 1
        kl = 0.5 * (torch.log1p(excess) + (gain * (x0 - x0_mean).square() - excess) / (1 + excess))
        return kl.flatten(1).sum(1)

    def x0_posterior_from_network(self, xt: Tensor, t: Time, F: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return E[x⁽⁰⁾|x⁽ᵗ⁾] = √ᾱ_t x⁽ᵗ⁾ + √(1−ᾱ_t) F and Var(x⁽⁰⁾|x⁽ᵗ⁾) = (1−ᾱ_t) share.

        For N(0, I) data F = 0 and share = 1. The regression target of F has variance 1 at every t for data of variance 1, and both
        moments are finite at ᾱ_T = 0. f_Σ is β̃_t at share 0 and β_t at share 1. These bound its average (Eq. 24), not its value at
        one x⁽ᵗ⁾: where x⁽⁰⁾ has several possible places, share is above 1.
        """
        noise = expand(self.schedule.noise(t), xt)
        mean = expand(self.schedule.alpha_bar(t).sqrt(), xt) * xt + noise.sqrt() * F
        return mean, noise * share

    def combine(self, posteriors: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Weighted sums of the means, hence of predicted noise; of the variances only those with positive weights are averaged."""
        mean = sum((w * m for w, (m, _) in zip(weights, posteriors)), torch.zeros_like(posteriors[0][0]))
        total = sum(max(w, 0.0) for w in weights)
        variance = sum((max(w, 0.0) / total * v for w, (_, v) in zip(weights, posteriors)), torch.zeros_like(mean))
        return mean, variance

    def network_input(self, xt: Tensor) -> Tensor:
        """Return x⁽ᵗ⁾ unchanged: its variance is 1 at every t for data of variance 1."""
        return xt

    def marginal_entropy_nats(self, x0: Tensor, t: Time) -> Tensor:
        """Differential entropy of q(x⁽ᵗ⁾|x⁽⁰⁾) in nats, equal for every datum, float64 ``[n]``."""
        return torch.full((len(x0),), gaussian_entropy_nats(self.schedule.noise(t), x0[0].numel()), dtype=torch.float64)

    def prior_cost_nats(self, x0: Tensor) -> Tensor:
        """The terms of π in K: H(π) + ½ (ᾱ_T + 1 − ᾱ₁)(|x⁽⁰⁾|² − d) in nats for x⁽⁰⁾ of d dimensions, float64 ``[n]``.

        They are −E log π(x⁽ᵀ⁾) − log π(x⁽⁰⁾) + E log π(x⁽¹⁾), as the fixed first step is q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾). For data of variance
        1 their mean is H_p(X⁽ᵀ⁾), the term of Eq. 14. For other data K with H(π) alone would be no lower bound.
        """
        schedule, d = self.schedule, x0[0].numel()
        share = float(schedule.alpha_bar(self.T) + schedule.noise(1))
        squares = x0.detach().flatten(1).double().square().sum(1).cpu()
        return gaussian_entropy_nats(torch.ones(()), d) + 0.5 * share * (squares - d)

    def simple_loss(self, x0: Tensor, xt: Tensor, noise: Tensor, t: Time, x0_mean: Tensor, x0_variance: Tensor) -> Tensor:
        """The ε-loss of Ho et al. 2020 for the mean, ``[n]``; the variance is trained by the KL with the mean held fixed.

        This is the hybrid loss of Nichol & Dhariwal 2021, section 3.1, so that f_Σ is learned here too.
        """
        signal = expand(self.schedule.alpha_bar(t).sqrt(), xt)
        epsilon = (xt - signal * x0_mean) / expand(self.schedule.noise(t).sqrt(), xt)
        kl = self.posterior_kl_nats(x0, xt, x0_mean.detach(), x0_variance, t)
        return (epsilon - noise).square().flatten(1).mean(1) + 1e-3 * (self.T - 1) * kl / x0[0].numel()

    def flow_loss(self, x0: Tensor, xt: Tensor, t: Time, x0_mean: Tensor, x0_variance: Tensor) -> Tensor:
        """The squared error of the velocity ε − x⁽⁰⁾ of the straight path (Lipman et al. 2023), ``[n]``, per dimension.

        On the path (1−s) x⁽⁰⁾ + s ε the signal-to-noise ratio is (1−s)²/s², and an error of x̂⁽⁰⁾ is one of the velocity, divided by s:
        the weight of |x⁽⁰⁾ − x̂⁽⁰⁾|² is 1/s² = (1 + √SNR)². The variance is trained as in :meth:`simple_loss`.
        """
        weight = (1 + expand(self.schedule.snr(t).sqrt(), x0)).square()
        kl = self.posterior_kl_nats(x0, xt, x0_mean.detach(), x0_variance, t)
        return (weight * (x0 - x0_mean).square()).flatten(1).mean(1) + 1e-3 * (self.T - 1) * kl / x0[0].numel()

    def signal_removed_per_step(self) -> Tensor:
        """The decrease of log-SNR in each step t = 2..T, float64 ``[T−1]``."""
        log_snr = self.schedule.log_snr(torch.arange(1, self.T + 1)).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)
        return (log_snr[:-1] - log_snr[1:]).clamp(min=0)

    def start(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Return a sample x⁽ᵀ⁾ of N(0, I), on the generator's device."""
        return torch.randn(shape, generator=generator, device=generator.device if generator is not None else None)


def gaussian_entropy_nats(variance: Tensor, dimensions: int) -> float:
    """Return the differential entropy of N(·, variance · I) in nats; −∞ at variance 0."""
    return float(0.5 * dimensions * (math.log(2 * math.pi * math.e) + torch.log(variance)))


def _normal(mean: Tensor, variance: Tensor) -> Normal:
    return Normal(mean, variance.sqrt().expand_as(mean), validate_args=False)
