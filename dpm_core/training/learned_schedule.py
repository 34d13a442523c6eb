"""Learning the noise schedule: β₂..β_T by gradient ascent on K with frozen noise, β₁ fixed (section 2.4.1).

The paper learns β together with the network. Where the exact reverse kernel of the data is known, the best K with Gaussian steps is
a function of the schedule alone, so the schedule can be optimised before any network is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import GaussianDiffusion, gaussian_entropy_nats
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import Schedule

LEARNING_RATE = 0.05
LOWEST_BETA = 1e-6


class Learned(NamedTuple):
    """One step of the ascent: its number (from 0), the schedule, and its K in bits on the frozen noise."""

    step: int
    schedule: Schedule
    bound_bits: float


class LearnedSchedule(nn.Module):
    """Log-SNRs that decrease from a fixed first value by learned, positive amounts: every parameter value is a valid schedule."""

    first: Tensor

    def __init__(self, start: Schedule):
        super().__init__()
        log_snr = start.log_snr(torch.arange(1, start.T + 1)).clamp(min=-12.0)
        drops = (log_snr[:-1] - log_snr[1:]).clamp(min=1e-4)
        self.register_buffer("first", log_snr[:1])
        self.raw = nn.Parameter(drops + torch.log(-torch.expm1(-drops)))  # softplus⁻¹

    def schedule(self) -> Schedule:
        """Return the schedule, differentiable with respect to the parameters."""
        return from_log_snr(torch.cat([self.first, self.first - nn.functional.softplus(self.raw).cumsum(0)]))


def from_log_snr(log_snr: Tensor) -> Schedule:
    """Return the schedule with these log-SNRs, decreasing, float64 ``[T]``, differentiable with respect to them."""
    log_bar = nn.functional.logsigmoid(log_snr)
    steps = torch.diff(log_bar, prepend=torch.zeros(1, dtype=torch.float64))
    return Schedule((-torch.expm1(steps)).clamp(LOWEST_BETA, 1 - 1e-9))


def best_bound_nats(kernel: EmpiricalReverse, x0: Tensor, noise: Tensor) -> Tensor:
    """Return the best K with Gaussian steps for the data and the schedule of ``kernel``, a scalar in nats.

    x0 ``[n, d]``; ``noise`` ``[T−1, n, d]`` determines x⁽ᵗ⁾ for t = 2..T. x⁽⁰⁾ given x⁽ᵗ⁾ is integrated out, so each KL term is
    ½ Σ log(1 + V c₀²/β̃) with the exact variance V. Differentiable with respect to the schedule.
    """
    diffusion, (n, d) = kernel.diffusion, x0.shape
    t = torch.arange(2, diffusion.T + 1).repeat_interleave(n)
    schedule = diffusion.schedule
    signal, spread = schedule.alpha_bar(t).sqrt()[:, None], schedule.noise(t).sqrt()[:, None]
    xt = (signal * x0.repeat(diffusion.T - 1, 1) + spread * noise.reshape(-1, d)).float()
    _, variance = kernel.x0_posterior(xt, t)
    c0, _, posterior = diffusion.posterior_coefficients(t)
    terms = 0.5 * torch.log1p((c0.square() / posterior)[:, None] * variance.double()).sum(1)
    ends = 0.5 * d * (schedule.noise(diffusion.T).log() - schedule.noise(1).log())  # H_q(X⁽ᵀ⁾|X⁽⁰⁾) − H_q(X⁽¹⁾|X⁽⁰⁾)
    return ends - terms.sum() / n - gaussian_entropy_nats(torch.ones(()), d)


def learn(
    data: EmpiricalReverse, x0: Tensor, steps: int, generator: torch.Generator | None = None, rate: float = LEARNING_RATE
) -> Iterator[Learned]:
    """Maximise K of x0 ``[n, d]`` from the schedule of ``data``, with the same noise in every step; the last yield is the best schedule.

    The learning rate decays to 0 by a cosine. If a step reduces K, its schedule is not the last one yielded.
    """
    start = data.diffusion.schedule
    noise = torch.randn(start.T - 1, *x0.shape, generator=generator, dtype=torch.float64)
    learned = LearnedSchedule(start)
    optimiser = torch.optim.Adam(learned.parameters(), lr=rate)
    best = Learned(0, start, -math.inf)
    for step in range(steps + 1):
        schedule = learned.schedule()
        value = best_bound_nats(data.with_diffusion(GaussianDiffusion(schedule)), x0.double(), noise)
        found = Learned(step, Schedule(schedule.betas.detach()), float(value.detach()) / NATS_PER_BIT)
        if found.bound_bits > best.bound_bits:
            best = found
        if step == steps:
            break
        yield found
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        (-value).backward()
        optimiser.step()
    yield Learned(steps, best.schedule, best.bound_bits)
