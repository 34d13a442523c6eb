"""The time input of networks for images and bits: smooth features of the log signal-to-noise ratio."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LogSNREmbedding(nn.Module):
    """Sines and cosines of the log-SNR (frequencies 0.1 to 2 per nat), then a small MLP: ``[n or 1, width]``."""

    def __init__(self, width: int):
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(torch.linspace(math.log(0.1), math.log(2.0), 16)))
        self.layers = nn.Sequential(nn.Linear(33, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, log_snr: Tensor) -> Tensor:
        """Features of a scalar or ``[n]`` log-SNR; a scalar is embedded once for the whole batch."""
        levels = log_snr.reshape(-1, 1)
        phase = levels * self.frequencies
        return self.layers(torch.cat([levels / 8, phase.sin(), phase.cos()], 1))
