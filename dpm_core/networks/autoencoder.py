"""Encoders and decoders of variational autoencoders, for points and for images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.networks.registry import network

GROUP = 4  # channels per group of GroupNorm
LOG_DEVIATIONS = (-7.0, 3.0)  # the range of the logarithm of a standard deviation, in nats


class Autoencoder(nn.Module):
    """An encoder and a decoder, both with Gaussian outputs: ``encode(x)`` and ``decode(z)`` give means and log standard deviations.

    ``latent``: dimensions of z, at most those of x. ``deviation``: the decoder's fixed standard deviation, or 0 for one that it learns for
    every element of x.
    """

    def __init__(self, shape: tuple[int, ...], latent: int, deviation: float):
        super().__init__()
        most = math.prod(shape)
        if not 1 <= latent <= most:
            raise ValueError(f"The autoencoder cannot have {latent} latent dimensions; choose 1 to {most}, the dimensions of the data.")
        if not 0 <= deviation < math.inf:
            raise ValueError(f"The decoder's standard deviation must be positive, or 0 to learn it, not {deviation}.")
        self.shape, self.latent, self.deviation = shape, latent, float(deviation)
        self.encoder: Callable[[Tensor], Tensor]
        self.decoder: Callable[[Tensor], Tensor]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x), each ``[n, latent]``, of x ``[n, ...]``."""
        mean, log_deviation = self.encoder(x).chunk(2, 1)
        return mean, log_deviation.clamp(*LOG_DEVIATIONS)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of p(x|z), each ``[n, ...]``, of z ``[n, latent]``."""
        out = self.decoder(z)
        if self.deviation:
            return out, torch.full_like(out, math.log(self.deviation))
        mean, log_deviation = out.chunk(2, 1)
        return mean, log_deviation.clamp(*LOG_DEVIATIONS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's answer to the encoder's mean."""
        return self.decode(self.encode(x)[0])


@network(
    "autoencoder_mlp", "Autoencoder (MLP)", ("points",), {"small": (("width", 64),), "medium": (), "large": (("width", 256),)},
    autoencoder=True,
)  # fmt: skip
class PointsAutoencoder(Autoencoder):
    """A variational autoencoder of points: two MLPs of ``depth`` residual blocks of ``width`` units each.

    Each is given its input with ``features`` random Fourier features, whose frequencies have standard deviation 1.
    """

    def __init__(
        self, shape: tuple[int, ...], T: int = 2, width: int = 128, depth: int = 2, features: int = 16,
        latent: int = 2, deviation: float = 0.0,
    ):  # fmt: skip
        if len(shape) != 1:
            raise ValueError(f"This autoencoder is for points, and the data have the shape {shape}; use autoencoder_conv for images.")
        if not (1 <= width <= 1024 and 1 <= depth <= 16 and 1 <= features <= 512):
            given = f"width {width}, depth {depth} and {features} features"
            raise ValueError(f"The autoencoder cannot have {given}; choose a width up to 1024, a depth up to 16 and up to 512 features.")
        super().__init__(shape, latent, deviation)
        (dims,) = shape
        self.encoder = _perceptron(dims, features, width, depth, 2 * latent)
        self.decoder = _perceptron(latent, features, width, depth, dims if deviation else 2 * dims)


@network(
    "autoencoder_conv", "Autoencoder (convolutional)", ("images",),
    {"small": (("width", 16),), "medium": (), "large": (("width", 48),)}, smallest_side=8, autoencoder=True,
)  # fmt: skip
class ImageAutoencoder(Autoencoder):
    """A variational autoencoder of images: convolutions with ``width`` channels, twice and four times as many at half and quarter size.

    There are one residual block at the first two sizes and ``blocks`` at the last, on the way down and on the way up.
    """

    def __init__(
        self, shape: tuple[int, ...], T: int = 2, width: int = 32, blocks: int = 1, latent: int = 16, deviation: float = 0.0
    ):  # fmt: skip
        if len(shape) != 3 or min(shape[1:]) < 8:
            raise ValueError(f"This autoencoder is for images of at least 8 pixels a side, and the data have the shape {shape}.")
        if not (8 <= width <= 256 and width % GROUP == 0):
            raise ValueError(f"The autoencoder cannot have width {width}; choose a width of 8 to 256 divisible by 4.")
        if not 1 <= blocks <= 16:
            raise ValueError(f"The autoencoder cannot have {blocks} blocks; choose 1 to 16.")
        super().__init__(shape, latent, deviation)
        colours, *sides = shape
        half = [math.ceil(side / 2) for side in sides]
        low = [math.ceil(side / 2) for side in half]
        inner = 4 * width * math.prod(low)
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, width, 3, padding=1), _Block(width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), _Block(2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), *(_Block(4 * width) for _ in range(blocks)),
            nn.Flatten(), nn.Linear(inner, 2 * latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent, inner), nn.Unflatten(1, (4 * width, *low)),
            *(_Block(4 * width) for _ in range(blocks)),
            _Enlarge(4 * width, 2 * width, half), _Block(2 * width),
            _Enlarge(2 * width, width, sides), _Block(width),
            nn.GroupNorm(width // GROUP, width), nn.SiLU(), nn.Conv2d(width, colours if deviation else 2 * colours, 3, padding=1),
        )  # fmt: skip


class _Block(nn.Module):
    """Two 3×3 convolutions, each after GroupNorm and SiLU, added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(channels // GROUP, channels) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.silu(self.norm2(self.conv1(functional.silu(self.norm1(x))))))


class _Enlarge(nn.Module):
    """A 1×1 convolution, then the nearest pixels of a larger image."""

    def __init__(self, channels: int, out: int, sides: list[int]):
        super().__init__()
        self.mix, self.sides = nn.Conv2d(channels, out, 1), sides

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(self.mix(x), size=self.sides, mode="nearest")


class _Residual(nn.Module):
    """A linear layer and SiLU, added to the input."""

    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.silu(self.layer(x))


class _Features(nn.Module):
    """The input, and the sines and cosines of random projections of it."""

    def __init__(self, inputs: int, features: int):
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.randn(inputs, features))

    def forward(self, x: Tensor) -> Tensor:
        angle = x @ self.frequencies
        return torch.cat([x, angle.sin(), angle.cos()], 1)


def _perceptron(inputs: int, features: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    first = nn.Linear(inputs + 2 * features, width)
    blocks = (_Residual(width) for _ in range(depth))
    return nn.Sequential(_Features(inputs, features), first, nn.SiLU(), *blocks, nn.Linear(width, outputs))
