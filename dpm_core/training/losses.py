"""Training losses of reverse kernels, the negative bound −K and the ε-loss, of classifiers and of VAEs, for each datum of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dpm_core.guidance import Classifier
from dpm_core.measure.bound import step_kl_nats
from dpm_core.process import from_noise
from dpm_core.relatives import VAE
from dpm_core.reverse import ReverseModel


def stratified_times(T: int, n: int, generator: torch.Generator | None = None, first: int = 2) -> Tensor:
    """Return n times in first..T, LongTensor ``[n]``: evenly spaced with one random offset, so that every batch covers all of them."""
    u = torch.rand((), generator=generator) + torch.arange(n)
    return first + ((u / n % 1) * (T - first + 1)).long().clamp(max=T - first)


def drop_labels(label: Tensor, classes: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Return the labels ``[n]`` with each replaced by "no label" (the number of classes) with probability ``share``."""
    dropped = torch.rand(label.shape, generator=generator, device=label.device) < share
    return torch.where(dropped, classes, label)


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


def flow_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return the flow-matching loss of each datum ``[n]``, see :meth:`Chain.flow_loss`. Raises ValueError for bits."""
    diffusion = model.diffusion
    xt = from_noise(diffusion.q_marginal(x0, t), noise)
    return diffusion.flow_loss(x0, xt, t, *model.x0_posterior(xt, t))


def label_loss(model: Classifier, x0: Tensor, t: Tensor, noise: Tensor, label: Tensor) -> Tensor:
    """Return −log p(y|x⁽ᵗ⁾,t) of each datum ``[n]``, the cross entropy of a classifier, in nats."""
    xt = from_noise(model.diffusion.q_marginal(x0, t), noise)
    return -model.log_probs(xt, t).gather(1, label[:, None])[:, 0]


def elbo_loss(model: VAE, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return minus a VAE's bound in nats per dimension, of each datum ``[n]``; z is made from the first of the ``noise``."""
    terms = model.elbo_terms(x0, noise.flatten(1)[:, : model.latent])
    return -terms.weighted(model.divergence_weight) / x0[0].numel()


def _of_kernel(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of a reverse kernel, given the class of each datum where there are labels."""

    def given(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        return loss(model if label is None else model.given(label), x0, t, noise)

    return given


FIRST_TIME = {"bound": 2, "simple": 2, "flow": 2, "label": 1, "elbo": 1}  # the step t = 1 of a reverse kernel is fixed
LOSSES: dict[str, Callable[..., Tensor]] = {
    "bound": _of_kernel(bound_loss),
    "simple": _of_kernel(simple_loss),
    "flow": _of_kernel(flow_loss),
    "label": label_loss,
    "elbo": elbo_loss,
}


class Loss(nn.Module):
    """A loss function as a module, the form that DistributedDataParallel requires."""

    def __init__(self, model: nn.Module, name: str):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the loss of each datum, ``[n]``, for x⁽⁰⁾, t, the noise and, where there are labels, these."""
        return LOSSES[self.name](self.model, *inputs)
