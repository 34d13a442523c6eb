"""The variational autoencoder (Kingma & Welling 2014; Rezende, Mohamed & Wierstra 2014), with its bound in the units of K."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from dpm_core.process import Chain

if TYPE_CHECKING:
    from dpm_core.networks.autoencoder import Autoencoder


class ElboTerms(NamedTuple):
    """The two parts of the bound in nats: E_q[log p(x|z)] ``[n]``, and KL(q(z|x) ‖ p(z)) of each latent dimension ``[n, latent]``."""

    reconstruction: Tensor
    divergence: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound of each datum, ``[n]``."""
        return self.weighted(1.0)

    def weighted(self, weight: float) -> Tensor:
        """The bound with this weight of its KL term, ``[n]``."""
        return self.reconstruction - weight * self.divergence.sum(1)


class VAE(nn.Module):
    """p(z) = N(0, I), a decoder p(x|z) and an encoder q(z|x), both Gaussian with diagonal covariances.

    ``network`` has ``encode`` and ``decode`` (:class:`dpm_core.networks.autoencoder.Autoencoder`). ``diffusion`` says in which units the
    data are, those of a diffusion model of them; the VAE does not use its noise. Raises ValueError for one of bits.
    """

    classes = 0

    def __init__(self, network: Autoencoder, diffusion: Chain):
        super().__init__()
        if diffusion.binary:
            raise ValueError("A variational autoencoder with Gaussian outputs is for points and images, not for bits; choose other data.")
        self.network: Autoencoder = network
        self.diffusion = diffusion
        self.divergence_weight = 1.0  # of the KL term in the training loss, which a trainer may let rise from 0
        self.precision = torch.float32  # of the network's computations; its outputs are cast to x's dtype

    @property
    def latent(self) -> int:
        """Dimensions of z."""
        return self.network.latent

    def posterior(self, x: Tensor) -> Normal:
        """q(z|x), ``[n, latent]``, the encoder."""
        return _normal(*self._asked(self.network.encode, x))

    def likelihood(self, z: Tensor) -> Normal:
        """p(x|z), ``[n, ...]``, the decoder."""
        return _normal(*self._asked(self.network.decode, z))

    def elbo_terms(self, x: Tensor, noise: Tensor) -> ElboTerms:
        """The parts of the bound on log p(x) with one z for each datum, made from standard normal ``noise`` ``[n, latent]``."""
        q = self.posterior(x)
        p = self.likelihood(q.mean + q.stddev * noise)
        prior = Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean), validate_args=False)
        return ElboTerms(p.log_prob(x).flatten(1).sum(1), kl_divergence(q, prior))

    def sample(self, z: Tensor, noise: Tensor | None = None) -> Tensor:
        """The decoder's mean for z ``[n, latent]``, with its standard deviation times ``noise`` ``[n, ...]`` added if given."""
        p = self.likelihood(z)
        return p.mean if noise is None else p.mean + p.stddev * noise

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's mean for the encoder's mean of x ``[n, ...]``."""
        return self.sample(self.posterior(x).mean)

    def _asked(self, part, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        with torch.autocast(x.device.type, self.precision, enabled=self.precision != torch.float32):
            mean, log_deviation = part(x)
        return mean.to(x.dtype), log_deviation.to(x.dtype)


def _normal(mean: Tensor, log_deviation: Tensor) -> Normal:
    return Normal(mean, log_deviation.exp(), validate_args=False)
