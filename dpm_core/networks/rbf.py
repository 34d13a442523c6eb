"""The paper's swiss-roll network (App. D.1.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dpm_core.networks.registry import network


@network(
    "rbf", "Radial basis (the paper's)", ("points",), {"small": (("units", 16),), "medium": (("units", 64),), "large": (("units", 256),)}
)
class RBF(nn.Module):
    """Normalised radial basis functions: one hidden layer of ``units``, shared by all times and by f_μ and f_Σ.

    Each time step has its own readout. Shapes as in :mod:`dpm_core.reverse`.
    """

    def __init__(self, shape: tuple[int, ...], T: int, units: int = 16):
        super().__init__()
        if len(shape) != 1:
            raise ValueError(
                f"The RBF network is for points, and the data have the shape {shape}; use the U-Net or the multi-scale network for images."
            )
        (dims,) = shape
        if not 1 <= units <= 1024:
            raise ValueError(f"The RBF network cannot have {units} units; choose 1 to 1024.")
        # centres on an even spiral over the region of unit-variance data: deterministic, so that the network is the same on
        # every machine
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
