"""Networks: ``network(x, t, log_snr) -> (F, v)``, the contract stated in :mod:`dpm_core.reverse`.

Every file of this folder is imported, so that a new network needs no other change.
"""

import importlib
import pkgutil

from dpm_core.networks.registry import NETWORKS, Network, network, networks_for

_IN_ORDER = ("mlp", "rbf", "unet", "multiscale", "bits", "unet2d", "classifier", "autoencoder")  # the order of menus; other files follow
for _name in dict.fromkeys([*_IN_ORDER, *(_module.name for _module in pkgutil.iter_modules(__path__))]):
    importlib.import_module(f"{__name__}.{_name}")

from dpm_core.networks.bits import BitMLP, SigmoidMLP  # noqa: E402 - after the networks in the order of menus
from dpm_core.networks.mlp import MLP  # noqa: E402
from dpm_core.networks.multiscale import MultiScale  # noqa: E402
from dpm_core.networks.rbf import RBF  # noqa: E402
from dpm_core.networks.unet import UNet  # noqa: E402

__all__ = ["MLP", "NETWORKS", "RBF", "BitMLP", "MultiScale", "Network", "SigmoidMLP", "UNet", "network", "networks_for"]
