"""The Schedule page with points: what each schedule does to the signal, and the texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.schedules import Schedule
from pages.ui import cache
from pages.ui.kinds.records import Curves

CURVES: dict[str, tuple[Callable[[Schedule, Tensor], Tensor], str, bool]] = {
    "Signal left, ᾱₜ": (lambda s, t: s.alpha_bar(t), "ᾱₜ", False),
    "Information destroyed": (lambda s, t: s.information_destroyed_bits(t), "bits per dimension, in step t", False),
    "Posterior variance, β̃ₜ": (lambda s, t: s.posterior_variance(t), "β̃ₜ", True),
}
NOTE = (
    "Look at the first steps. A schedule that starts with a large β adds most of its noise at the scales of the fine structure. "
    "A straight line in log-SNR spends the same number of steps on every scale. "
    "The paper's schedule, βₜ = 1/(T−t+1), removes the same fraction 1/T of the signal at every step and ends with ᾱ = 0 exactly at t = T."
)


def charts(schedules: dict[str, ScheduleConfig]) -> dict[str, Curves]:
    """By title the curves of every schedule over t = 1..T, their axis and whether it is logarithmic."""
    made = {name: cache.schedule(config) for name, config in schedules.items()}

    def over_t(of: Callable[[Schedule, Tensor], Tensor]) -> dict[str, np.ndarray]:
        return {name: of(schedule, torch.arange(1, schedule.T + 1)).numpy() for name, schedule in made.items()}

    return {title: (over_t(of), axis, log) for title, (of, axis, log) in CURVES.items()}


def prior_mismatch(schedule: ScheduleConfig) -> tuple[float, str]:
    """KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π) in bits per dimension for data of variance 1."""
    return cache.schedule(schedule).terminal_kl_nats() / NATS_PER_BIT, "bits per dimension"


def marginal(schedule: Schedule, t: int) -> str:
    """The forward marginal in LaTeX, in symbols and with the numbers of time t."""
    signal, noise = float(schedule.alpha_bar(t)) ** 0.5, float(schedule.noise(t))
    return (
        r"q(x^{(t)}\mid x^{(0)})=\mathcal N\!\left(\sqrt{\bar\alpha_t}\,x^{(0)},\,1-\bar\alpha_t\right),\qquad "
        rf"q(x^{{({t})}}\mid x^{{(0)}})=\mathcal N\!\left({signal:.3f}\,x^{{(0)}},\,{noise:.3f}\right)"
    )
