"""The forward process q in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from dpm_core.schedules import Schedule, Time


class Step(NamedTuple):
    """One instant of a trajectory: the time t and the state x ``[n, ...]``."""

    t: int
    x: Tensor


def expand(table_value: Tensor, x: Tensor) -> Tensor:
    """Cast a per-t coefficient (scalar or ``[n]``) to x's type and shape it to multiply x ``[n, ...]``."""
    value = table_value.to(x)
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - 1))


def randn_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal noise of x's shape, type and device from the given generator."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


class GaussianDiffusion:
    """All that is known of the Gaussian q in closed form (Table App. 1 of the paper).

    ``x`` is ``[n, ...]``; ``t`` is an int or a LongTensor ``[n]`` in 1..T. Distributions are
    independent Normals over x's elements. The coefficients never divide by α_t or ᾱ_t, so a schedule
    that ends at ᾱ_T = 0 exactly is no special case.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule

    @property
    def T(self) -> int:
        """Number of steps."""
        return self.schedule.T

    def q_step(self, x_prev: Tensor, t: Time) -> Normal:
        """q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾) = N(√(1−β_t) x⁽ᵗ⁻¹⁾, β_t)."""
        mean = expand(self.schedule.alpha(t).sqrt(), x_prev) * x_prev
        return _normal(mean, expand(self.schedule.beta(t), x_prev))

    def q_jump(self, x: Tensor, s: int, t: int) -> Normal:
        """q(x⁽ᵗ⁾|x⁽ˢ⁾) = N(√(ᾱ_t/ᾱ_s) x⁽ˢ⁾, 1−ᾱ_t/ᾱ_s) for s ≤ t: all the steps between at once."""
        log_alpha = self.schedule.log_alpha_bars[t] - self.schedule.log_alpha_bars[s]
        return _normal(expand((0.5 * log_alpha).exp(), x) * x, expand(-torch.expm1(log_alpha), x))

    def q_marginal(self, x0: Tensor, t: Time) -> Normal:
        """q(x⁽ᵗ⁾|x⁽⁰⁾) = N(√ᾱ_t x⁽⁰⁾, 1−ᾱ_t)."""
        mean = expand(self.schedule.alpha_bar(t).sqrt(), x0) * x0
        return _normal(mean, expand(self.schedule.noise(t), x0))

    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time, s: Time | None = None) -> Normal:
        """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) for s < t; s = t−1 unless given."""
        c0, ct, variance = self.posterior_coefficients(t, s)
        return _normal(expand(c0, xt) * x0 + expand(ct, xt) * xt, expand(variance, xt))

    def posterior_coefficients(self, t: Time, s: Time | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(c₀, c_t, β̃) with q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) = N(c₀ x⁽⁰⁾ + c_t x⁽ᵗ⁾, β̃), float64, shaped as t.

        c₀ = √ᾱ_s β/(1−ᾱ_t), c_t = √α (1−ᾱ_s)/(1−ᾱ_t), β̃ = β (1−ᾱ_s)/(1−ᾱ_t), where
        α = ᾱ_t/ᾱ_s and β = 1−α belong to the jump from s to t.
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
        """Coefficients of the single steps t = 1..T, ``[3, T+1]`` (column 0 unused): training looks them up."""
        with torch.inference_mode(False):  # first asked for while sampling or not, training may follow
            t = torch.arange(1, self.T + 1)
            return torch.nn.functional.pad(torch.stack(self.posterior_coefficients(t, t - 1)), (1, 0))

    def q_sample(self, x0: Tensor, t: Time, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x⁽ᵗ⁾ given x⁽⁰⁾, shaped as x0."""
        q = self.q_marginal(x0, t)
        return q.mean + q.stddev * randn_like(x0, generator)

    def prior(self, shape: tuple[int, ...]) -> Normal:
        """π(x⁽ᵀ⁾) = N(0, I) of the given shape."""
        return _normal(torch.zeros(shape), torch.ones(shape))

    def forward_steps(self, x0: Tensor, generator: torch.Generator | None = None) -> Iterator[Step]:
        """The Markov chain itself, t = 0, 1, …, T, one state in memory at a time."""
        x = x0
        yield Step(0, x)
        for t in range(1, self.T + 1):
            q = self.q_step(x, t)
            x = q.mean + q.stddev * randn_like(x, generator)
            yield Step(t, x)

    def forward_trajectory(self, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Every state of one run of the chain, ``[T+1, *x0.shape]``."""
        return torch.stack([x for _, x in self.forward_steps(x0, generator)])


def gaussian_entropy_nats(variance: Tensor, dimensions: int) -> float:
    """Differential entropy of N(·, variance · I) in nats; −∞ at variance 0."""
    return float(0.5 * dimensions * (math.log(2 * math.pi * math.e) + torch.log(variance)))


def _normal(mean: Tensor, variance: Tensor) -> Normal:
    return Normal(mean, variance.sqrt().expand_as(mean), validate_args=False)
