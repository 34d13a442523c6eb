"""The paper's image network (App. D.2.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.registry import network
from dpm_core.networks.temporal import temporal_bumps

DENSE_OUTPUTS = 2  # features per pixel that the dense branch adds, as in the authors' code
VARIANTS = ("paper", "code")


@network(
    "multiscale",
    "Multi-scale (the paper's)",
    ("images",),
    {"small": (("layers", 2), ("width", 16)), "medium": (), "large": (("dense", 256), ("layers", 4), ("width", 64))},
)
class MultiScale(nn.Module):
    """Multi-scale convolutions beside a dense branch, per-pixel layers, and a readout blended over time.

    ``layers`` multi-scale convolutions of ``width`` features at ``scales`` resolutions (softplus); a dense branch
    of two hidden layers of ``dense`` units over the whole image (tanh; omitted for 0); a 1×1 convolution (tanh).
    The 2J values y_i that are then read out for each pixel and colour do not depend on the time: z_i^μ = Σ_j y_ij^μ g_j(t),
    z_i^Σ likewise, with J = ``bumps`` functions g_j of :func:`temporal_bumps`. ``variant="code"`` is the
    code that the authors released: leaky ReLU of slope 0.05 everywhere and bumps half as wide. Shapes as in
    :mod:`dpm_core.reverse`, x ``[n, C, H, W]`` of any size, odd ones too.

    **From z to (F, v).** With ρ = ᾱ_{t−1}β_t/(1−ᾱ_t), which is 1/t under the paper's schedule, the contract reads

        f_μ = √(1−β) x + √(βρ) F,    f_Σ = β (1 + ρ (share(v) − 1)),    both exactly.

    So F is the z^μ of the authors' μ = x√(1−β) + z√β divided by √ρ, and for Eq. 65, (x−z)(1−Σ) + z, it is
    z^μ = x/2 + √SNR F + O(β); Eq. 64 has z^Σ = ρ (share(v) − 1) to lowest order in ρ. At T = 1000 an F of size 1 is a
    z between 22 (t = 2) and 0 in Eq. 65, between 0.7 and 0.03 in the code. Hence the one choice for both variants:
    F = z^μ and v = z^Σ, whose targets have the same scale at every t.

    Deviations from the paper, all due to that choice: an untrained model has the mean x√(1−β) in both variants, as in the code
    and exact for N(0, I), not Eq. 65's x(1−β); f_Σ stays above β̃, below which no optimum lies, while Eq. 64 may
    leave it; and f_μ does not depend on f_Σ, whose contribution in Eq. 65 is O(β). The code's convolutions have one scale;
    here both variants have ``scales``.
    """

    CAPPED_START = 4.0  # of v in the older form of the variance: f_Σ within 2 % of β_t, where Eq. 64 starts

    def __init__(
        self,
        shape: tuple[int, ...],
        T: int,
        width: int = 32,
        scales: int = 3,
        layers: int = 3,
        dense: int = 128,
        bumps: int = 10,
        variant: str = "paper",
    ):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(
                f"The multi-scale network is for images, and the data have the shape {shape}; use the MLP or the RBF network for points."
            )
        if variant not in VARIANTS:
            raise ValueError(f"The variant of the multi-scale network must be {' or '.join(map(repr, VARIANTS))}, not {variant!r}.")
        if not (1 <= width <= 256 and 1 <= scales <= 6 and 1 <= layers <= 8):
            given = f"width {width}, {scales} scales and {layers} layers"
            raise ValueError(f"The multi-scale network cannot have {given}; choose a width up to 256, up to 6 scales and up to 8 layers.")
        if not (0 <= dense <= 2048 and 2 <= bumps <= 100):
            given = f"{dense} dense units and {bumps} temporal bumps"
            raise ValueError(f"The multi-scale network cannot have {given}; choose up to 2048 dense units and 2 to 100 temporal bumps.")
        colours, rows, columns = shape
        scales = min(scales, 1 + int(math.log2(max(1, min(rows, columns) // 2))))  # the coarsest has at least 2 pixels a side
        paper = variant == "paper"
        self.soft: Callable[[Tensor], Tensor] = functional.softplus if paper else _leaky_relu
        self.bounded: Callable[[Tensor], Tensor] = torch.tanh if paper else _leaky_relu
        self.convolutions = nn.ModuleList([MultiScaleConvolution(width if i else colours, width, scales) for i in range(layers)])
        sizes = [colours * rows * columns, dense, dense, DENSE_OUTPUTS * rows * columns] if dense else []
        self.dense = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.pixelwise = nn.Conv2d(width + (DENSE_OUTPUTS if dense else 0), 2 * width, 1)
        self.readout = nn.Parameter(torch.zeros(bumps, 2 * width, 2 * colours))
        self.bias = nn.Parameter(torch.zeros(bumps, 2 * colours))
        self.bumps: Tensor
        self.register_buffer("bumps", temporal_bumps(T, bumps, 1.0 if paper else 0.5), persistent=False)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """(F, v), each shaped as x. Of the time only t is used, and only to blend the readouts."""
        h = self._features(x)
        # y is linear in h, so blending the J readouts before applying them gives Σ_j g_j(t) y_j at 1/J of the cost
        g = self.bumps[t].reshape(-1, len(self.readout))
        weight, bias = torch.einsum("nj,jho->nho", g, self.readout), g @ self.bias
        z = h.permute(0, 2, 3, 1).flatten(1, 2) @ weight + bias[:, None]
        F, v = z.transpose(1, 2).unflatten(2, x.shape[2:]).chunk(2, dim=1)
        return F, v

    def _features(self, x: Tensor) -> Tensor:
        """Features of each pixel, in which the readouts are linear, ``[n, 2·width, H, W]``."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 is too coarse for the finest noise levels
            h = self.soft(self.convolutions[0](x.contiguous(memory_format=torch.channels_last)))
        for layer in self.convolutions[1:]:
            h = self.soft(layer(h))
        if len(self.dense):
            d = x.flatten(1)
            for linear in self.dense:
                d = self.bounded(linear(d))
            h = torch.cat([h, d.unflatten(1, (DENSE_OUTPUTS, *x.shape[2:]))], 1)
        return self.bounded(self.pixelwise(h))


class MultiScaleConvolution(nn.Module):
    """Mean-pool to powers of two, convolve 3×3 at each scale, upsample to full resolution and add."""

    def __init__(self, inputs: int, outputs: int, scales: int):
        super().__init__()
        self.scales = nn.ModuleList([nn.Conv2d(inputs, outputs, 3, padding=1, bias=s == 0) for s in range(scales)])

    def forward(self, x: Tensor) -> Tensor:
        pooled = [x]
        for _ in self.scales[1:]:
            pooled.append(functional.avg_pool2d(pooled[-1], 2, ceil_mode=True))  # at an odd edge, the mean of the pixels present
        pictures = [scale(picture) for scale, picture in zip(self.scales, pooled)]
        total = pictures.pop()
        while pictures:  # upsampling the running sum by two each time costs less than upsampling every scale fully
            finer = pictures.pop()
            total = finer + functional.interpolate(total, size=finer.shape[2:], mode="nearest")
        return total


def _leaky_relu(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.05)
