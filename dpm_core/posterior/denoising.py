"""Denoising: posterior samples p(x) r(x)/Z with r(x) = N(y; x, σ²) for a noisy observation y (section 2.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.posterior import Annealed, GaussianObservation
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import AdaptableKernel, ReverseKernel
from dpm_core.samplers import timesteps, walk
from dpm_core.schedules import Schedule

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
    """Return the first t in 1..T at which x⁽ᵗ⁾/√ᾱ_t has at least the noise σ; T if none has."""
    log_snr = diffusion.schedule.log_snr(torch.arange(1, diffusion.T + 1))
    return min(diffusion.T, 1 + int((log_snr > -2 * math.log(sigma)).sum()))


def matched_diffusion(diffusion: GaussianDiffusion, sigma: float) -> tuple[GaussianDiffusion, int]:
    """Return a forward process whose x⁽ᵗ⁾/√ᾱ_t has exactly the noise σ at the t returned beside it, and the same ᾱ at all other times.

    The step from t to t−1 then is the part of the original one that σ leaves.
    """
    t = matching_time(diffusion, sigma)
    log_bars = diffusion.schedule.log_alpha_bars.clone()
    log_bars[t] = -math.log1p(sigma**2)
    smallest = torch.finfo(torch.float64).tiny  # of β where σ is that of t−1
    return GaussianDiffusion(Schedule((-torch.expm1(log_bars.diff())).clamp(min=smallest))), t


def denoise(
    model: AdaptableKernel,
    y: Tensor,
    sigma: float,
    n: int = 16,
    *,
    rule: str = "matched",
    steps: int = 50,
    generator: torch.Generator | None = None,
) -> Iterator[Denoising]:
    """Yield the steps of n posterior samples of x⁽⁰⁾ given an observation y ``[...]`` with noise σ, in standardised units.

    ``rule`` "matched": √ᾱ y is a sample of q(x⁽ᵗ⁾|x⁽⁰⁾) where (1−ᾱ)/ᾱ = σ², so the reverse chain from there samples the posterior; it
    starts between two times by a part of a step. With an exact kernel only the Gaussian form of the steps remains as an error, which
    vanishes for many of them. "constant": r(x⁽ᵗ⁾) = N(y; x⁽ᵗ⁾, σ²) at every t, the choice of the paper. "annealed": that
    factor to the power (T−t)/T. ``steps`` is for the whole chain. Raises ValueError for another rule, σ ≤ 0, or bits.
    """
    diffusion, device = model.diffusion, generator.device if generator is not None else None
    if not isinstance(diffusion, GaussianDiffusion):
        raise ValueError("Removing Gaussian noise requires a Gaussian diffusion; this model is one of bits.")
    if rule not in RULES:
        raise ValueError(f"The rule must be one of {', '.join(RULES)}, not {rule!r}.")
    if not sigma > 0:
        raise ValueError(f"The standard deviation σ of the noise must be positive, not {sigma}.")
    kernel: ReverseKernel = model
    times, factor = timesteps(diffusion.T, min(steps, diffusion.T)), None
    if rule == "matched":
        diffusion, first = matched_diffusion(diffusion, sigma)
        kernel = model.with_diffusion(diffusion)
        times = [first, *(t for t in times if t < first)]
        start = (y / math.sqrt(1 + sigma**2)).expand(n, *y.shape).clone()
    else:
        observation = GaussianObservation(y, sigma)
        factor = observation if rule == "constant" else Annealed(observation, diffusion.T)
        start = torch.randn(n, *y.shape, generator=generator, dtype=y.dtype, device=device)
    for k, (_, x) in enumerate(walk(kernel, diffusion, start, times, factor=factor, generator=generator)):
        if k:
            yield Denoising(k / (len(times) - 1), x)
