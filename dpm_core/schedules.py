"""Noise schedules: β as functions of T, and everything that follows from β.

Time runs t = 1..T as in the paper, with ᾱ_0 = 1. All tables are float64; cast at use.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Time = int | Tensor


class ScheduleError(ValueError):
    """A schedule that cannot exist: unknown name, T < 2, β outside (0, 1] or a foreign parameter."""


def paper(T: int, beta_1: float | None = None) -> Tensor:
    """β_t = 1/(T−t+1): each step erases the constant fraction 1/T of the signal (section 2.4.1).

    β_T = 1, so ᾱ_T is exactly 0. ``beta_1`` replaces the first value: the paper keeps β₁ a small
    constant because the last reverse step is fixed to the forward kernel (App. B.2).
    """
    betas = 1.0 / torch.arange(T, 0, -1, dtype=torch.float64)
    if beta_1 is not None:
        betas[0] = beta_1
    return betas


def linear(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """Ho et al. 2020: β from 1e-4 to 0.02 at T = 1000, rescaled by 1000/T and kept at or below 0.999."""
    return _rescale(torch.linspace(beta_start, beta_end, T, dtype=torch.float64), T)


def quadratic(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """√β linear between √1e-4 and √0.02 at T = 1000, rescaled by 1000/T (the DDPM code's "quad")."""
    return _rescale(torch.linspace(math.sqrt(beta_start), math.sqrt(beta_end), T, dtype=torch.float64) ** 2, T)


def sigmoid(T: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """β rising along a logistic curve over ±6 between 1e-4 and 0.02 at T = 1000, rescaled by 1000/T."""
    ramp = torch.sigmoid(torch.linspace(-6, 6, T, dtype=torch.float64))
    return _rescale(beta_start + (beta_end - beta_start) * ramp, T)


def cosine(T: int, s: float = 0.008, clip: float = 0.999) -> Tensor:
    """ᾱ_t = cos²((t/T + s)/(1 + s) · π/2) up to its value at 0, β ≤ clip (Nichol & Dhariwal 2021)."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bar = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=clip)


def constant(T: int, beta: float | None = None) -> Tensor:
    """One β for every step; when not given, the one that leaves ᾱ_T = e⁻⁸."""
    return torch.full((T,), -math.expm1(-8.0 / T) if beta is None else beta, dtype=torch.float64)


def log_snr(T: int, start: float = 8.0, end: float = -8.0) -> Tensor:
    """ᾱ_t = sigmoid(λ_t) with the log signal-to-noise ratio λ linear from ``start`` to ``end`` nats."""
    log_alpha_bar = torch.nn.functional.logsigmoid(torch.linspace(start, end, T, dtype=torch.float64))
    steps = torch.diff(log_alpha_bar, prepend=torch.zeros(1, dtype=torch.float64))
    return -torch.expm1(steps)


def custom(T: int, points: Sequence[Sequence[float]] = ((0.0, 1e-3), (0.6, 0.05), (1.0, 0.5))) -> Tensor:
    """β through control points (u, β), u = (t−1)/(T−1): straight lines in log β, constant beyond the ends."""
    message = "A custom schedule needs at least two points (u, β) with u in [0, 1] and β in (0, 1]."
    try:
        points = sorted((float(u), float(beta)) for u, beta in points)
    except (TypeError, ValueError):
        raise ScheduleError(message) from None
    if len(points) < 2 or any(not 0 <= u <= 1 for u, _ in points) or any(not 0 < b <= 1 for _, b in points):
        raise ScheduleError(message)
    u_points, beta_points = torch.tensor(points, dtype=torch.float64).T.contiguous()
    u = torch.linspace(0, 1, T, dtype=torch.float64)
    right = torch.searchsorted(u_points, u).clamp(1, len(points) - 1)
    u0, u1 = u_points[right - 1], u_points[right]
    weight = ((u - u0) / (u1 - u0).clamp(min=1e-12)).clamp(0, 1)
    log_beta = beta_points.log()
    betas = torch.lerp(log_beta[right - 1], log_beta[right], weight).exp().clamp(max=1.0)
    betas[:-1].clamp_(max=0.999)  # only the last step may erase everything
    return betas


def _rescale(betas: Tensor, T: int) -> Tensor:
    """Keep the total destruction of a T = 1000 schedule at another T."""
    return (betas * 1000 / T).clamp(max=0.999)


SCHEDULES: dict[str, Callable[..., Tensor]] = {
    "paper": paper,
    "linear": linear,
    "cosine": cosine,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "constant": constant,
    "log_snr": log_snr,
    "custom": custom,
}


def make_schedule(name: str, T: int, **params) -> Schedule:
    """The schedule called ``name`` with T steps.

    Raises ScheduleError, in one sentence, for an unknown name or parameter, T < 2 or β outside (0, 1].
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
            raise ScheduleError("A schedule needs at least two values of β in a row.")
        if not bool(((betas > 0) & (betas <= 1)).all()):
            raise ScheduleError("Every β must lie in (0, 1].")
        if bool((betas[:-1] == 1).any()):
            raise ScheduleError("Only the last β may be 1: after it there is nothing left to erase.")
        object.__setattr__(self, "betas", betas)
        _ = self._tables  # now, so that it is made outside anyone's inference mode

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
        """ᾱ_t = ∏_{s≤t} α_s, the signal's share of the variance of unit-variance data."""
        return self._tables["alpha_bar"][t]

    def noise(self, t: Time) -> Tensor:
        """1 − ᾱ_t, the noise's share of the variance, exact to rounding also where it is tiny."""
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
