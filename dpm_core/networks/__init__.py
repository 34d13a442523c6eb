"""Networks: ``network(x, t, log_snr) -> (F, v)``, the contract stated in :mod:`dpm_core.reverse`."""

from __future__ import annotations

from typing import Any

from torch import nn

from dpm_core.networks.bits import BitMLP, SigmoidMLP
from dpm_core.networks.mlp import MLP
from dpm_core.networks.multiscale import MultiScale
from dpm_core.networks.rbf import RBF
from dpm_core.networks.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "rbf": RBF,
    "unet": UNet,
    "multiscale": MultiScale,
    "bit_mlp": BitMLP,
    "sigmoid": SigmoidMLP,
}
PLANE_NETWORKS = ("mlp", "rbf")
IMAGE_NETWORKS = ("unet", "multiscale")
BIT_NETWORKS = ("bit_mlp", "sigmoid")  # of any shape; bits in a plane also take the U-Net

# sorted (name, value) pairs, as a NetworkConfig takes them; what is not named keeps its default
SIZES: dict[str, dict[str, tuple[tuple[str, Any], ...]]] = {
    "mlp": {"small": (("width", 64),), "medium": (), "large": (("width", 256),)},
    "rbf": {"small": (("units", 16),), "medium": (("units", 64),), "large": (("units", 256),)},
    "unet": {
        "small": (("width", 16),),
        "medium": (("width", 32),),
        "large": (("attention", True), ("blocks", 2), ("width", 64)),
    },
    "multiscale": {
        "small": (("layers", 2), ("width", 16)),
        "medium": (),
        "large": (("dense", 256), ("layers", 4), ("width", 64)),
    },
    "bit_mlp": {"small": (), "medium": (("width", 256),), "large": (("depth", 4), ("width", 512))},
    "sigmoid": {"small": (), "medium": (("units", 100),), "large": (("units", 200),)},
}
