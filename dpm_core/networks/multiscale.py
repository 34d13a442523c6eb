"""The paper's image network (App. D.2.1)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.temporal import temporal_bumps

DENSE_OUTPUTS = 2  # features per pixel that the dense branch adds, as in the authors' code
SCALE = 1.0
OFFSET = 4.0


class MultiScale(nn.Module):
    def __init__(
        self,
        shape: tuple[int, ...],
        T: int,
        width: int = 16,
        scales: int = 3,
        layers: int = 3,
        dense: int = 128,
        bumps: int = 10,
        variant: str = "paper",
    ):
        super().__init__()
        if len(shape) != 3:
            raise ValueError("The multi-scale network is for images; points take the MLP or the RBF network.")
        if variant not in ("paper", "code"):
            raise ValueError(f"The multi-scale network's variant is 'paper' or 'code', not {variant!r}.")
        if not (1 <= width <= 256 and 1 <= scales <= 6 and 1 <= layers <= 8 and 0 <= dense <= 2048 and 2 <= bumps <= 100):
            raise ValueError(
                "The multi-scale network takes a width up to 256, up to 6 scales, up to 8 layers, up to 2048 dense units and 2 to 100 bumps."
            )
        colours, height, breadth = shape
        scales = min(scales, 1 + int(math.log2(max(1, min(height, breadth) // 2))))  # the coarsest keeps 2 pixels a side
        paper = variant == "paper"
        self.soft: Callable[[Tensor], Tensor] = functional.softplus if paper else _leaky_relu
        self.bounded: Callable[[Tensor], Tensor] = torch.tanh if paper else _leaky_relu
        self.convolutions = nn.ModuleList([MultiScaleConvolution(width if i else colours, width, scales) for i in range(layers)])
        pixels = height * breadth
        sizes = [colours * pixels, dense, dense, DENSE_OUTPUTS * pixels] if dense else []
        self.dense = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])])
        self.pixelwise = nn.Conv2d(width + (DENSE_OUTPUTS if dense else 0), 2 * width, 1)
        self.readout = nn.Parameter(torch.zeros(bumps, 2 * colours, 2 * width))
        self.bias = nn.Parameter(torch.zeros(bumps, 2 * colours))
        self.bumps: Tensor
        self.register_buffer("bumps", temporal_bumps(T, bumps, 1.0 if paper else 0.5), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """(F, v), each shaped as x."""
        h = x.contiguous(memory_format=torch.channels_last)
        for layer in self.convolutions:
            h = self.soft(layer(h))
        if len(self.dense):
            d = x.flatten(1)
            for linear in self.dense:
                d = self.bounded(linear(d))
            h = torch.cat([h, d.reshape(len(x), DENSE_OUTPUTS, *x.shape[2:])], 1)
        h = self.bounded(self.pixelwise(h))
        # Σ_j g_j(t) y_ij with y_ij linear in h: blend the J readouts first, then apply one
        g = self.bumps[t].reshape(-1, len(self.bias))
        readout = torch.einsum("nj,joh->nho", g, self.readout)
        z = torch.matmul(h.permute(0, 2, 3, 1).flatten(1, 2), readout) + (g @ self.bias)[:, None]
        z = z.transpose(1, 2).unflatten(2, x.shape[2:])
        mu, sigma = z.chunk(2, dim=1)
        s = torch.sigmoid(log_snr)
        if SCALE:
            mu = mu * torch.sigmoid(-log_snr).pow(-0.5 * SCALE).clamp(max=100.).reshape(-1, 1, 1, 1)
        return mu, OFFSET + sigma


class MultiScaleConvolution(nn.Module):
    """Mean-pool to powers of two, convolve at each scale, enlarge to full resolution and add up."""

    def __init__(self, inputs: int, outputs: int, scales: int):
        super().__init__()
        self.scales = nn.ModuleList([nn.Conv2d(inputs, outputs, 3, padding=1, bias=s == 0) for s in range(scales)])

    def forward(self, x: Tensor) -> Tensor:
        pooled = [x]
        for _ in self.scales[1:]:
            pooled.append(functional.avg_pool2d(pooled[-1], 2, ceil_mode=True))  # at an odd edge the mean of what is there
        total = self.scales[-1](pooled[-1])
        for scale, picture in zip(reversed(self.scales[:-1]), reversed(pooled[:-1])):
            height, breadth = picture.shape[2:]
            total = functional.interpolate(total, scale_factor=2, mode="nearest")[..., :height, :breadth] + scale(picture)
        return total


def _leaky_relu(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.05)
