"""Distances between two clouds of points."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sliced_wasserstein(x: Tensor, y: Tensor, projections: int = 128) -> float:
    """Sliced 2-Wasserstein distance in data units between equally many points x, y ``[n, 2]``.

    The mean squared 1-D distance over evenly spaced directions, root taken at the end.
    """
    if len(x) != len(y):
        raise ValueError("Both clouds need the same number of points.")
    angle = torch.arange(projections, dtype=x.dtype) * torch.pi / projections
    directions = torch.stack([angle.cos(), angle.sin()], 1)
    # NumPy's sort is vectorised; torch's also finds indices and takes ten times as long
    gaps = np.sort((directions @ x.T).cpu().numpy()) - np.sort((directions @ y.T).cpu().numpy())
    return float(np.sqrt(np.square(gaps).mean()))


def energy_distance(x: Tensor, y: Tensor) -> float:
    """√(2 E|X−Y| − E|X−X'| − E|Y−Y'|) in data^½ units, unbiased inner terms, for x ``[n, d]``, y ``[m, d]``.

    Small negative estimates of the square are reported as 0.
    """
    n, m = len(x), len(y)
    within = torch.cdist(x, x).sum() / (n * (n - 1)) + torch.cdist(y, y).sum() / (m * (m - 1))
    return float((2 * torch.cdist(x, y).mean() - within).clamp(min=0).sqrt())
