"""Training losses: the negative bound −K and the simplified ε-loss, for each datum of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dpm_core.measure.bound import step_kl_nats
from dpm_core.process import from_noise
from dpm_core.reverse import ReverseModel


def stratified_times(T: int, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Return n times in 2..T, LongTensor ``[n]``: evenly spaced with one random offset, so that every batch covers all of 2..T."""
    u = torch.rand((), generator=generator) + torch.arange(n)
    return 2 + ((u / n % 1) * (T - 1)).long().clamp(max=T - 2)


def bound_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return −K up to the constant entropies, in nats per dimension, for each datum ``[n]``: (T−1) times the KL term at its time."""
    diffusion = model.diffusion
    kl = step_kl_nats(model, diffusion, x0, from_noise(diffusion.q_marginal(x0, t), noise), t)
    return (diffusion.T - 1) * kl / x0[0].numel()


def simple_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return the simplified loss of each datum ``[n]``, see :meth:`Chain.simple_loss`.

    For Gaussian diffusions it is the ε-loss of Ho et al. 2020, for bits the cross entropy of x⁽⁰⁾ given x⁽ᵗ⁾.
    """
    diffusion = model.diffusion
    xt = from_noise(diffusion.q_marginal(x0, t), noise)
    return diffusion.simple_loss(x0, xt, noise, t, *model.x0_posterior(xt, t))


LOSSES = {"bound": bound_loss, "simple": simple_loss}


class Loss(nn.Module):
    """A loss function as a module, the form that DistributedDataParallel requires."""

    def __init__(self, model: ReverseModel, name: str):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return the loss of each datum, ``[n]``."""
        return LOSSES[self.name](self.model, x0, t, noise)
