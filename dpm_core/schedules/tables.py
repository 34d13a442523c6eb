"""β_1..β_T and the quantities that follow from them. Time runs t = 1..T as in the paper, with ᾱ_0 = 1; tables are float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Time = int | Tensor


class ScheduleError(ValueError):
    """A schedule that cannot be made: unknown name or parameter, T < 2, or β outside (0, 1]."""


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
