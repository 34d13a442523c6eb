"""The inputs of networks beside x⁽ᵗ⁾: smooth features of the log signal-to-noise ratio, and the label y."""

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


class LabelEmbedding(nn.Module):
    """A learned vector for each of ``classes`` labels, and one for "no label", all 0 at first: ``[n or 1, width]``."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.classes = classes
        self.vectors = nn.Embedding(classes + 1, width)
        nn.init.zeros_(self.vectors.weight)

    def forward(self, label: Tensor | None) -> Tensor:
        """Vectors of a scalar or ``[n]`` int64 label in 0..classes, where ``classes``, as None, means "no label"."""
        if label is None:
            return self.vectors.weight[-1:]
        return self.vectors(label.reshape(-1))
