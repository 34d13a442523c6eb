"""Solvers of the reverse equations. A new one is a function here with the decorator ``solver``.

Each takes one step from t down to s: ``step(field, x, t, s, noise_level, z)``, with a standard normal z shaped as x (unused at noise
level 0), and returns x⁽ˢ⁾.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dpm_core.continuous.equations import Field
from dpm_core.process import GaussianDiffusion, Step, expand, randn_like
from dpm_core.reverse import ReverseKernel

StepRule = Callable[[Field, Tensor, int, int, float, Tensor], Tensor]


@dataclass(frozen=True)
class Solver:
    """``calls``: evaluations of the model per step. ``order``: of convergence of the ODE.

    ``follows_noise``: whether its noise is the Brownian motion itself, so that paths can be compared.
    """

    title: str
    step: StepRule
    calls: int
    order: int
    follows_noise: bool = True


SOLVERS: dict[str, Solver] = {}


def solver(name: str, title: str, *, calls: int, order: int, follows_noise: bool = True) -> Callable[[StepRule], StepRule]:
    """Register a step rule under a name."""

    def register(step: StepRule) -> StepRule:
        SOLVERS[name] = Solver(title, step, calls, order, follows_noise)
        return step

    return register


@torch.inference_mode()
def integrate(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    x: Tensor,
    times: Sequence[int],
    method: str = "heun",
    *,
    noise_level: float = 0.0,
    generator: torch.Generator | None = None,
    noises: Sequence[Tensor] | None = None,
) -> Iterator[Step]:
    """Yield the states at ``times``, which fall from the time of x to 1 at the least; ``noises`` are used in place of random ones.

    Raises ValueError for an unknown solver, a negative noise level and times that do not fall.
    """
    if method not in SOLVERS:
        raise ValueError(f"There is no solver {method!r}; choose one of {', '.join(SOLVERS)}.")
    if not 0 <= noise_level < math.inf:
        raise ValueError(f"The noise level must be at least 0, not {noise_level}.")
    if any(s >= t or s < 1 for t, s in pairwise(times)):
        raise ValueError("The times must fall at every step, and end at 1 or before it.")
    field, step = Field(model, diffusion), SOLVERS[method].step
    yield Step(times[0], x)
    for i, (t, s) in enumerate(pairwise(times)):
        z = x if noise_level == 0 else noises[i] if noises is not None else randn_like(x, generator)
        x = step(field, x, t, s, noise_level, z)
        yield Step(s, x)


@solver("euler", "Euler-Maruyama", calls=1, order=1)
def euler(field: Field, x: Tensor, t: int, s: int, noise_level: float, z: Tensor) -> Tensor:
    """x + h drift + κ √h z."""
    h = field.duration(t, s)
    return x + h * field.drift(x, t, noise_level) + _noise(noise_level * math.sqrt(h), z)


@solver("heun", "Heun", calls=2, order=2)
def heun(field: Field, x: Tensor, t: int, s: int, noise_level: float, z: Tensor) -> Tensor:
    """The mean of the drifts at both ends of the step; of weak order 2 also with noise, because the noise does not depend on x."""
    h = field.duration(t, s)
    noise = _noise(noise_level * math.sqrt(h), z)
    first = field.drift(x, t, noise_level)
    second = field.drift(x + h * first + noise, s, noise_level)
    return x + 0.5 * h * (first + second) + noise


@solver("exponential", "Exponential (DDIM)", calls=1, order=1)
def exponential(field: Field, x: Tensor, t: int, s: int, noise_level: float, z: Tensor) -> Tensor:
    """Exact where x̂⁽⁰⁾ does not change within the step (Lu et al. 2022): DDIM at κ = 0, the steps q(x⁽ˢ⁾|x⁽ᵗ⁾,x̂⁽⁰⁾) at κ = 1.

    With h half the gain in log-SNR: x⁽ˢ⁾ = (σ_s/σ_t) e^(−κ²h) x + √ᾱ_s (1 − e^(−(1+κ²)h)) x̂⁽⁰⁾ + σ_s √(1 − e^(−2κ²h)) z, σ² = 1−ᾱ.
    """
    schedule = field.diffusion.schedule
    h = 0.5 * float(schedule.log_snr(s) - schedule.log_snr(t))
    ratio, last = float(field.noise(s) / field.noise(t)), float(field.noise(s))
    mean = float(field.signal(s)) * -math.expm1(-(1 + noise_level**2) * h)
    scale = last * math.sqrt(-math.expm1(-2 * noise_level**2 * h))
    return ratio * math.exp(-(noise_level**2) * h) * x + mean * field.x0_mean(x, t) + _noise(scale, z)


@solver("edm", "EDM with churn", calls=2, order=2, follows_noise=False)
def edm(field: Field, x: Tensor, t: int, s: int, noise_level: float, z: Tensor) -> Tensor:
    """Karras et al. 2022, algorithm 2, in y = x/√ᾱ: churn up to a higher noise, then Heun's step of the ODE dy/dσ = (y − x̂⁽⁰⁾)/σ.

    The variance that churn adds is κ² times that which the step removes, so that small steps follow the equation of noise level κ. Churn
    ends at a time of the table.
    """
    table = torch.arange(field.diffusion.T + 1)
    sigma = field.noise(table) / field.signal(table)
    here, there = float(sigma[t]), float(sigma[s])
    y, up = x / expand(field.signal(t), x), t
    if noise_level > 0:
        wanted = math.sqrt(here**2 + noise_level**2 * (here**2 - there**2))
        finite = sigma[: int(sigma.isfinite().sum())]
        up = max(t, int((finite - wanted).abs().argmin()))
        y = y + math.sqrt(max(float(sigma[up]) ** 2 - here**2, 0.0)) * z
    high = float(sigma[up])
    first = (y - field.x0_mean(y * expand(field.signal(up), x), up)) / high
    ahead = y + (there - high) * first
    second = (ahead - field.x0_mean(ahead * expand(field.signal(s), x), s)) / there
    return expand(field.signal(s), x) * (y + 0.5 * (there - high) * (first + second))


def _noise(scale: float, z: Tensor) -> Tensor | float:
    return scale * z if scale > 0 else 0.0
