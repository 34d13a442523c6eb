"""A subspace that grows by the directions of gradients and is reduced when it is full (Sohl-Dickstein, Poole & Ganguli 2014)."""

from __future__ import annotations

import torch
from torch import Tensor

SAME = 1e-12  # part of a vector outside the subspace, relative to its norm, that is ignored
WIDER, SPARE = 1.5, 20  # room beyond the dimensions that are needed: a factor, and directions at least


class Subspace:
    """Positions ``origin`` + ``basis`` @ x with coordinates x ``[K]``; the first ``size`` columns of the basis ``[M, K]`` are orthonormal.

    The others are 0. It keeps ``least`` directions when it is reduced; K is larger, but at most M. With K = M it is the whole space.
    """

    TENSORS = ("origin", "basis")

    def __init__(self, origin: Tensor, least: int):
        M = len(origin)
        K = min(M, max(round(WIDER * least), least + SPARE))
        self.origin, self.least = origin, least
        self.basis = torch.eye(M, dtype=torch.float64) if K == M else torch.zeros(M, K, dtype=torch.float64)
        self.size = M if K == M else 0

    @property
    def full(self) -> bool:
        """Whether there is no room for another direction."""
        return self.size == self.basis.shape[1]

    def contains(self, vector: Tensor) -> bool:
        """Whether a vector ``[M]`` lies in the subspace, up to rounding."""
        if self.size == len(self.origin):
            return True
        return float((vector - self.basis @ (self.basis.T @ vector)).norm()) <= SAME * float(vector.norm())

    def add(self, vector: Tensor) -> None:
        """Add the part of a vector ``[M]`` that is outside as a direction."""
        rest = self._rest(vector)
        self.basis[:, self.size] = rest / rest.norm()
        self.size += 1

    def position(self, x: Tensor) -> Tensor:
        """Return the position ``[M]`` with coordinates x ``[K]``."""
        return self.origin + self.basis @ x

    def reduce(self, spanning: Tensor) -> Tensor:
        """Reduce the subspace to what vectors ``[n, K]`` in it span; return ``into`` ``[K, K]``: coordinates become x @ ``into``."""
        spanning = spanning / spanning.norm(dim=1, keepdim=True).clamp(min=1e-300)
        u, length, _ = torch.linalg.svd(spanning.T, full_matrices=False)
        self.size = min(int((length > 1e-14 * length[0]).sum()), self.least)
        into = torch.zeros(self.basis.shape[1], self.basis.shape[1], dtype=torch.float64)
        into[:, : self.size] = u[:, : self.size]
        self.basis = self.basis @ into
        return into

    def _rest(self, vector: Tensor) -> Tensor:
        rest = vector - self.basis @ (self.basis.T @ vector)
        return rest - self.basis @ (self.basis.T @ rest)  # once more, for rounding
