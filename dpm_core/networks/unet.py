"""A small modern U-Net for images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.embedding import LabelEmbedding, LogSNREmbedding
from dpm_core.networks.registry import network

CHANNELS = (1, 2, 4, 4, 4)  # of each level, in units of the width
PERIODS = (1, 2, 4)  # of the Fourier features, in grey levels
GROUP = 8  # channels per group of GroupNorm


@network(
    "unet",
    "U-Net",
    ("images", "bits"),
    {"small": (("width", 16),), "medium": (("width", 32),), "large": (("attention", True), ("blocks", 2), ("width", 64))},
    smallest_side=8,
    labelled=True,
)
class UNet(nn.Module):
    """Residual U-Net (Ronneberger et al. 2015; Ho et al. 2020) conditioned on the log signal-to-noise ratio.

    ``width`` channels at full resolution, twice and four times as many below, ``levels`` resolutions, ``blocks``
    residual blocks at each on the way down and up; self-attention of one head at the lowest level when
    ``attention``. ``grey_levels``, the number of grey levels in one unit of x (an image set's scale), adds Fourier
    features of the input: they raise K where the schedule starts at noise finer than a level. ``classes`` of an optional label.
    Shapes as in :mod:`dpm_core.reverse`, x ``[n, C, H, W]``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        T: int,
        width: int = 32,
        levels: int = 3,
        blocks: int = 1,
        attention: bool = False,
        grey_levels: float = 0.0,
        classes: int = 0,
    ):
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"The U-Net is for images, and the data have the shape {shape}; use the MLP or the RBF network for points.")
        if not 0 <= grey_levels < math.inf:
            raise ValueError(
                f"The U-Net's grey levels in one unit must be a positive number, or 0 for no Fourier features, not {grey_levels}."
            )
        if not (8 <= width <= 256 and width % GROUP == 0 and 1 <= levels <= 5 and 1 <= blocks <= 4):
            given = f"width {width}, {levels} levels and {blocks} blocks"
            raise ValueError(
                f"The U-Net cannot have {given}; choose a width of 8 to 256 divisible by 8, up to 5 levels and up to 4 blocks."
            )
        colours = shape[0]
        levels = min(levels, 1 + int(math.log2(max(1, min(shape[1:]) // 4))))  # the lowest has at least 4 pixels a side
        channels = [width * m for m in CHANNELS[:levels]]
        condition = 4 * width
        self.embed = LogSNREmbedding(condition)
        self.labels = LabelEmbedding(classes, condition) if classes else None
        self.fourier = FourierFeatures(grey_levels) if grey_levels else nn.Identity()
        self.inputs = nn.Conv2d(colours * (1 + 2 * len(PERIODS) if grey_levels else 1), width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, c in enumerate(channels):
            self.down.append(Blocks(c, blocks, condition))
            if level + 1 < levels:
                self.shrink.append(nn.Conv2d(c, channels[level + 1], 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(channels[level + 1], c, 1))
                self.up.append(Blocks(c, blocks, condition))
        self.attention = Attention(channels[-1]) if attention else nn.Identity()
        self.middle = Block(channels[-1], condition)
        self.norm = nn.GroupNorm(width // GROUP, width)
        self.outputs = nn.Conv2d(width, 2 * colours, 3, padding=1)
        _zero(self.outputs)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(F, v), each shaped as x."""
        condition = self.embed(log_snr)
        if self.labels is not None:
            condition = condition + self.labels(label)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 is too coarse for the finest noise levels
            h = self.inputs(self.fourier(x).contiguous(memory_format=torch.channels_last))
        skips = []
        for level, blocks in enumerate(self.down):
            h = blocks(h, condition)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](h)
        h = self.middle(self.attention(h), condition)
        for level in reversed(range(len(skips))):
            # the 1×1 convolution commutes with the upsampling, and costs a quarter before it
            h = functional.interpolate(self.grow[level](h), size=skips[level].shape[-2:], mode="nearest")
            h = self.up[level](h + skips[level], condition)
        with torch.autocast(x.device.type, enabled=False):
            F, v = self.outputs(functional.silu(self.norm(h.to(x.dtype)))).chunk(2, dim=1)
        return F, v


class FourierFeatures(nn.Module):
    """The input with sines and cosines of it beside it: ``[n, C, H, W]`` to ``[n, 7 C, H, W]``.

    Their periods are 1, 2 and 4 grey levels, of which one unit of x has ``grey_levels``. A network sees by them where inside a level
    a value lies, which the smooth functions that it learns from x alone do not resolve (Kingma et al. 2021, appendix C).
    """

    def __init__(self, grey_levels: float):
        super().__init__()
        self.frequencies = [2 * math.pi * grey_levels / period for period in PERIODS]

    def forward(self, x: Tensor) -> Tensor:
        """The features of an image."""
        phases = torch.cat([frequency * x for frequency in self.frequencies], 1)
        return torch.cat([x, phases.sin(), phases.cos()], 1)


class Blocks(nn.ModuleList):
    """A sequence of residual blocks."""

    def __init__(self, channels: int, count: int, condition: int):
        super().__init__([Block(channels, condition) for _ in range(count)])

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        for block in self:
            x = block(x, condition)
        return x


class Block(nn.Module):
    """Residual block: two 3×3 convolutions, each after GroupNorm and SiLU; the condition scales and shifts in between."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(channels // GROUP, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * channels)
        self.norm2 = nn.GroupNorm(channels // GROUP, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.conv2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(torch.addcmul(shift, self.norm2(h), 1 + scale)))
        return x + h


class Attention(nn.Module):
    """Self-attention over all pixels, one head, added to its input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(channels // GROUP, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        _zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.out(mixed.transpose(1, 2).reshape(x.shape))


def _zero(layer: nn.Module) -> None:
    """Initialise a layer with zeros, so that at first it adds nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
