"""How varied samples are, and how near to the data that a model was trained on."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 8192  # training data compared at once


def nearest(x: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of ``pool`` ``[N, ...]`` is nearest to each of x ``[n, ...]``, int64 ``[n]``, and its Euclidean distance ``[n]``."""
    flat = x.flatten(1).double()
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    which = torch.zeros(len(x), dtype=torch.int64)
    for start in range(0, len(pool), CHUNK):
        distance = torch.cdist(flat, pool[start : start + CHUNK].flatten(1).double())
        least, row = distance.min(1)
        which = torch.where(least < best, row + start, which)
        best = torch.minimum(least, best)
    return which, best


def spread(x: Tensor) -> float:
    """Return the root mean square distance between two different samples of x ``[n, ...]``, per dimension; 0 for a single sample.

    For independent data of variance 1 it is √2. It is √2 times the standard deviation about the mean of the samples.
    """
    if len(x) < 2:
        return 0.0
    return float((2 * x.flatten(1).double().var(0)).mean().sqrt())
