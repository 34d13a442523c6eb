"""The stochastic differential equation of the diffusion, and the family of equations that reverse it.

In the clock τ_t = −log ᾱ_t every schedule becomes the same process, the Ornstein-Uhlenbeck process

    dx = −½ x dτ + dw,

and a schedule only says how densely τ is divided into steps. Backwards in τ, for every noise level κ ≥ 0,

    dx = [½ x + ½ (1 + κ²) ∇ log q(x)] dτ + κ dw

has the same distribution of x at every τ (Anderson 1982; Song et al. 2021): κ = 0 is the probability-flow ODE, κ = 1 the time reversal of
the forward process, and more noise than that is removed again by a stronger drift.

Times are those of a table with many steps, so that every kernel of this program is used unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion, expand
from dpm_core.reverse import ReverseKernel
from dpm_core.schedules import Schedule, Time

FINE = 4096  # steps of the table that stands for the limit
LEAST_SIGNAL = 1e-4  # ᾱ at which the equations start: before, nothing but noise is left, and some schedules reach τ = ∞


def clock(schedule: Schedule, t: Time) -> Tensor:
    """Return τ_t = −log ᾱ_t, float64 shaped as t: 0 at t = 0, ∞ where no signal is left."""
    return -schedule.log_alpha_bars[t]


def fine_grid(diffusion: GaussianDiffusion) -> list[int]:
    """Return the times of the table from the last with ᾱ ≥ LEAST_SIGNAL down to 1, where the equations end."""
    alive = torch.nonzero(diffusion.schedule.alpha_bar(torch.arange(diffusion.T + 1)) >= LEAST_SIGNAL)
    return list(range(int(alive.max()), 0, -1))


def time_grid(diffusion: GaussianDiffusion, steps: int) -> list[int]:
    """Return ``steps`` + 1 of these times, as evenly spaced as integers allow, first and last included.

    Raises ValueError for less than one step and for more than there are.
    """
    fine = fine_grid(diffusion)
    if not 1 <= steps < len(fine):
        raise ValueError(f"The number of steps must lie between 1 and {len(fine) - 1}, not {steps}.")
    return [fine[round(i * (len(fine) - 1) / steps)] for i in range(steps + 1)]


class Field:
    """What a model says about x⁽ᵗ⁾: the score and the posterior mean of x⁽⁰⁾. ``calls`` counts the evaluations of the model."""

    def __init__(self, model: ReverseKernel, diffusion: GaussianDiffusion):
        self.model, self.diffusion, self.calls = model, diffusion, 0

    def x0_mean(self, x: Tensor, t: int) -> Tensor:
        """E[x⁽⁰⁾|x⁽ᵗ⁾], shaped as x ``[n, ...]``."""
        self.calls += 1
        return self.model.x0_posterior(x, t)[0]

    def score(self, x: Tensor, t: int) -> Tensor:
        """∇ log q(x⁽ᵗ⁾) = (√ᾱ_t E[x⁽⁰⁾|x⁽ᵗ⁾] − x)/(1−ᾱ_t), Tweedie's formula; t ≥ 1."""
        signal, noise = self.signal(t), self.noise(t)
        return (expand(signal, x) * self.x0_mean(x, t) - x) / expand(noise.square(), x)

    def drift(self, x: Tensor, t: int, noise_level: float) -> Tensor:
        """½ x + ½ (1 + κ²) ∇ log q(x): the drift backwards in τ."""
        return 0.5 * x + 0.5 * (1 + noise_level**2) * self.score(x, t)

    def signal(self, t: Time) -> Tensor:
        """√ᾱ_t, float64."""
        return self.diffusion.schedule.alpha_bar(t).sqrt()

    def noise(self, t: Time) -> Tensor:
        """√(1−ᾱ_t), float64."""
        return self.diffusion.schedule.noise(t).sqrt()

    def duration(self, t: int, s: int) -> float:
        """τ_t − τ_s, how long the step from t to s takes."""
        return float(clock(self.diffusion.schedule, t) - clock(self.diffusion.schedule, s))
