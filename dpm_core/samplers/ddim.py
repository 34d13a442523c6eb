"""DDIM (Song et al. 2021): deterministic sampling, or sampling with reduced noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from dpm_core.factors import Factor
from dpm_core.process import GaussianDiffusion, Step, expand, randn_like
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers.registry import sampler
from dpm_core.samplers.steps import require_gaussian, start, timesteps, x0_mean


@sampler("ddim", "DDIM", options=("eta",))
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
    """DDIM, Song et al. 2021, Eq. 12: η = 0 is deterministic, η = 1 has the posterior variance β̃ of ancestral sampling.

    Only the posterior mean of x⁽⁰⁾ given x⁽ᵗ⁾ is used; a ``factor`` multiplies the Gaussian with these posterior moments. Model calls:
    one per step. Raises ValueError for η outside [0, 1] and for bits.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"η must lie between 0 and 1, not {eta}.")
    require_gaussian(diffusion)
    x = start(diffusion, shape_or_xT, generator)
    schedule, times = diffusion.schedule, timesteps(diffusion.T, steps)
    yield Step(diffusion.T, x)
    for t, s in pairwise(times):
        x0 = x0_mean(model, x, t, factor)
        *_, variance = diffusion.posterior_coefficients(t, s)
        noise = eta**2 * variance
        # x⁽ˢ⁾ = √ᾱ_s x̂⁽⁰⁾ + √(1−ᾱ_s−noise) ε̂ + √noise z, with ε̂ = (x⁽ᵗ⁾ − √ᾱ_t x̂⁽⁰⁾)/√(1−ᾱ_t)
        direction = ((schedule.noise(s) - noise).clamp(min=0) / schedule.noise(t)).sqrt()
        x0_weight = schedule.alpha_bar(s).sqrt() - direction * schedule.alpha_bar(t).sqrt()
        x = expand(x0_weight, x) * x0 + expand(direction, x) * x
        if eta > 0:
            x = x + expand(noise.sqrt(), x) * randn_like(x, generator)
        yield Step(s, x)
