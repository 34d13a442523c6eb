"""Noise schedules: β_1..β_T as functions of T, and the quantities that follow from β.

Time runs t = 1..T as in the paper, with ᾱ_0 = 1. All tables are float64; cast at use. A new schedule is one more function here
under ``@schedule``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Time = int | Tensor


class ScheduleError(ValueError):
    """A schedule that cannot be made: unknown name or parameter, T < 2, or β outside (0, 1]."""


@dataclass(frozen=True)
class NamedSchedule:
    """A schedule as a menu shows it. Called with (T, **params) it gives β_1..β_T, float64 ``[T]``."""

    name: str
    title: str
    function: Callable[..., Tensor]

    def __call__(self, T: int, **params: Any) -> Tensor:
        """β_1..β_T, float64 ``[T]``."""
        return self.function(T, **params)

    @property
    def __wrapped__(self) -> Callable[..., Tensor]:
        """The function itself, whose parameters and defaults :func:`inspect.signature` then finds."""
        return self.function


SCHEDULES: dict[str, NamedSchedule] = {}  # in the order of menus


def schedule(title: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Enter the decorated function (T, **params) → β_1..β_T in SCHEDULES under its own name."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        SCHEDULES[function.__name__] = NamedSchedule(function.__name__, title, function)
        return function

    return register


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


def make_schedule(name: str, T: int, **params: Any) -> Schedule:
    """The schedule ``name`` with T steps.

    Raises ScheduleError for an unknown name or parameter, T < 2 or β outside (0, 1].
    """
    if name not in SCHEDULES:
        raise ScheduleError(f"Unknown schedule {name!r}; choose one of {', '.join(SCHEDULES)}.")
    try:
        steps = operator.index(T)
    except TypeError:
        steps = 0
    if steps < 2:
        raise ScheduleError(f"T must be a whole number of at least 2, not {T!r}.")
    try:
        betas = SCHEDULES[name](steps, **params)
    except ScheduleError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ScheduleError(f"Schedule {name!r} does not take these parameters: {str(error).splitlines()[0]}.") from None
    return Schedule(betas)


@dataclass(frozen=True, eq=False)
class Schedule:
    """β_1..β_T (float64 ``[T]``) and what follows from them. ``t`` is an int or LongTensor in 0..T."""

    betas: Tensor

    def __post_init__(self) -> None:
        betas = torch.as_tensor(self.betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) < 2:
            raise ScheduleError(f"The values of β have the shape {tuple(betas.shape)}; give one row of at least two values.")
        if not bool(((betas > 0) & (betas <= 1)).all()):
            wrong = float(betas[~((betas > 0) & (betas <= 1))][0])
            raise ScheduleError(f"Every β must lie in (0, 1]; one of them is {wrong:g}.")
        if bool((betas[:-1] == 1).any()):
            raise ScheduleError("Only the last β may be 1, because after β_t = 1 no signal is left; choose smaller values before.")
        object.__setattr__(self, "betas", betas)
        _ = self._tables  # computed now, outside any inference mode of a caller

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.betas)

    @cached_property
    def log_alpha_bars(self) -> Tensor:
        """log ᾱ_t for t = 0..T, ``[T+1]``; −∞ at T where β_T = 1."""
        return torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-self.betas).cumsum(0)])

    @cached_property
    def _tables(self) -> dict[str, Tensor]:
        log_bar = self.log_alpha_bars
        noise = -torch.expm1(log_bar)  # 1 − ᾱ without cancellation near t = 0
        beta = torch.cat([torch.zeros(1, dtype=torch.float64), self.betas])
        posterior = torch.zeros_like(beta)
        posterior[1:] = noise[:-1] / noise[1:] * self.betas
        return {
            "beta": beta,
            "alpha_bar": log_bar.exp(),
            "noise": noise,
            "log_snr": log_bar - noise.log(),
            "posterior": posterior,
        }

    def beta(self, t: Time) -> Tensor:
        """β_t, with β_0 = 0."""
        return self._tables["beta"][t]

    def alpha(self, t: Time) -> Tensor:
        """α_t = 1 − β_t."""
        return 1 - self._tables["beta"][t]

    def alpha_bar(self, t: Time) -> Tensor:
        """ᾱ_t = ∏_{s≤t} α_s, the share of the signal in the variance of x⁽ᵗ⁾, for data of unit variance."""
        return self._tables["alpha_bar"][t]

    def noise(self, t: Time) -> Tensor:
        """1 − ᾱ_t, the share of the noise in the variance, accurate also where it is tiny."""
        return self._tables["noise"][t]

    def snr(self, t: Time) -> Tensor:
        """Signal-to-noise ratio ᾱ_t/(1 − ᾱ_t); ∞ at t = 0."""
        return self.log_snr(t).exp()

    def log_snr(self, t: Time) -> Tensor:
        """log(ᾱ_t/(1 − ᾱ_t)) in nats; +∞ at t = 0, −∞ where ᾱ_t = 0."""
        return self._tables["log_snr"][t]

    def posterior_variance(self, t: Time) -> Tensor:
        """Variance β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t) of q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾); 0 at t = 1."""
        return self._tables["posterior"][t]

    def information_destroyed_bits(self, t: Time) -> Tensor:
        """I(X⁽⁰⁾;X⁽ᵗ⁻¹⁾) − I(X⁽⁰⁾;X⁽ᵗ⁾) in bits per dimension for N(0, 1) data; ∞ at t = 1 (continuous data)."""
        t = torch.as_tensor(t)
        return (self.noise(t).log() - self.noise(t - 1).log()) / (2 * math.log(2))

    def terminal_kl_nats(self) -> float:
        """E_{x⁽⁰⁾} KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π) per dimension, for any data of unit second moment: −½ log(1 − ᾱ_T)."""
        return float(-0.5 * torch.log1p(-self.alpha_bar(self.T)))
