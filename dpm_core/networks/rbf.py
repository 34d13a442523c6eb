"""The paper's swiss-roll network (App. D.1.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RBF(nn.Module):
    """Normalised radial basis functions: one hidden layer of ``units``, shared over time and between f_μ and f_Σ.

    The readout is learned separately for each time step. Shapes as in :mod:`dpm_core.reverse`.
    """

    def __init__(self, shape: tuple[int, ...], T: int, units: int = 16):
        super().__init__()
        if len(shape) != 1:
            raise ValueError("The RBF network is for points; images take the U-Net or the multi-scale network.")
        (dims,) = shape
        if not 1 <= units <= 1024:
            raise ValueError("The RBF network takes 1 to 1024 units.")
        # centres over the region that unit-variance data fills; placed by an even spiral, so that the
        # network is the same function of its configuration on every machine
        angle = torch.arange(units) * 2.399963
        radius = 1.8 * ((torch.arange(units) + 0.5) / units).sqrt()
        centres = torch.zeros(units, dims)
        centres[:, 0], centres[:, -1] = radius * angle.cos(), radius * angle.sin()
        self.centres = nn.Parameter(centres)
        self.log_width = nn.Parameter(torch.full((units,), -0.7))
        self.readout = nn.Parameter(torch.zeros(T + 1, units, 2 * dims))

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """(F, v), each ``[n, dims]``."""
        distance = (x[:, None, :] - self.centres).square().sum(-1)
        units = torch.softmax(-0.5 * distance * (-2 * self.log_width).exp(), dim=1)
        readout = self.readout[t]
        out = units @ readout if readout.ndim == 2 else torch.einsum("nu,nuo->no", units, readout)
        F, v = out.chunk(2, dim=1)
        return F, v
