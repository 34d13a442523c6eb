"""Two reverse kernels at once: an image's own patches, which are sharp, and a network, which sees how they go together."""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.inpainting.patches import LocalPatchReverse
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import LOG_SNR_LIMIT, X0PosteriorKernel, ReverseKernel
from dpm_core.schedules import Time


class RescaledKernel(X0PosteriorKernel):
    """A kernel of z = scale · x + shift, trained with any schedule, read as a kernel of x under ``diffusion``.

    √ᾱ_t x⁽⁰⁾ + noise says as much of x⁽⁰⁾ as the network's own z⁽ᵗ'⁾ says of z⁽⁰⁾ at the time t' where the noise, in units of z,
    is as wide: log-SNR(t') = log-SNR(t) − 2 log scale, to the nearest time there is.
    """

    def __init__(self, kernel: ReverseKernel, diffusion: GaussianDiffusion, scale: float, shift: float):
        if not scale > 0:
            raise ValueError("The scale must be positive.")
        self.kernel, self.diffusion, self.scale, self.shift = kernel, diffusion, scale, shift
        times = torch.arange(1, kernel.diffusion.T + 1)
        self._log_snr = kernel.diffusion.schedule.log_snr(times).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ ``[n, ...]``, both shaped as xt; t one time for all."""
        t = int(torch.as_tensor(t).flatten()[0])
        wanted = self.diffusion.schedule.log_snr(t) - 2 * torch.tensor(self.scale).log()
        other = 1 + int((self._log_snr - wanted).abs().argmin())
        a, b = (float(d.schedule.alpha_bar(s).sqrt()) for d, s in ((self.diffusion, t), (self.kernel.diffusion, other)))
        # at ᾱ = 0 nothing is left of x in x⁽ᵗ⁾, and any scale would do for the noise that it is
        z = b * (self.scale / a * xt + self.shift) if a > 0 else xt
        mean, variance = self.kernel.x0_posterior(z, other)
        return (mean - self.shift) / self.scale, variance / self.scale**2


class PatchesAndNetwork(X0PosteriorKernel):
    """Each pixel's x⁽⁰⁾ is drawn from the patches with probability 1 − ``share``, from the network with ``share``: the mean and
    variance of that mixture. Where pixels are known they stay what they are. ``calls`` and ``last`` as of LocalPatchReverse.
    """

    def __init__(self, patches: LocalPatchReverse, network: ReverseKernel, share: float):
        if not 0 <= share <= 1:
            raise ValueError("The network's share must lie between 0 and 1.")
        self.patches, self.network, self.share = patches, network, share
        self.diffusion = patches.diffusion
        self.calls, self.last_x0_mean = 0, patches.last_x0_mean

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ ``[n, C, H, W]``, both shaped as xt; t one time for all."""
        self.calls += 1
        mean, variance = self.patches.x0_posterior(xt, t)
        if self.share > 0:
            other, spread = self.network.x0_posterior(xt, t)
            apart = torch.where(self.patches.missing, other - mean, 0.0)
            mixed = (1 - self.share) * variance + self.share * spread + self.share * (1 - self.share) * apart.square()
            mean, variance = mean + self.share * apart, torch.where(self.patches.missing, mixed, 0.0)
        self.last_x0_mean = mean
        return mean, variance
