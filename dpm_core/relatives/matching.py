"""Networks of equal size, so that a comparison of methods is not one of numbers of parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import torch

from dpm_core.config import NetworkConfig
from dpm_core.networks import NETWORKS

SIZES: dict[str, dict[str, range]] = {  # what may be varied to reach a number of parameters
    "autoencoder_mlp": {"width": range(4, 513, 2)},
    "autoencoder_conv": {"width": range(8, 129, 4), "blocks": range(1, 5)},
}


@cache
def parameters(network: NetworkConfig, shape: tuple[int, ...], T: int = 2) -> int:
    """Return the number of parameters of a network for data of this shape. Raises ValueError as building it does."""
    labels = {"classes": network.classes} if network.classes else {}
    with torch.device("meta"):  # counted without memory
        made = NETWORKS[network.name](shape=shape, T=T, **labels, **dict(network.params))
    return sum(p.numel() for p in made.parameters())


def matched(autoencoder: NetworkConfig, shape: tuple[int, ...], count: int) -> NetworkConfig:
    """Return the autoencoder's config with the width and blocks that bring its number of parameters nearest to ``count``."""
    varied = SIZES[autoencoder.name]
    found = [
        replace(autoencoder, params=tuple(sorted((dict(autoencoder.params) | dict(zip(varied, values))).items())))
        for values in product(*varied.values())
    ]
    return min(found, key=lambda one: abs(parameters(one, shape) - count))
