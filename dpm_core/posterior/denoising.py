"""Taking noise off an image: samples of p(x) r(x)/Z with r(x) = N(y; x, σ²), y being what was seen (section 2.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.posterior import Annealed, GaussianObservation
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import timesteps, walk

RULES = ("matched", "constant", "annealed")


class Denoising(NamedTuple):
    """The share of the work done, and x⁽ᵗ⁾ ``[n, ...]``, which is a sample of the posterior at share 1."""

    share: float
    x: Tensor


def corrupt(x0: Tensor, snr: float, generator: torch.Generator | None = None) -> tuple[Tensor, float]:
    """(y, σ): data of unit variance seen through noise of variance σ² = 1/snr. Raises ValueError unless snr is positive."""
    if not snr > 0:
        raise ValueError("The signal-to-noise ratio must be positive.")
    sigma = 1 / math.sqrt(snr)
    return x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=x0.dtype), sigma


def matching_time(diffusion: GaussianDiffusion, sigma: float) -> int:
    """The t in 1..T at which x⁽ᵗ⁾/√ᾱ_t has the noise nearest to σ, on the scale of log-SNR."""
    log_snr = diffusion.schedule.log_snr(torch.arange(1, diffusion.T + 1))
    return 1 + int((log_snr + 2 * math.log(sigma)).abs().argmin())


def denoise(
    model: ReverseKernel,
    y: Tensor,
    sigma: float,
    n: int = 16,
    *,
    rule: str = "matched",
    steps: int = 50,
    generator: torch.Generator | None = None,
) -> Iterator[Denoising]:
    """n draws of x⁽⁰⁾ given y ``[...]`` in standardised units, seen with noise of standard deviation σ.

    ``rule`` "matched": √ᾱ_t y is a draw of q(x⁽ᵗ⁾|x⁽⁰⁾) where (1−ᾱ_t)/ᾱ_t = σ², so the chain from there down samples the
    posterior, exactly for an exact kernel. "constant": r(x⁽ᵗ⁾) = N(y; x⁽ᵗ⁾, σ²) at every t, the paper's choice;
    "annealed": that to the power (T−t)/T. ``steps`` of the whole chain. Raises ValueError for another rule or σ ≤ 0.
    """
    diffusion, device = model.diffusion, generator.device if generator is not None else None
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("Gaussian noise is taken off by a Gaussian diffusion; this model is of bits.")
    if rule not in RULES:
        raise ValueError(f"The rule is one of {', '.join(RULES)}, not {rule!r}.")
    if not sigma > 0:
        raise ValueError("The noise σ must be positive.")
    times, factor = timesteps(diffusion.T, min(steps, diffusion.T)), None
    if rule == "matched":
        first = matching_time(diffusion, sigma)
        times = [first, *(t for t in times if t < first)]
        start = (float(diffusion.schedule.alpha_bar(first)) ** 0.5 * y).expand(n, *y.shape).clone()
    else:
        observation = GaussianObservation(y, sigma)
        factor = observation if rule == "constant" else Annealed(observation, diffusion.T)
        start = torch.randn(n, *y.shape, generator=generator, dtype=y.dtype, device=device)
    for k, (_, x) in enumerate(walk(model, diffusion, start, times, factor=factor, generator=generator)):
        if k:
            yield Denoising(k / (len(times) - 1), x)
