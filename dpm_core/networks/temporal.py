"""The time input of the paper's image network: bumps g_j(t) that blend J readouts (App. D.2.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def temporal_bumps(T: int, count: int, relative_width: float = 1.0) -> Tensor:
    """g_j(t) = exp(−(t − τ_j)²/2w²) / Σ_k exp(−(t − τ_k)²/2w²) for t = 0..T, float32 ``[T+1, count]``.

    The centres τ_j are evenly spread from 0 to T, ``count`` ≥ 2 of them; w is ``relative_width`` times their spacing.
    """
    centres = torch.linspace(0, T, count, dtype=torch.float64)
    width = relative_width * T / (count - 1)
    t = torch.arange(T + 1, dtype=torch.float64)
    return torch.softmax(-(t[:, None] - centres).square() / (2 * width**2), 1).float()
