"""What training minimises: −K, or the simplified ε-loss, for each datum of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.measure.bound import step_kl_nats
from dpm_core.process import BinomialDiffusion, expand, from_noise
from dpm_core.reverse import ReverseModel


def stratified_times(T: int, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n times in 2..T, LongTensor ``[n]``: evenly spread with one random offset, so every batch sees all of 2..T."""
    u = torch.rand((), generator=generator) + torch.arange(n)
    return 2 + ((u / n % 1) * (T - 1)).long().clamp(max=T - 2)


def bound_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """−K up to its constant entropies, in nats per dimension, for each datum ``[n]``: (T−1) times the KL at its time."""
    diffusion = model.diffusion
    kl = step_kl_nats(model, diffusion, x0, from_noise(diffusion.q_marginal(x0, t), noise), t)
    return (diffusion.T - 1) * kl / x0[0].numel()


def simple_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The ε-loss of Ho et al. 2020 for the mean, for each datum ``[n]``; the variance learns from the KL, the mean held fixed.

    (The hybrid of Nichol & Dhariwal 2021, section 3.1, so that f_Σ is learned here too.) Of bits it is the cross entropy
    of x⁽⁰⁾ given x⁽ᵗ⁾ in nats, alike at every t (Austin et al. 2021, Eq. 5's second part).
    """
    diffusion = model.diffusion
    xt = from_noise(diffusion.q_marginal(x0, t), noise)
    x0_mean, x0_variance = model.x0_posterior(xt, t)
    if isinstance(diffusion, BinomialDiffusion):
        return functional.binary_cross_entropy(x0_mean, x0, reduction="none").flatten(1).mean(1)
    signal = expand(diffusion.schedule.alpha_bar(t).sqrt(), xt)
    epsilon = (xt - signal * x0_mean) / expand(diffusion.schedule.noise(t).sqrt(), xt)
    kl = diffusion.posterior_kl_nats(x0, xt, x0_mean.detach(), x0_variance, t)
    return (epsilon - noise).square().flatten(1).mean(1) + 1e-3 * (diffusion.T - 1) * kl / x0[0].numel()


LOSSES = {"bound": bound_loss, "simple": simple_loss}


class Loss(nn.Module):
    """A loss as a module, the form in which DistributedDataParallel takes one."""

    def __init__(self, model: ReverseModel, name: str):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return LOSSES[self.name](self.model, x0, t, noise)
