"""Samplers: generators of Step(t, x) from t = T down to 0. The caller owns plots, pauses and progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.diffusion import Chain, GaussianDiffusion, Step, draw, expand, from_noise, randn_like
from dpm_core.factors import Factor, condition
from dpm_core.reverse import ReverseKernel


def timesteps(T: int, steps: int | None = None) -> list[int]:
    """The times visited: T, …, 1, 0 in ``steps`` steps as even as whole numbers allow (all of them unless given).

    Raises ValueError when steps is not in 1..T.
    """
    steps = T if steps is None else steps
    if not 1 <= steps <= T:
        raise ValueError(f"The number of steps must lie between 1 and T = {T}, not {steps}.")
    if steps == 1:
        return [T, 0]
    return [round(T - (T - 1) * i / (steps - 1)) for i in range(steps)] + [0]


def ancestral(
    model: ReverseKernel,
    diffusion: Chain,
    shape_or_xT: tuple[int, ...] | Tensor,
    *,
    factor: Factor | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Draw x⁽ˢ⁾ ~ p(x⁽ˢ⁾|x⁽ᵗ⁾) down the chain (the paper's sampler; steps < T jumps over times).

    ``shape_or_xT``: the shape ``(n, ...)`` of a draw from π, or x⁽ᵀ⁾ itself. With a ``factor`` every step, and π, is
    multiplied by it (section 2.5). Model calls: one per step.
    """
    return walk(model, diffusion, shape_or_xT, timesteps(diffusion.T, steps), factor=factor, generator=generator)


@torch.inference_mode()
def walk(
    model: ReverseKernel,
    diffusion: Chain,
    shape_or_xT: tuple[int, ...] | Tensor,
    times: Sequence[int],
    *,
    factor: Factor | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """From x at the first of ``times`` through all of them: down by the reverse kernel times the factor, up by q.

    A shape stands for a draw from π, and ``times`` then begins with T. Model calls: one per step down.
    """
    x = _start(diffusion, shape_or_xT, generator)
    if factor is not None and times[0] == diffusion.T:  # x is a draw from π, which is multiplied too
        x = _moved(x, diffusion, factor, generator)
    yield Step(times[0], x)
    for t, s in pairwise(times):
        p = condition(model.reverse(x, t, s), factor, s) if s < t else diffusion.q_jump(x, t, s)
        x = draw(p, generator)
        yield Step(s, x)


@torch.inference_mode()
def ddim(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    shape_or_xT: tuple[int, ...] | Tensor,
    *,
    factor: Factor | None = None,
    steps: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Song et al. 2021, Eq. 12: η = 0 is deterministic, η = 1 has the posterior variance β̃ of ancestral sampling.

    Only the mean of x⁽⁰⁾ given x⁽ᵗ⁾ is used; a ``factor`` multiplies that belief. Model calls: one per step.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"η must lie between 0 and 1, not {eta}.")
    _only_gaussian(diffusion)
    x = _start(diffusion, shape_or_xT, generator)
    schedule, times = diffusion.schedule, timesteps(diffusion.T, steps)
    yield Step(diffusion.T, x)
    for t, s in pairwise(times):
        x0 = _belief(model, x, t, factor)
        *_, variance = diffusion.posterior_coefficients(t, s)
        noise = eta**2 * variance
        # x⁽ˢ⁾ = √ᾱ_s x̂⁽⁰⁾ + √(1−ᾱ_s−noise) ε̂ + √noise z, with ε̂ = (x⁽ᵗ⁾ − √ᾱ_t x̂⁽⁰⁾)/√(1−ᾱ_t)
        direction = ((schedule.noise(s) - noise).clamp(min=0) / schedule.noise(t)).sqrt()
        x0_weight = schedule.alpha_bar(s).sqrt() - direction * schedule.alpha_bar(t).sqrt()
        x = expand(x0_weight, x) * x0 + expand(direction, x) * x
        if eta > 0:
            x = x + expand(noise.sqrt(), x) * randn_like(x, generator)
        yield Step(s, x)


@torch.inference_mode()
def probability_flow(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    shape_or_xT: tuple[int, ...] | Tensor,
    *,
    factor: Factor | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """The deterministic flow with q's marginals, by Heun's second-order steps.

    In the angle φ = arccos √ᾱ_t the flow is dx/dφ = cos φ ε̂ − sin φ x̂⁽⁰⁾, finite also at ᾱ_T = 0.
    The last step, onto ᾱ = 1 where ε̂ is not defined, goes to x̂⁽⁰⁾ (DDIM's). A ``factor``
    multiplies the belief in x⁽⁰⁾. Model calls: 2·steps − 1.
    """
    _only_gaussian(diffusion)
    x = _start(diffusion, shape_or_xT, generator)
    times = timesteps(diffusion.T, steps)
    angles = torch.atan2(diffusion.schedule.noise(torch.tensor(times)).sqrt(), _signal(diffusion, times))

    def slope(x: Tensor, i: int) -> Tensor:
        x0 = _belief(model, x, times[i], factor)
        cos, sin = expand(angles[i].cos(), x), expand(angles[i].sin(), x)
        return cos * (x - cos * x0) / sin - sin * x0

    yield Step(diffusion.T, x)
    for i, s in enumerate(times[1:]):
        h = expand(angles[i + 1] - angles[i], x)
        if s == 0:
            # exact for a constant x̂⁽⁰⁾: lands on x̂⁽⁰⁾ instead of a tangent's length away from it
            x = _belief(model, x, times[i], factor)
        else:
            first = slope(x, i)
            x = x + 0.5 * h * (first + slope(x + h * first, i + 1))
        yield Step(s, x)


def _only_gaussian(diffusion: Chain) -> None:
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("Bits have no way back without noise; sample them by 'ancestral', in as few steps as you like.")


def _belief(model: ReverseKernel, x: Tensor, t: int, factor: Factor | None) -> Tensor:
    """E[x⁽⁰⁾|x⁽ᵗ⁾] of the model times the factor: the Gaussian belief in x⁽⁰⁾ is multiplied as the last reverse step is."""
    mean, variance = model.x0_moments(x, t)
    return mean if factor is None else condition(Normal(mean, variance.sqrt(), validate_args=False), factor, 0).mean


def _signal(diffusion: GaussianDiffusion, times: list[int]) -> Tensor:
    return diffusion.schedule.alpha_bar(torch.tensor(times)).sqrt()


def _start(diffusion: Chain, shape_or_xT: tuple[int, ...] | Tensor, generator: torch.Generator | None) -> Tensor:
    return shape_or_xT if isinstance(shape_or_xT, Tensor) else diffusion.start(shape_or_xT, generator)


def _moved(x: Tensor, diffusion: Chain, factor: Factor, generator: torch.Generator | None) -> Tensor:
    """A draw x of π made one of π times the factor; of bits only those are drawn anew that the factor speaks of."""
    if isinstance(prior := diffusion.prior(()), Bernoulli):
        rate = prior.mean.to(x).expand_as(x)
        p = condition(Bernoulli(rate, validate_args=False), factor, diffusion.T)
        return torch.where(p.mean == rate, x, draw(p, generator))
    return from_noise(condition(Normal(torch.zeros_like(x), torch.ones_like(x), validate_args=False), factor, diffusion.T), x)


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "probability_flow": probability_flow,
}
