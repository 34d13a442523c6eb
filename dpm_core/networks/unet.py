"""A small modern U-Net for images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.embedding import LogSNREmbedding

CHANNELS = (1, 2, 4, 4, 4)  # of each level, in widths
GROUP = 8  # channels that GroupNorm normalises together


class UNet(nn.Module):
    """Residual U-Net (Ronneberger et al. 2015; Ho et al. 2020) conditioned on the log signal-to-noise ratio.

    ``width`` channels at full resolution, doubled and then tripled below, ``levels`` resolutions, ``blocks``
    residual blocks at each on the way down and up; self-attention of one head at the lowest level when
    ``attention``. Shapes as in :mod:`dpm_core.reverse`, x ``[n, C, H, W]``.

    Beside x the first layer sees the local residual (x − mean of its 3×3 neighbours)/√(1−ᾱ), squashed by
    tanh: where the picture is flat that *is* the noise, however small, so that fine noise need not be
    amplified by the weights (the purpose of the Fourier features of Kingma et al. 2021).
    """

    def __init__(
        self, shape: tuple[int, ...], T: int, width: int = 32, levels: int = 3, blocks: int = 1, attention: bool = False, residual: bool = True
    ):
        super().__init__()
        if len(shape) != 3:
            raise ValueError("The U-Net is for images; points take the MLP or the RBF network.")
        if not (8 <= width <= 256 and width % GROUP == 0 and 1 <= levels <= 5 and 1 <= blocks <= 4):
            raise ValueError("The U-Net takes a width of 8 to 256 divisible by 8, up to 5 levels and up to 4 blocks.")
        colours = shape[0]
        levels = min(levels, 1 + int(math.log2(max(1, min(shape[1:]) // 4))))  # the lowest keeps at least 4 pixels a side
        channels = [width * m for m in CHANNELS[:levels]]
        condition = 4 * width
        self.embed = LogSNREmbedding(condition)
        self.residual = residual
        self.inputs = nn.Conv2d(colours * (2 if residual else 1), width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, c in enumerate(channels):
            self.down.append(nn.ModuleList([Block(c, c, condition) for _ in range(blocks)]))
            if level + 1 < levels:
                self.shrink.append(nn.Conv2d(c, channels[level + 1], 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(channels[level + 1], c, 1))
                self.up.append(nn.ModuleList([Block(c, c, condition) for _ in range(blocks)]))
        self.attention = Attention(channels[-1]) if attention else nn.Identity()
        self.middle = Block(channels[-1], channels[-1], condition)
        self.norm = nn.GroupNorm(width // GROUP, width)
        self.outputs = nn.Conv2d(width, 2 * colours, 3, padding=1)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        """(F, v), each shaped as x."""
        condition = self.embed(log_snr)
        if self.residual:
            sigma = torch.sigmoid(-log_snr).sqrt().reshape(-1, 1, 1, 1)
            x = torch.cat([x, torch.tanh((x - _blur(x)) / (2 * sigma))], 1)
        h = self.inputs(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, condition)
            if level < len(self.shrink):
                kept.append(h)
                h = self.shrink[level](h)
        h = self.middle(self.attention(h), condition)
        for level in reversed(range(len(kept))):
            # the 1×1 convolution is linear, so it may come before the enlargement, at a quarter of the work
            h = functional.interpolate(self.grow[level](h), size=kept[level].shape[-2:], mode="nearest")
            h = h + kept[level]
            for block in self.up[level]:
                h = block(h, condition)
        F, v = self.outputs(functional.silu(self.norm(h))).chunk(2, dim=1)
        return F, v


class Block(nn.Module):
    """Residual block: two 3×3 convolutions, each after GroupNorm and SiLU; the condition scales and shifts in between."""

    def __init__(self, inputs: int, outputs: int, condition: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(inputs // GROUP, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * outputs)
        self.norm2 = nn.GroupNorm(outputs // GROUP, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        return self.skip(x) + h


class Attention(nn.Module):
    """Self-attention over all pixels, one head, added to its input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(channels // GROUP, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.out(mixed.transpose(1, 2).reshape(x.shape))


def _blur(x: Tensor) -> Tensor:
    """Mean over the 3×3 neighbourhood, counting only pixels inside the picture."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
