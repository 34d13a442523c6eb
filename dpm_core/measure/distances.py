"""Distances between two sets of points."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sliced_wasserstein(x: Tensor, y: Tensor, projections: int = 128) -> float:
    """Return the sliced 2-Wasserstein distance, in data units, between point sets x and y ``[n, 2]`` of equal size.

    It is the root of the mean squared one-dimensional distance over evenly spaced directions. Raises ValueError for unequal sizes.
    """
    if len(x) != len(y):
        raise ValueError(f"Both sets need the same number of points; they have {len(x)} and {len(y)}.")
    angle = torch.arange(projections, dtype=x.dtype) * torch.pi / projections
    directions = torch.stack([angle.cos(), angle.sin()], 1)
    # NumPy's sort is vectorised; torch.sort also computes indices and takes ten times as long
    gaps = np.sort((directions @ x.T).cpu().numpy()) - np.sort((directions @ y.T).cpu().numpy())
    return float(np.sqrt(np.square(gaps).mean()))


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return the energy distance √(2 E|X−Y| − E|X−X'| − E|Y−Y'|), in units of data^½, for x ``[n, d]`` and y ``[m, d]``.

    The inner terms are unbiased estimates; a small negative estimate of the square is returned as 0.
    """
    n, m = len(x), len(y)
    within = torch.cdist(x, x).sum() / (n * (n - 1)) + torch.cdist(y, y).sum() / (m * (m - 1))
    return float((2 * torch.cdist(x, y).mean() - within).clamp(min=0).sqrt())
