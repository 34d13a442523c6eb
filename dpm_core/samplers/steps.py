"""Walking along the chain: the times that are visited, and the steps that all samplers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.factors import Factor, condition
from dpm_core.process import Chain, GaussianDiffusion, Step, draw, from_noise
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
    x = start(diffusion, shape_or_xT, generator)
    if factor is not None and times[0] == diffusion.T:  # x is a draw from π, which is multiplied too
        x = _moved(x, diffusion, factor, generator)
    yield Step(times[0], x)
    for t, s in pairwise(times):
        p = condition(model.reverse(x, t, s), factor, s) if s < t else diffusion.q_jump(x, t, s)
        x = draw(p, generator)
        yield Step(s, x)


def require_gaussian(diffusion: Chain) -> None:
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("Bits have no way back without noise; sample them by 'ancestral', in as few steps as you like.")


def x0_mean(model: ReverseKernel, x: Tensor, t: int, factor: Factor | None) -> Tensor:
    """E[x⁽⁰⁾|x⁽ᵗ⁾] of the model times the factor: the Gaussian belief in x⁽⁰⁾ is multiplied as the last reverse step is."""
    mean, variance = model.x0_posterior(x, t)
    return mean if factor is None else condition(Normal(mean, variance.sqrt(), validate_args=False), factor, 0).mean


def start(diffusion: Chain, shape_or_xT: tuple[int, ...] | Tensor, generator: torch.Generator | None) -> Tensor:
    return shape_or_xT if isinstance(shape_or_xT, Tensor) else diffusion.start(shape_or_xT, generator)


def _moved(x: Tensor, diffusion: Chain, factor: Factor, generator: torch.Generator | None) -> Tensor:
    """A draw x of π made one of π times the factor; of bits only those are drawn anew that the factor speaks of."""
    if isinstance(prior := diffusion.prior(()), Bernoulli):
        rate = prior.mean.to(x).expand_as(x)
        p = condition(Bernoulli(rate, validate_args=False), factor, diffusion.T)
        return torch.where(p.mean == rate, x, draw(p, generator))
    return from_noise(condition(Normal(torch.zeros_like(x), torch.ones_like(x), validate_args=False), factor, diffusion.T), x)
