"""The schedules of the paper and of later work, each a function of T and its parameters that returns β_1..β_T, float64 ``[T]``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dpm_core.schedules.registry import schedule
from dpm_core.schedules.tables import ScheduleError


@schedule("Paper: 1/(T−t+1)")
def paper(T: int, beta_1: float | None = None) -> Tensor:
    """β_t = 1/(T−t+1): each step erases a constant fraction 1/T of the signal (section 2.4.1).

    β_T = 1, so ᾱ_T is exactly 0. ``beta_1`` replaces the first value: the paper fixes β₁ to a small
    constant because the last reverse step is not learned but equals the forward kernel (App. B.2).
    """
    betas = 1.0 / torch.arange(T, 0, -1, dtype=torch.float64)
    if beta_1 is not None:
        betas[0] = beta_1
    return betas


@schedule("Linear log-SNR")
def log_snr(T: int, start: float = 8.0, end: float = -8.0) -> Tensor:
    """ᾱ_t = sigmoid(λ_t) with the log signal-to-noise ratio λ linear from ``start`` to ``end`` nats."""
    log_alpha_bar = torch.nn.functional.logsigmoid(torch.linspace(start, end, T, dtype=torch.float64))
    steps = torch.diff(log_alpha_bar, prepend=torch.zeros(1, dtype=torch.float64))
    return -torch.expm1(steps)


@schedule("Linear β")
def linear(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """Ho et al. 2020: β from 1e-4 to 0.02 at T = 1000, rescaled by 1000/T and clipped at 0.999."""
    return _rescale(torch.linspace(beta_start, beta_end, T, dtype=torch.float64), T)


@schedule("Cosine")
def cosine(T: int, s: float = 0.008, clip: float = 0.999) -> Tensor:
    """ᾱ_t = f(t)/f(0) with f(t) = cos²((t/T + s)/(1 + s) · π/2), β ≤ clip (Nichol & Dhariwal 2021)."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bar = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=clip)


@schedule("Quadratic")
def quadratic(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """√β linear between √1e-4 and √0.02 at T = 1000, rescaled by 1000/T (the DDPM code's "quad")."""
    return _rescale(torch.linspace(math.sqrt(beta_start), math.sqrt(beta_end), T, dtype=torch.float64) ** 2, T)


@schedule("Sigmoid")
def sigmoid(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """β follows a logistic curve over ±6 between 1e-4 and 0.02 at T = 1000, rescaled by 1000/T."""
    ramp = torch.sigmoid(torch.linspace(-6, 6, T, dtype=torch.float64))
    return _rescale(beta_start + (beta_end - beta_start) * ramp, T)


@schedule("Constant")
def constant(T: int, beta: float | None = None) -> Tensor:
    """The same β at every step; unless given, the one with ᾱ_T = e⁻⁸."""
    return torch.full((T,), -math.expm1(-8.0 / T) if beta is None else beta, dtype=torch.float64)


@schedule("Flow matching: straight line")
def flow(T: int) -> Tensor:
    """The noise of the path (1 − s) x⁽⁰⁾ + s ε, s = t/T: ᾱ_t = (1−s)²/((1−s)² + s²), which ends at 0 (Lipman et al. 2023)."""
    s = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bar = (1 - s).square() / ((1 - s).square() + s.square())
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


@schedule("Custom, drawn")
def custom(T: int, points: Sequence[Sequence[float]] = ((0.0, 1e-3), (0.6, 0.05), (1.0, 0.5))) -> Tensor:
    """β through control points (u, β), u = (t−1)/(T−1): linear interpolation of log β, constant beyond the ends."""
    given = points
    try:
        points = sorted((float(u), float(beta)) for u, beta in points)
    except (TypeError, ValueError):
        points = []
    if len(points) < 2 or any(not 0 <= u <= 1 for u, _ in points) or any(not 0 < b <= 1 for _, b in points):
        raise ScheduleError(f"The points {given!r:.80} are no schedule; give at least two (u, β) with u in [0, 1] and β in (0, 1].")
    u_points, beta_points = torch.tensor(points, dtype=torch.float64).T.contiguous()
    u = torch.linspace(0, 1, T, dtype=torch.float64)
    right = torch.searchsorted(u_points, u).clamp(1, len(points) - 1)
    u0, u1 = u_points[right - 1], u_points[right]
    weight = ((u - u0) / (u1 - u0).clamp(min=1e-12)).clamp(0, 1)
    log_beta = beta_points.log()
    betas = torch.lerp(log_beta[right - 1], log_beta[right], weight).exp().clamp(max=1.0)
    betas[:-1].clamp_(max=0.999)  # only the last step may erase the whole signal
    return betas


def _rescale(betas: Tensor, T: int) -> Tensor:
    """The β of a T = 1000 schedule scaled so that about the same signal is left at another T."""
    return (betas * 1000 / T).clamp(max=0.999)
