"""A modern residual network for points in the plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.embedding import LabelEmbedding
from dpm_core.networks.registry import network

CACHE_ROWS = 1024  # points per block when sampling, so that their activations stay in the processor's cache


@network("mlp", "MLP", ("points",), {"small": (("width", 64),), "medium": (), "large": (("width", 256),)}, labelled=True)
class MLP(nn.Module):
    """Residual MLP on x with random Fourier features, conditioned on the log signal-to-noise ratio.

    ``width`` units, ``depth`` residual blocks, ``features`` random frequencies of standard deviation
    ``frequency`` (radians per unit of x); ``classes`` of an optional label. Shapes as in :mod:`dpm_core.reverse`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        T: int,
        width: int = 128,
        depth: int = 3,
        features: int = 16,
        frequency: float = 1.5,
        classes: int = 0,
    ):
        super().__init__()
        if len(shape) != 1:
            raise ValueError(
                f"The MLP is for points, and the data have the shape {shape}; use the U-Net or the multi-scale network for images."
            )
        (dims,) = shape
        if not (1 <= width <= 1024 and 1 <= depth <= 16 and 1 <= features <= 512):
            given = f"width {width}, depth {depth} and {features} features"
            raise ValueError(f"The MLP cannot have {given}; choose a width up to 1024, a depth up to 16 and up to 512 features.")
        self.frequencies: Tensor
        self.snr_frequencies: Tensor
        self.register_buffer("frequencies", frequency * torch.randn(dims, features))
        self.inputs = nn.Linear(dims + 2 * features, width)
        self.register_buffer("snr_frequencies", torch.exp(torch.linspace(math.log(0.1), math.log(2.0), 16)))
        self.condition = nn.Sequential(nn.Linear(33, 64), nn.SiLU(), nn.Linear(64, depth * width))
        self.labels = LabelEmbedding(classes, depth * width) if classes else None
        self.blocks = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(depth)])
        self.outputs = nn.Linear(width, 2 * dims)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(F, v), each ``[n, dims]``; a scalar log_snr or label is embedded once for the whole batch."""
        levels, which = log_snr.reshape(-1), slice(None)
        if log_snr.ndim and not log_snr.requires_grad:  # each time occurs many times in a batch: embed every level once
            levels, which = torch.unique(log_snr, return_inverse=True)
        phase = levels[:, None] * self.snr_frequencies
        shifts = self.condition(torch.cat([levels[:, None] / 8, phase.sin(), phase.cos()], 1))[which]
        if self.labels is not None:
            shifts = shifts + self.labels(label)
        if torch.is_grad_enabled():
            out = self._body(x, shifts)
        else:
            rows = [shifts] * math.ceil(len(x) / CACHE_ROWS) if len(shifts) == 1 else shifts.split(CACHE_ROWS)
            out = torch.cat([self._body(part, row) for part, row in zip(x.split(CACHE_ROWS), rows)])
        F, v = out.chunk(2, dim=1)
        return F, v

    def _body(self, x: Tensor, shifts: Tensor) -> Tensor:
        """Outputs ``[n, 2·dims]`` for shifts ``[n or 1, depth·width]``."""
        in_place = not torch.is_grad_enabled()
        angle = x @ self.frequencies
        # adding in place is faster than addmm, which first copies the bias to every row
        h = functional.linear(torch.cat([x, angle.sin(), angle.cos()], 1), self.inputs.weight).add_(self.inputs.bias)
        for block, shift in zip(self.blocks, shifts.chunk(len(self.blocks), 1)):
            step = functional.silu(block(h).add_(shift), inplace=in_place)
            h = h.add_(step) if in_place else h + step
        return self.outputs(h)
