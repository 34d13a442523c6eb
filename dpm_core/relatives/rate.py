"""How many bits a fixed encoder lets through: the forward process of a diffusion model, beside the rate of a VAE."""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion


def gaussian_information_nats(x0: Tensor, diffusion: GaussianDiffusion) -> Tensor:
    """Return I(X⁽⁰⁾;X⁽ᵗ⁾) of a Gaussian with the covariance of x0 ``[n, ...]``, for t = 1..T in nats, float64 ``[T]``.

    ½ Σ_i log(1 + SNR_t λ_i) with the eigenvalues λ of the covariance: of all data with this covariance a Gaussian has the most information.
    """
    x = x0.flatten(1).double()
    x = x - x.mean(0)
    # of two products the smaller one has the same eigenvalues that are not 0
    gram = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    eigenvalues = torch.linalg.eigvalsh(gram / len(x)).clamp(min=0)
    log_snr = diffusion.schedule.log_snr(torch.arange(1, diffusion.T + 1)).double()
    return 0.5 * torch.log1p(log_snr.exp()[:, None] * eigenvalues).sum(1)
