"""Networks: ``network(x, t, log_snr) -> (F, v)``, the contract stated in :mod:`dpm_core.reverse`."""

from __future__ import annotations

from torch import nn

from dpm_core.networks.mlp import MLP
from dpm_core.networks.rbf import RBF
from dpm_core.networks.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "rbf": RBF, "unet": UNet}
