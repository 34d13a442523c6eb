"""Build the model that a config describes: a reverse kernel, a classifier or a variational autoencoder."""

from __future__ import annotations

from typing import cast

from dpm_core.config import NetworkConfig
from dpm_core.guidance.classifier import Classifier
from dpm_core.networks import NETWORKS
from dpm_core.networks.autoencoder import Autoencoder
from dpm_core.process import Chain
from dpm_core.relatives import VAE
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.reverse.learned import build_network


def make_model(network: NetworkConfig, diffusion: Chain, shape: tuple[int, ...], seed: int = 0) -> ReverseModel | Classifier | VAE:
    """Return the untrained model of a config for data of the given shape; the same seed gives the same weights.

    Raises ValueError for an unknown network, an unknown parameter, an unsupported shape, or a classifier of fewer than two classes.
    """
    if network.name not in NETWORKS or NETWORKS[network.name].kernel:
        return build_model(network, diffusion, shape, seed)
    if NETWORKS[network.name].autoencoder:
        return VAE(cast(Autoencoder, build_network(network, diffusion.T, shape, seed)), diffusion)
    if network.classes < 2:
        raise ValueError(f"A classifier needs at least two classes, not {network.classes}; choose data with labels.")
    return Classifier(build_network(network, diffusion.T, shape, seed), diffusion, network.classes)
