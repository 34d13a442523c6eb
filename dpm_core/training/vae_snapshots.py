"""Snapshots of a variational autoencoder during training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dpm_core.process import Chain
from dpm_core.relatives import VAE, Elbo, evaluate_elbo
from dpm_core.training.snapshots import FRAMES, Snapshot

HELD_OUT = 2000  # data that the bound is measured on, at most


class VAEEvaluator:
    """Takes snapshots of a VAE: its bound on the held-out data ``[N, ...]`` in the place of K, and samples, always with the same noise.

    The frames of a snapshot are the decoder's means for n latents that grow from 0 to draws of p(z).
    """

    uses_all_times = True  # there is no estimate of K to compare in pairs

    def __init__(self, diffusion: Chain, held_out: Tensor, n: int, seed: int):
        self.held_out, self.n, self.seed = held_out[:HELD_OUT], n, seed
        self.times = np.unique(np.linspace(0, diffusion.T, FRAMES).round().astype(int))[::-1].copy()
        self.x_T = torch.zeros(n, *held_out.shape[1:])

    def bound(self, model: VAE) -> Elbo:
        """Return the bound on the held-out data."""
        device = next(model.parameters()).device
        return evaluate_elbo(model, self.held_out.to(device), torch.Generator(device).manual_seed(self.seed))

    @torch.no_grad()
    def take_snapshot(self, model: VAE, step: int, seconds: float) -> Snapshot:
        """Return a snapshot of ``model``. The caller ensures that the weights do not change meanwhile."""
        device, bound = next(model.parameters()).device, self.bound(model)
        z = torch.randn(self.n, model.latent, generator=torch.Generator().manual_seed(self.seed)).to(device)
        last = float(self.times[0])
        frames = torch.stack([model.sample(z * (1 - float(t) / last)) for t in self.times]).cpu().numpy()
        weights = {k: v.detach().to("cpu", torch.float16, copy=True).contiguous() for k, v in model.network.state_dict().items()}
        numbers = (bound.bound_bits, bound.standard_error_bits, bound.null_bits)
        return Snapshot(step, seconds, *numbers, self.times, frames.astype(np.float16) if frames.ndim > 3 else frames, weights)
