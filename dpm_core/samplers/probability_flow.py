"""The probability-flow ODE: the deterministic flow whose marginals are those of the diffusion."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.factors import Factor
from dpm_core.process import GaussianDiffusion, Step, expand
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers.registry import sampler
from dpm_core.samplers.steps import require_gaussian, start, timesteps, x0_mean


@sampler("probability_flow", "Probability flow", network_calls=lambda steps: 2 * steps - 1)
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
    """The deterministic flow with the marginals of q, integrated by Heun's second-order method.

    In the angle φ = arccos √ᾱ_t the flow is dx/dφ = cos φ ε̂ − sin φ x̂⁽⁰⁾, which is finite also at ᾱ_T = 0. The last step, to ᾱ = 1
    where ε̂ is undefined, is a DDIM step to x̂⁽⁰⁾. A ``factor`` multiplies the Gaussian with the posterior moments of x⁽⁰⁾. Model calls:
    2 × steps − 1. Raises ValueError for bits.
    """
    require_gaussian(diffusion)
    x = start(diffusion, shape_or_xT, generator)
    times = timesteps(diffusion.T, steps)
    angles = torch.atan2(diffusion.schedule.noise(torch.tensor(times)).sqrt(), _signal(diffusion, times))

    def slope(x: Tensor, i: int) -> Tensor:
        x0 = x0_mean(model, x, times[i], factor)
        cos, sin = expand(angles[i].cos(), x), expand(angles[i].sin(), x)
        return cos * (x - cos * x0) / sin - sin * x0

    yield Step(diffusion.T, x)
    for i, s in enumerate(times[1:]):
        h = expand(angles[i + 1] - angles[i], x)
        if s == 0:
            # a DDIM step, exact for constant x̂⁽⁰⁾; an Euler step along the tangent would miss x̂⁽⁰⁾
            x = x0_mean(model, x, times[i], factor)
        else:
            first = slope(x, i)
            x = x + 0.5 * h * (first + slope(x + h * first, i + 1))
        yield Step(s, x)


def _signal(diffusion: GaussianDiffusion, times: list[int]) -> Tensor:
    return diffusion.schedule.alpha_bar(torch.tensor(times)).sqrt()
