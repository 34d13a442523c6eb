"""An energy that is known on a grid of the plane only, as a smooth function that samplers with gradients can use.

Cubic B-splines have two continuous derivatives, so Hamiltonian dynamics conserves the interpolated energy as well as any other. The
energy of a score network is found by least squares: a network's score is not exactly a gradient, and its energy is the one whose gradient
is nearest to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import dctn, idctn
from scipy.ndimage import spline_filter
from torch import Tensor

WALL = 50.0  # curvature of the energy outside the grid, which keeps samples near it


class GridEnergy:
    """E(x) for x ``[n, 2]`` from values ``[m, m]`` at the points (axis[i], axis[j]) of an even axis ``[m]``; callable, differentiable.

    Between grid points a cubic spline; outside the grid the value at its edge plus a parabola. Raises ValueError for values that are not
    finite or do not fit the axis.
    """

    def __init__(self, axis: np.ndarray, values: np.ndarray):
        axis, values = np.asarray(axis, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if values.shape != (len(axis), len(axis)) or len(axis) < 4 or not np.isfinite(values).all():
            raise ValueError(f"An energy on {len(axis)} × {len(axis)} points needs as many finite values, not {list(values.shape)}.")
        self._low, self._cell, self._size = float(axis[0]), float(axis[1] - axis[0]), len(axis)
        padded = np.pad(spline_filter(values, order=3, mode="mirror"), 1, mode="reflect")  # a mirror, as the filter assumes
        self._coefficients = torch.from_numpy(padded.ravel())

    def __call__(self, x: Tensor) -> Tensor:
        u = (x.double() - self._low) / self._cell
        inside = u.clamp(0, self._size - 1)
        first = inside.detach().floor().clamp(max=self._size - 2)
        weights = _cubic(inside - first)  # [n, 2, 4]
        start = first.long()
        rows = start[:, 0, None] + torch.arange(4)
        columns = start[:, 1, None] + torch.arange(4)
        table = self._coefficients[rows[:, :, None] * (self._size + 2) + columns[:, None, :]]
        value = torch.einsum("ni,nij,nj->n", weights[:, 0], table, weights[:, 1])
        return value + 0.5 * WALL * ((u - inside) * self._cell).square().sum(1)


def _cubic(s: Tensor) -> Tensor:
    """The four cubic B-splines that are not zero at a position s in its cell, from 0 to 1: ``[..., 4]``."""
    r = 1 - s
    return torch.stack([r**3, 3 * s**3 - 6 * s**2 + 4, 3 * r**3 - 6 * r**2 + 4, s**3], -1) / 6


class Potential(NamedTuple):
    """The energy ``[m, m]`` whose −gradient is nearest to a field, and the share of the field's mean square that is no gradient."""

    values: np.ndarray
    rest: float


def potential(field: np.ndarray, cell: float, weights: np.ndarray | None = None, iterations: int = 300) -> Potential:
    """Return the E that minimises Σ w |∇E + s|² for a score s, ``[m, m, 2]``, on a grid with this distance between points.

    The differences of E between neighbours are compared with the mean of s at both. ``weights`` ``[m, m]``: by default even, when the
    normal equations are a Poisson equation that a cosine transform solves; otherwise conjugate gradients with that solution as the
    preconditioner. The additive constant is chosen so that the smallest value is 0.
    """
    m = len(field)
    w = np.ones((m, m)) if weights is None else np.asarray(weights, dtype=np.float64) / np.max(weights)
    goal = [-cell * (field[1:, :, 0] + field[:-1, :, 0]) / 2, -cell * (field[:, 1:, 1] + field[:, :-1, 1]) / 2]
    edges = [(w[1:] + w[:-1]) / 2, (w[:, 1:] + w[:, :-1]) / 2]

    def transposed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        out = np.zeros((m, m))
        out[1:] += first
        out[:-1] -= first
        out[:, 1:] += second
        out[:, :-1] -= second
        return out

    def normal(E: np.ndarray) -> np.ndarray:
        return transposed(edges[0] * np.diff(E, axis=0), edges[1] * np.diff(E, axis=1))

    eigenvalues = 2 - 2 * np.cos(np.pi * np.arange(m) / m)
    scale = eigenvalues[:, None] + eigenvalues[None]
    scale[0, 0] = 1

    def precondition(r: np.ndarray) -> np.ndarray:
        transformed = dctn(r, norm="ortho") / scale
        transformed[0, 0] = 0
        return idctn(transformed, norm="ortho")

    E = precondition(transposed(*goal))  # of even weights: exact where there are no others, and a good start
    if weights is not None:
        b = transposed(edges[0] * goal[0], edges[1] * goal[1])
        E = _conjugate_gradients(normal, precondition, b, E, iterations)
    rest = sum(float((e * (np.diff(E, axis=i) - g) ** 2).sum()) for i, (e, g) in enumerate(zip(edges, goal)))
    power = sum(float((e * g**2).sum()) for e, g in zip(edges, goal))
    return Potential(E - E.min(), rest / max(power, 1e-300))


def _conjugate_gradients(A, precondition, b: np.ndarray, x: np.ndarray, iterations: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    r = b - A(x)
    z = precondition(r)
    p, rz = z, float((r * z).sum())
    enough = 1e-16 * float((b * b).sum())
    for _ in range(iterations):
        if float((r * r).sum()) <= enough:
            break
        Ap = A(p)
        step = rz / float((p * Ap).sum())
        x, r = x + step * p, r - step * Ap
        z = precondition(r)
        rz, before = float((r * z).sum()), rz
        p = z + rz / before * p
    return x
