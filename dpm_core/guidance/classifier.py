"""A classifier of noisy data, p(y|x⁽ᵗ⁾, t), parameterised by a network."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from dpm_core.process import LOG_SNR_LIMIT, Chain
from dpm_core.schedules import Time


class NoisyClassifier(Protocol):
    """The class probabilities of noisy data under one forward process."""

    diffusion: Chain
    classes: int

    def log_probs(self, xt: Tensor, t: Time) -> Tensor:
        """Return log p(y|x⁽ᵗ⁾, t) in nats, ``[n, classes]``, of x⁽ᵗ⁾ ``[n, ...]``."""
        ...


class Classifier(nn.Module):
    """p(y|x⁽ᵗ⁾, t) by a network, ``network(x, t, log_snr) -> logits [n, classes]``; trained with the loss "label".

    The network is given the log-SNR, so the classifier serves under any schedule (:meth:`with_diffusion`). Noise finer than that of
    t = 1 is treated as that of t = 1, the least that it was trained on.
    """

    def __init__(self, network: nn.Module, diffusion: Chain, classes: int):
        super().__init__()
        self.network, self.diffusion, self.classes = network, diffusion, classes
        self.precision = torch.float32  # of the network's computations; its outputs are cast to x's dtype
        self.finest = min(LOG_SNR_LIMIT, float(diffusion.schedule.log_snr(1)))

    def log_probs(self, xt: Tensor, t: Time) -> Tensor:
        """Return log p(y|x⁽ᵗ⁾, t) in nats, ``[n, classes]``."""
        t = torch.as_tensor(t)
        log_snr = self.diffusion.schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, self.finest).to(xt)
        with torch.autocast(xt.device.type, self.precision, enabled=self.precision != torch.float32):
            logits = self.network(self.diffusion.network_input(xt), t.to(xt.device), log_snr)
        return torch.log_softmax(logits.to(xt.dtype), 1)

    def with_diffusion(self, diffusion: Chain) -> Classifier:
        """Return the classifier with the same network under another forward process of the same kind."""
        other = copy.copy(self)  # an nn.Module whose weights are shared
        other.diffusion = diffusion
        return other
