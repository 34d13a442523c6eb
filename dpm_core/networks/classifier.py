"""A small convolutional classifier of noisy images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.embedding import LogSNREmbedding
from dpm_core.networks.registry import network
from dpm_core.networks.unet import GROUP, Block

SMALLEST = 4  # pixels along a side of the lowest level


@network(
    "classifier",
    "Classifier",
    ("images", "bits"),
    {"small": (("width", 16),), "medium": (("width", 24),), "large": (("width", 48),)},
    smallest_side=8,
    labelled=True,
    classifier=True,
)
class ImageClassifier(nn.Module):
    """Residual convolutional network, conditioned on the log signal-to-noise ratio: logits of ``classes`` for images ``[n, C, H, W]``.

    ``width`` channels at full resolution, twice as many at each of up to two levels below; means over all pixels of the lowest level
    are mapped to the logits. Raises ValueError for parameters out of range and for data that are not images.
    """

    def __init__(self, shape: tuple[int, ...], T: int, classes: int, width: int = 24):
        super().__init__()
        if len(shape) != 3 or min(shape[1:]) < 2 * SMALLEST:
            raise ValueError(f"The classifier is for images of at least {2 * SMALLEST} pixels a side, and the data have the shape {shape}.")
        if not (GROUP <= width <= 256 and width % GROUP == 0):
            raise ValueError(f"The classifier cannot have width {width}; choose a width of 8 to 256 divisible by 8.")
        levels = 3 if min(shape[1:]) >= 4 * SMALLEST else 2
        channels = [width * 2**level for level in range(levels)]
        self.embed = LogSNREmbedding(4 * width)
        self.inputs = nn.Conv2d(shape[0], width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(c, 4 * width) for c in channels)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.norm = nn.GroupNorm(channels[-1] // GROUP, channels[-1])
        self.outputs = nn.Linear(channels[-1], classes)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor) -> Tensor:
        """Logits ``[n, classes]``."""
        condition = self.embed(log_snr)
        h = self.inputs(x.contiguous(memory_format=torch.channels_last))
        for level, block in enumerate(self.blocks):
            h = block(h, condition)
            if level < len(self.shrink):
                h = self.shrink[level](h)
        return self.outputs(functional.silu(self.norm(h)).mean((2, 3)))
