"""Reverse kernels that combine others: a network for another scale of the data, and a mixture of patches and a network."""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.inpainting.patches import LocalPatchReverse
from dpm_core.process import LOG_SNR_LIMIT, GaussianDiffusion
from dpm_core.reverse import ReverseKernel, X0PosteriorKernel
from dpm_core.schedules import Time


class RescaledKernel(X0PosteriorKernel):
    """A kernel of z = scale · x + shift, trained with any schedule, used as a kernel of x under ``diffusion``.

    √ᾱ_t x⁽⁰⁾ + noise carries the same information on x⁽⁰⁾ as the network's own z⁽ᵗ'⁾ does on z⁽⁰⁾ at the time t' where the noise, in units
    of z, has the same standard deviation: log-SNR(t') = log-SNR(t) − 2 log scale. The nearest integer time is used. Raises ValueError
    unless the scale is positive.
    """

    def __init__(self, kernel: ReverseKernel, diffusion: GaussianDiffusion, scale: float, shift: float):
        if not scale > 0:
            raise ValueError(f"The scale must be positive, not {scale}.")
        self.kernel, self.diffusion, self.scale, self.shift = kernel, diffusion, scale, shift
        times = torch.arange(1, kernel.diffusion.T + 1)
        self._log_snr = kernel.diffusion.schedule.log_snr(times).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ ``[n, ...]``, both shaped as xt; the same t for all."""
        t = int(torch.as_tensor(t).flatten()[0])
        wanted = self.diffusion.schedule.log_snr(t) - 2 * torch.tensor(self.scale).log()
        other = 1 + int((self._log_snr - wanted).abs().argmin())
        a, b = (float(d.schedule.alpha_bar(s).sqrt()) for d, s in ((self.diffusion, t), (self.kernel.diffusion, other)))
        # at ᾱ_t = 0, x⁽ᵗ⁾ is independent of x⁽⁰⁾ and needs no rescaling
        z = b * (self.scale / a * xt + self.shift) if a > 0 else xt
        mean, variance = self.kernel.x0_posterior(z, other)
        return (mean - self.shift) / self.scale, variance / self.scale**2


class PatchesAndNetwork(X0PosteriorKernel):
    """A mixture: x⁽⁰⁾ of each pixel follows the network with probability ``share`` and the patches with probability 1 − ``share``.

    The mean and variance are those of the mixture; known pixels keep their values. ``calls`` and ``last_x0_mean`` are as in
    :class:`LocalPatchReverse`. Raises ValueError for a share outside [0, 1].
    """

    def __init__(self, patches: LocalPatchReverse, network: ReverseKernel, share: float):
        if not 0 <= share <= 1:
            raise ValueError(f"The share of the network must lie between 0 and 1, not {share}.")
        self.patches, self.network, self.share = patches, network, share
        self.diffusion = patches.diffusion
        self.calls, self.last_x0_mean = 0, patches.last_x0_mean

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ ``[n, C, H, W]``, both shaped as xt; the same t for all."""
        self.calls += 1
        mean, variance = self.patches.x0_posterior(xt, t)
        if self.share > 0:
            other, spread = self.network.x0_posterior(xt, t)
            difference = torch.where(self.patches.missing, other - mean, 0.0)
            mixed = (1 - self.share) * variance + self.share * spread + self.share * (1 - self.share) * difference.square()
            mean, variance = mean + self.share * difference, torch.where(self.patches.missing, mixed, 0.0)
        self.last_x0_mean = mean
        return mean, variance
