"""Export any network as one program of ``torch.export``, which runs without this library."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dpm_core.checkpoints import Checkpoint, CheckpointError
from dpm_core.files import written_whole
from dpm_core.process import LOG_SNR_LIMIT, GaussianDiffusion
from dpm_core.reverse import ReverseModel

SMALLEST_BATCH, LARGEST_BATCH = 2, 1 << 16


class PosteriorMean(nn.Module):
    """(x⁽ᵗ⁾, t) → E[x⁽⁰⁾|x⁽ᵗ⁾] and Var(x⁽⁰⁾|x⁽ᵗ⁾), both shaped as x ``[n, ...]``; t int64 ``[n]`` in 1..T."""

    def __init__(self, model: ReverseModel):
        super().__init__()
        self.network, self.share, self.classes = model.network, model.share, model.classes
        schedule = model.diffusion.schedule
        self.log_snr: Tensor
        self.register_buffer("log_snr", schedule.log_snr(torch.arange(schedule.T + 1)).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).float())

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior moments of x⁽⁰⁾."""
        log_snr = self.log_snr[t]
        signal, noise = (torch.sigmoid(s * log_snr).reshape(-1, *[1] * (x.ndim - 1)) for s in (1, -1))
        F, v = self.network(x, t, log_snr)
        return signal.sqrt() * x + noise.sqrt() * F, noise * self.share(v)


def export_torch(checkpoint: Checkpoint, path: Path) -> Path:
    """Write the posterior moments of x⁽⁰⁾ as a program of torch.export (``.pt2``), for batches of any size from 2 on; return the path.

    ``torch.export.load(path).module()(x, t)`` gives mean and variance. Raises CheckpointError for bits, another ending, or a network that
    cannot be exported, OSError when the file cannot be written.
    """
    if path.suffix != ".pt2":
        raise CheckpointError(f"The file must end in .pt2, not {path.suffix!r}.")
    model: ReverseModel = checkpoint.model
    if not isinstance(model.diffusion, GaussianDiffusion):
        raise CheckpointError("Models of bits cannot be exported yet; choose a model of points or images.")
    program = PosteriorMean(model).eval().requires_grad_(False)
    x, t = torch.zeros(4, *checkpoint.shape), torch.arange(1, 5).clamp(max=model.diffusion.T)
    batch = torch.export.Dim("batch", min=SMALLEST_BATCH, max=LARGEST_BATCH)
    try:
        exported = torch.export.export(program, (x, t), dynamic_shapes={"x": {0: batch}, "t": {0: batch}})
    except Exception as error:  # of many kinds, for what cannot be traced
        raise CheckpointError(f"The network {checkpoint.config.network.name!r} cannot be exported ({type(error).__name__}).") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as whole:
        torch.export.save(exported, whole)
    return path
