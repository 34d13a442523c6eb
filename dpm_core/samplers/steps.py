"""The steps that all samplers share: the times to visit, and walking along the chain through them."""

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
    """Return the times T, …, 1, 0 visited in ``steps`` steps, as evenly spaced as integers allow (all times by default).

    Raises ValueError when ``steps`` is not in 1..T.
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
    """Yield the states at ``times``: a reverse step times the factor where the time decreases, a step of q where it increases.

    ``shape_or_xT``: the state at the first time, or the shape of a sample of π, in which case the first time is T. Model calls: one per
    step down.
    """
    x = start(diffusion, shape_or_xT, generator)
    if factor is not None and times[0] == diffusion.T:  # x is a sample of π, which is multiplied by the factor too
        x = _multiply_prior_sample(x, diffusion, factor, generator)
    yield Step(times[0], x)
    for t, s in pairwise(times):
        p = condition(model.reverse(x, t, s), factor, s) if s < t else diffusion.q_jump(x, t, s)
        x = draw(p, generator)
        yield Step(s, x)


def require_gaussian(diffusion: Chain) -> None:
    """Raise ValueError for a diffusion of bits."""
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("This sampler is deterministic and requires a Gaussian diffusion; sample bits with 'ancestral'.")


def x0_mean(model: ReverseKernel, x: Tensor, t: int, factor: Factor | None) -> Tensor:
    """Return E[x⁽⁰⁾|x⁽ᵗ⁾] of the model, or the mean of the Gaussian with its posterior moments times the factor."""
    mean, variance = model.x0_posterior(x, t)
    return mean if factor is None else factor.multiply_x0(Normal(mean, variance.sqrt(), validate_args=False), x, t).mean


def start(diffusion: Chain, shape_or_xT: tuple[int, ...] | Tensor, generator: torch.Generator | None) -> Tensor:
    """Return x⁽ᵀ⁾: the given state, or a sample of π of the given shape."""
    return shape_or_xT if isinstance(shape_or_xT, Tensor) else diffusion.start(shape_or_xT, generator)


def _multiply_prior_sample(x: Tensor, diffusion: Chain, factor: Factor, generator: torch.Generator | None) -> Tensor:
    """Turn a sample x of π into one of π times the factor.

    For bits, only those whose probability the factor changes are resampled.
    """
    if isinstance(prior := diffusion.prior(()), Bernoulli):
        rate = prior.mean.to(x).expand_as(x)
        p = condition(Bernoulli(rate, validate_args=False), factor, diffusion.T)
        return torch.where(p.mean == rate, x, draw(p, generator))
    return from_noise(condition(Normal(torch.zeros_like(x), torch.ones_like(x), validate_args=False), factor, diffusion.T), x)
