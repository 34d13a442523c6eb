"""Denoising: posterior samples p(x) r(x)/Z with r(x) = N(y; x, σ²) for a noisy observation y (section 2.5)."""

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
    """Progress of a run: the fraction of steps done and x⁽ᵗ⁾ ``[n, ...]``, which is a posterior sample at fraction 1."""

    share: float
    x: Tensor


def corrupt(x0: Tensor, snr: float, generator: torch.Generator | None = None) -> tuple[Tensor, float]:
    """Return (y, σ): data of unit variance with added noise of variance σ² = 1/snr.

    Raises ValueError unless ``snr`` is positive.
    """
    if not snr > 0:
        raise ValueError(f"The signal-to-noise ratio must be positive, not {snr}.")
    sigma = 1 / math.sqrt(snr)
    return x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=x0.dtype), sigma


def matching_time(diffusion: GaussianDiffusion, sigma: float) -> int:
    """Return the t in 1..T at which the noise of x⁽ᵗ⁾/√ᾱ_t is closest to σ, in log-SNR."""
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
    """Yield the steps of n posterior samples of x⁽⁰⁾ given an observation y ``[...]`` with noise σ, in standardised units.

    ``rule`` "matched": √ᾱ_t y is a sample of q(x⁽ᵗ⁾|x⁽⁰⁾) where (1−ᾱ_t)/ᾱ_t = σ², so the reverse chain from that t samples the
    posterior, exactly for an exact kernel. "constant": r(x⁽ᵗ⁾) = N(y; x⁽ᵗ⁾, σ²) at every t, the choice of the paper. "annealed": that
    factor to the power (T−t)/T. ``steps`` is for the whole chain. Raises ValueError for another rule, σ ≤ 0, or bits.
    """
    diffusion, device = model.diffusion, generator.device if generator is not None else None
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("Removing Gaussian noise requires a Gaussian diffusion; this model is one of bits.")
    if rule not in RULES:
        raise ValueError(f"The rule must be one of {', '.join(RULES)}, not {rule!r}.")
    if not sigma > 0:
        raise ValueError(f"The standard deviation σ of the noise must be positive, not {sigma}.")
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
