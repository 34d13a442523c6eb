"""What a model must know of its images, and how grey levels become the numbers that it sees.

Images are uint8 grey levels 0..255 for display and storage. Models see x = (level + u − mean)/scale with u uniform on
[0, 1): the dequantisation noise that turns discrete levels into a density (footnote 3 of the paper). x has mean 0 and
variance 1 over the training set, and floor(x·scale + mean) is the level again, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

# x is float32, which rounds a level near 256 by up to 2⁻¹⁷ and x·scale + mean by a small multiple of that. Dequantisation noise
# at least this far from both ends of its level never crosses them; the limit moves 1 in 4,096 pixels by less than 2⁻¹³.
MARGIN = 2.0**-13


@dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images and the two constants that standardise all their pixels and channels.

    ``mean`` and ``scale`` are in levels. There are ``levels`` of them, evenly spaced over the grey levels 0..255; with 256
    levels they are the grey levels themselves. (The 8 × 8 digits have 17: dequantisation by one grey level would leave gaps of
    15 grey levels between them, and the density would measure these gaps.)
    """

    name: str
    title: str
    shape: tuple[int, int, int]  # channels (1 or 3), height, width
    mean: float
    scale: float
    levels: int = 256
    classes: tuple[str, ...] = ()  # names by label; empty without labels

    kind: ClassVar[str] = "images"

    @property
    def spec(self) -> ImageSpec:
        """The spec alone, which can be compared, hashed and stored."""
        return ImageSpec(self.name, self.title, self.shape, self.mean, self.scale, self.levels, self.classes)

    @property
    def dims(self) -> int:
        """Numbers in one image, C·H·W."""
        return self.pixels_count * self.shape[0]

    @property
    def pixels_count(self) -> int:
        """H·W, the divisor of the paper's bits per pixel."""
        return self.shape[1] * self.shape[2]

    @property
    def finest_log_snr(self) -> float:
        """Log-SNR (nats) at which the noise of diffusion has e⁻² of the variance of the dequantisation noise, (1/scale)²/12.

        A chain that starts there loses almost none of the density of the levels in its fixed step t = 1.
        """
        return round(math.log(12 * self.scale**2) + 2, 1)

    def bits_per_dimension(self, bound_bits: float) -> float:
        """K of one image in bits as the length of a code: log₂(scale) − K/(C·H·W) bits for each level of each pixel and channel.

        K is a density of standardised values; a level is 1/scale of their unit. The length depends neither on the scale nor on the
        variance of the data, so it compares data sets and papers. An upper bound, as K is a lower bound and u is dequantised uniformly.
        """
        return math.log2(self.scale) - bound_bits / self.dims

    def standardise(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x, float32, of uint8 ``images`` ``[n, C, H, W]``: dequantised by ``generator``, or at the middle of each level without one."""
        if generator is None:
            x = torch.full(images.shape, 0.5, device=images.device)
        else:
            x = torch.rand(images.shape, generator=generator, device=generator.device).to(images.device).clamp_(MARGIN, 1 - MARGIN)
        x += images if self.levels == 256 else (images * ((self.levels - 1) / 255)).round_()
        return x.sub_(self.mean).mul_(1 / self.scale)

    def pixels(self, x: Tensor) -> Tensor:
        """The grey levels of ``x`` ``[n, C, H, W]``, uint8: the inverse of ``standardise``, clamped to 0..255."""
        levels = (x.float() * self.scale + self.mean).floor_().clamp_(0, self.levels - 1)
        return (levels if self.levels == 256 else (levels * (255 / (self.levels - 1))).round_()).to(torch.uint8)
