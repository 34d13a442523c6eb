"""Factors r(x) for points in the plane: a half-plane, a ring, and a painted region."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, logsigmoid

from dpm_core.factors import FactorError, Potential

PAINT_HALF_WIDTH = 3.0  # of the square that can be painted, in standard deviations of the data
PAINT_FLOOR = 1e-3  # the value of r far from every stroke
PAINT_GRID_SIDE = 193  # points along a side of the grid that stores log r


def half_plane(angle: float, offset: float, softness: float) -> Potential:
    """Return r(x) = σ((u·x − offset)/softness): ½ on the line u·x = offset, 1 on the side that u points to; ``angle`` of u in degrees."""
    u = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=torch.float64)
    return Potential(lambda x: logsigmoid((x @ u.to(x) - offset) / softness))


def ring(radius: float, width: float) -> Potential:
    """Return r(x) = 1/cosh((|x| − radius)/width): it decays exponentially on both sides, so the gradient of log r is at most 1/width."""

    def log_r(x: Tensor) -> Tensor:
        distance = ((x.square().sum(1) + 1e-12).sqrt() - radius).abs() / width
        return math.log(2) - distance - torch.log1p(torch.exp(-2 * distance))

    return Potential(log_r)


def painted(strokes: Sequence[np.ndarray], width: float, half_width: float = PAINT_HALF_WIDTH) -> Potential:
    """Return r(x) = f + (1−f) exp(−d²/2 width²), with d the distance to the nearest stroke ``[k, 2]`` and f = PAINT_FLOOR.

    log r is stored on a grid over ±half_width and read by cubic interpolation, so that it is differentiable everywhere.
    Raises FactorError when there is no stroke.
    """
    if not strokes:
        raise FactorError("No stroke is painted; paint the region where r should be large.")
    ends = [torch.as_tensor(np.stack([stroke[:-1], stroke[1:]]) if len(stroke) > 1 else stroke[None].repeat(2, 0)) for stroke in strokes]
    a, b = torch.cat(ends, 1).double()
    axis = torch.linspace(-half_width, half_width, PAINT_GRID_SIDE, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).flip(1)  # row by row, starting at the bottom
    distance = torch.cat([_squared_distance(part, a, b) for part in x.split(4096)])
    log_r = torch.log(PAINT_FLOOR + (1 - PAINT_FLOOR) * torch.exp(-0.5 * distance / width**2)).view(1, 1, PAINT_GRID_SIDE, PAINT_GRID_SIDE)

    def read(x: Tensor) -> Tensor:
        at = (x / half_width).reshape(1, 1, -1, 2)
        log_r_x = grid_sample(log_r.to(x), at, mode="bicubic", padding_mode="border", align_corners=True).view(-1)
        return log_r_x.clamp(max=0)  # cubic interpolation slightly exceeds the maximum on a stroke

    return Potential(read)


def _squared_distance(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of points ``[n, 2]`` to the nearest of the segments a–b ``[k, 2]``, ``[n]``."""
    along = b - a
    share = ((x[:, None] - a) * along).sum(2) / along.square().sum(1).clamp(min=1e-12)
    return (x[:, None] - a - share.clamp(0, 1)[..., None] * along).square().sum(2).amin(1)
