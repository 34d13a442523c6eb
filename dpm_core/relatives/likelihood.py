"""What a VAE knows about data: its bound, the log-likelihood itself, and how many bits each latent dimension carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dpm_core.relatives.vae import VAE

NATS_PER_BIT = math.log(2)
REACH = 5.5  # standard deviations of p(z) that a grid covers on each side: outside lies 4e-8
MOST_CELLS = 1000  # along a side of the grid
BLOCK = 1 << 24  # pairs of a datum and a latent computed at once
ACTIVE_NATS = 0.01  # of a latent dimension, above which it is called active (Burda, Grosse & Salakhutdinov 2016)


@dataclass(frozen=True)
class Elbo:
    """A VAE's bound on held-out data, in nats per datum.

    Its parts E_q[log p(x|z)] and KL(q(z|x) ‖ p(z)) of each latent dimension ``[latent]``, its standard error, and L_null.
    """

    reconstruction_nats: float
    divergence_nats: Tensor
    standard_error_nats: float
    null_nats: float

    @property
    def bound_bits(self) -> float:
        """The bound in bits per datum: the VAE's K."""
        return (self.reconstruction_nats - float(self.divergence_nats.sum())) / NATS_PER_BIT

    @property
    def standard_error_bits(self) -> float:
        """Standard error of the bound over data, in bits."""
        return self.standard_error_nats / NATS_PER_BIT

    @property
    def null_bits(self) -> float:
        """Log-likelihood of the data under N(0, I), in bits per datum."""
        return self.null_nats / NATS_PER_BIT

    @property
    def active(self) -> int:
        """The number of latent dimensions that carry information; the others have collapsed to the prior."""
        return int((self.divergence_nats > ACTIVE_NATS).sum())


@torch.inference_mode()
def evaluate_elbo(model: VAE, x0: Tensor, generator: torch.Generator | None = None, draws: int = 1) -> Elbo:
    """Return the bound on data x0 ``[n, ...]``, averaged over ``draws`` latents for each datum."""
    found, divergence = [], []
    for _ in range(draws):
        noise = torch.randn(len(x0), model.latent, generator=generator, device=x0.device)
        terms = [model.elbo_terms(part, eps) for part, eps in zip(x0.split(512), noise.split(512))]
        found.append(torch.cat([one.reconstruction for one in terms]).double())
        divergence.append(torch.cat([one.divergence for one in terms]).double())
    reconstruction, parts = torch.stack(found).mean(0), torch.stack(divergence).mean(0)
    elbo = reconstruction - parts.sum(1)
    squares = x0.flatten(1).double().square().sum(1)
    null = -0.5 * float(squares.mean()) - 0.5 * x0[0].numel() * math.log(2 * math.pi)
    error = float(elbo.std()) / math.sqrt(len(x0)) if len(x0) > 1 else math.nan
    return Elbo(float(reconstruction.mean()), parts.mean(0).cpu(), error, null)


@torch.inference_mode()
def importance_log_prob(model: VAE, x0: Tensor, draws: int, generator: torch.Generator | None = None) -> Tensor:
    """Return log mean_k p(x, z_k)/q(z_k|x) with z_k from the encoder, float64 ``[n]``, in nats (Burda, Grosse & Salakhutdinov 2016).

    A lower bound on log p(x) on average, which rises with the number of draws and converges to log p(x).
    """
    q, total = model.posterior(x0), torch.full((len(x0),), -math.inf, dtype=torch.float64, device=x0.device)
    for _ in range(draws):
        noise = torch.randn(q.mean.shape, generator=generator, device=x0.device)
        z = q.mean + q.stddev * noise
        joint = model.likelihood(z).log_prob(x0).flatten(1).sum(1) + _log_normal(z)
        total = torch.logaddexp(total, (joint - q.log_prob(z).sum(1)).double())
    return total - math.log(draws)


@torch.inference_mode()
def exact_log_prob(model: VAE, x0: Tensor) -> Tensor:
    """Return log p(x) = log ∫ p(z) p(x|z) dz in nats by quadrature over a grid of latents, float64 ``[n]``, for data x0 ``[n, ...]``.

    The cells are as wide as the narrowest posteriors of the encoder, so that the sum is exact to about 1 %. Raises ValueError for more
    than two latent dimensions.
    """
    if model.latent > 2:
        raise ValueError(f"A grid over {model.latent} latent dimensions is too large; use importance_log_prob instead.")
    width = float(torch.quantile(model.posterior(x0).stddev.flatten()[:100_000], 0.02))
    cells = min(MOST_CELLS ** (3 - model.latent), math.ceil(2 * REACH / (0.7 * width)))
    axis = torch.linspace(-REACH, REACH, cells)
    z = torch.cartesian_prod(*[axis] * model.latent).reshape(-1, model.latent)
    z = z[z.square().sum(1) < REACH**2]
    cell = model.latent * math.log(float(axis[1] - axis[0]))
    x, out = x0.flatten(1).double(), torch.full((len(x0),), -math.inf, dtype=torch.float64)
    for part in z.split(max(1, BLOCK // len(x))):
        p = model.likelihood(part)
        mean, precision = p.mean.flatten(1).double(), p.stddev.flatten(1).double().pow(-2)
        # Σ_i ((x_i − m_i)/σ_i)² in two matrix products, instead of an array of data × latents × dimensions
        squares = x.square() @ precision.T - 2 * x @ (mean * precision).T + (mean.square() * precision).sum(1)
        constants = 0.5 * (precision.log() - math.log(2 * math.pi)).sum(1) + _log_normal(part).double() + cell
        out = torch.logaddexp(out, (constants - 0.5 * squares).logsumexp(1))
    return out


def _log_normal(z: Tensor) -> Tensor:
    """log p(z) of the prior, ``[n]``."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
