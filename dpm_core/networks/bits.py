"""Networks for bits: the heartbeat network of the paper, and a modern residual network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.embedding import LabelEmbedding, LogSNREmbedding
from dpm_core.networks.registry import network

MAX_READOUT = 16_000_000  # numbers in all readouts together: 64 MB


@network("bit_mlp", "MLP", ("bits",), {"small": (), "medium": (("width", 256),), "large": (("depth", 4), ("width", 512))}, labelled=True)
class BitMLP(nn.Module):
    """Residual MLP over all bits at once, conditioned on the log signal-to-noise ratio: ``width`` units, ``depth`` blocks.

    ``classes`` of an optional label. Shapes as in :mod:`dpm_core.reverse`; the output F is log odds; it is returned twice, because
    bits have no variance to learn.
    """

    def __init__(self, shape: tuple[int, ...], T: int, width: int = 128, depth: int = 3, classes: int = 0):
        super().__init__()
        if not (1 <= width <= 2048 and 1 <= depth <= 16):
            raise ValueError(
                f"The MLP for bits cannot have width {width} and depth {depth}; choose a width up to 2,048 and a depth up to 16."
            )
        bits = math.prod(shape)
        self.embed = LogSNREmbedding(width)
        self.inputs = nn.Linear(bits, width)
        self.shifts = nn.Linear(width, depth * width)
        self.labels = LabelEmbedding(classes, depth * width) if classes else None
        self.blocks = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.outputs = nn.Linear(width, bits)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(F, F), each shaped as x ``[n, ...]``."""
        # each time step occurs many times in a batch: embed every level once
        levels, which = torch.unique(log_snr, return_inverse=True) if log_snr.ndim else (log_snr, slice(None))
        shifts = self.shifts(self.embed(levels))[which]
        if self.labels is not None:
            shifts = shifts + self.labels(label)
        h = self.inputs(x.flatten(1))
        for block, shift in zip(self.blocks, shifts.chunk(len(self.blocks), 1)):
            h = h + functional.silu(block(h) + shift)
        F = self.outputs(h).view_as(x)
        return F, F


@network("sigmoid", "Sigmoid layers (the paper's)", ("bits",), {"small": (), "medium": (("units", 100),), "large": (("units", 200),)})
class SigmoidMLP(nn.Module):
    """The paper's heartbeat network (App. D.1.2): ``depth`` layers of ``units`` sigmoids shared by all times, and a readout for each t.

    Shapes as in :mod:`dpm_core.reverse`; the output F is log odds; it is returned twice, because bits have no variance to learn.
    """

    def __init__(self, shape: tuple[int, ...], T: int, units: int = 50, depth: int = 3):
        super().__init__()
        if not (1 <= units <= 1024 and 1 <= depth <= 8):
            raise ValueError(
                f"The sigmoid network cannot have {units} units and depth {depth}; choose 1 to 1,024 units and a depth of 1 to 8."
            )
        bits = math.prod(shape)
        if (T + 1) * units * bits > MAX_READOUT:
            readouts = f"{(T + 1) * units * bits / 1e6:,.0f} million numbers"
            raise ValueError(
                f"A readout for each of {T:,} steps would hold {readouts}, over the {MAX_READOUT / 1e6:g} million allowed; "
                "use the MLP, fewer steps or fewer units."
            )
        layers = [nn.Linear(bits if i == 0 else units, units) for i in range(depth)]
        for layer in layers:
            nn.init.xavier_normal_(
                layer.weight, gain=4.0
            )  # the slope of a sigmoid is at most 1/4, so this gain preserves the scale of signals
        self.layers = nn.ModuleList(layers)
        self.readout = nn.Parameter(torch.zeros(T + 1, units, bits))
        self.bias = nn.Parameter(torch.zeros(T + 1, bits))

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """(F, F), each shaped as x ``[n, ...]``."""
        h = x.flatten(1)
        for layer in self.layers:
            h = torch.sigmoid(layer(h))
        h = 2 * h - 1
        readout, bias = self.readout[t], self.bias[t]
        out = h @ readout if readout.ndim == 2 else torch.einsum("nu,nuo->no", h, readout)
        F = (out + bias).view_as(x)
        return F, F
