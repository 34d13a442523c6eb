"""Networks of equal size, so that a comparison of methods is not one of numbers of parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from dpm_core.config import NetworkConfig
from dpm_core.networks import NETWORKS

WIDTHS = {"autoencoder_mlp": range(4, 513, 2), "autoencoder_conv": range(8, 129, 2)}


@cache
def parameters(network: NetworkConfig, shape: tuple[int, ...], T: int = 2) -> int:
    """Return the number of parameters of a network for data of this shape. Raises ValueError as building it does."""
    labels = {"classes": network.classes} if network.classes else {}
    with torch.device("meta"):  # counted without memory
        made = NETWORKS[network.name](shape=shape, T=T, **labels, **dict(network.params))
    return sum(p.numel() for p in made.parameters())


def matched(autoencoder: NetworkConfig, shape: tuple[int, ...], count: int) -> NetworkConfig:
    """Return the autoencoder's config with the width that brings its number of parameters nearest to ``count``."""

    def with_width(width: int) -> NetworkConfig:
        return replace(autoencoder, params=tuple(sorted((dict(autoencoder.params) | {"width": width}).items())))

    return min(map(with_width, WIDTHS[autoencoder.name]), key=lambda one: abs(parameters(one, shape) - count))
