"""A Hessian from the changes of a gradient: BFGS over a short history, in the subspace that the history spans."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FLATTEST = 1e-8  # smallest eigenvalue of a Hessian, relative to its largest


class SecantHessian(NamedTuple):
    """The Hessian Q B Qᵀ + scale (1 − Q Qᵀ): B ``[r, r]`` on the directions Q ``[K, r]``, and one curvature along all others."""

    directions: Tensor
    inside: Tensor
    scale: float

    def matrix(self) -> Tensor:
        """Return the Hessian as a matrix ``[K, K]``."""
        K, r = self.directions.shape
        low = self.directions @ (self.inside - self.scale * torch.eye(r, dtype=torch.float64)) @ self.directions.T
        return self.scale * torch.eye(K, dtype=torch.float64) + 0.5 * (low + low.T)


def from_history(steps: Tensor, changes: Tensor) -> SecantHessian:
    """Return the Hessian that BFGS builds from h differences of positions and of gradients, ``[h, K]`` each, the newest last.

    All pairs must have a positive product s·y; the secant equation H s = y then holds for the newest pair. BFGS starts from the smallest
    curvature that the history shows: the smallest singular value of the matrix C with C s = y for all pairs. An eigenvalue below FLATTEST
    times the largest, which rounding can leave, is replaced by the median. Sohl-Dickstein, Poole & Ganguli (2014).
    """
    count = len(steps)
    directions = torch.linalg.qr(torch.cat([steps, changes]).T).Q
    s, y = directions.T @ steps.T, directions.T @ changes.T
    curvatures = torch.linalg.svdvals(y @ torch.linalg.pinv(s))[:count]
    scale = max(float(curvatures[-1]), FLATTEST * float(curvatures[0]))
    inside = scale * torch.eye(directions.shape[1], dtype=torch.float64)
    for i in range(count):
        inside = bfgs(inside, s[:, i], y[:, i])
    values, vectors = torch.linalg.eigh(inside)
    flat = values < FLATTEST * values[-1]
    if bool(flat.any()):
        values = torch.where(flat, values[~flat].median(), values)
        inside = (vectors * values) @ vectors.T
    return SecantHessian(directions, inside, scale)


def bfgs(hessian: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """Return the Hessian after one BFGS update, for which H s = y (Nocedal & Wright, Numerical Optimization, Eq. 6.19)."""
    Hs = hessian @ s
    return hessian + torch.outer(y, y) / (s @ y) - torch.outer(Hs, Hs) / (s @ Hs)
