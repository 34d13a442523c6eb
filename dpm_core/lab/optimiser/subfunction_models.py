"""The quadratic models of all subfunctions, in the coordinates of one subspace."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.lab.optimiser.secant_hessian import from_history
from dpm_core.lab.optimiser.subspace import Subspace

HISTORY = 10  # differences of gradients from which the Hessian of a subfunction is made
POSITIVE = 1e-12  # cosine between s and y below which a difference says nothing about curvature
STILL_POSITIVE = 1e-6  # the same after a change of coordinates that leaves a part of s and y out


class Quadratic(NamedTuple):
    """A subfunction's model: where it was made ``[M]``, value and gradient ``[M]`` there, Hessian ``[M, M]``."""

    x: Tensor
    value: float
    gradient: Tensor
    hessian: Tensor


class Models:
    """N quadratic models in K dimensions: model i has a value, a gradient and a Hessian at the place where it was made last.

    Tensors ``[N, ...]`` in float64; a row is 0 until its subfunction has been evaluated. ``seen``: how often it was.
    """

    TENSORS = ("places", "gradients", "hessians", "steps", "changes", "values", "scales", "kept", "seen")

    def __init__(self, N: int, K: int):
        self.places, self.gradients, self.values = zeros(N, K), zeros(N, K), zeros(N)
        self.hessians, self.scales = zeros(N, K, K), zeros(N)  # the curvature along directions that the history does not span
        self.steps, self.changes = zeros(N, HISTORY, K), zeros(N, HISTORY, K)  # of positions and gradients, the newest at kept − 1
        self.kept, self.seen = torch.zeros(N, dtype=torch.int64), torch.zeros(N, dtype=torch.int64)

    @property
    def known(self) -> list[int]:
        """The subfunctions that have been evaluated."""
        return torch.nonzero(self.seen)[:, 0].tolist()

    def value(self, i: int, x: Tensor) -> float:
        """Return the value of model i at x ``[K]``."""
        d = x - self.places[i]
        return float(self.values[i] + self.gradients[i] @ d + 0.5 * d @ self.hessians[i] @ d)

    def quadratic(self, i: int, space: Subspace) -> Quadratic:
        """Return model i in all M dimensions, where ``space`` is that of the coordinates."""
        basis = space.basis
        outside = torch.eye(len(basis), dtype=torch.float64) - basis @ basis.T
        hessian = basis @ self.hessians[i] @ basis.T + self.scales[i] * outside
        return Quadratic(space.position(self.places[i]), float(self.values[i]), basis @ self.gradients[i], hessian)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the sum of all models at x ``[K]``."""
        return (torch.einsum("nkl,nl->nk", self.hessians, x - self.places) + self.gradients).sum(0)

    def distances(self, x: Tensor, own: bool) -> Tensor:
        """Return the squared distances of x from all places ``[N]``, in the metric of each model's Hessian or of their sum."""
        d = x - self.places
        return torch.einsum("nk,nkl,nl->n", d, self.hessians, d) if own else ((d @ self.hessians.sum(0)) * d).sum(1)

    def remember(self, i: int, x: Tensor, value: float, gradient: Tensor, shortest: float) -> None:
        """Make x the place of model i. Its difference from the last joins the history if it is longer than ``shortest`` and curved up."""
        if self.seen[i]:
            s, y = x - self.places[i], gradient - self.gradients[i]
            if float(s.norm()) > shortest and float(s @ y) > POSITIVE * float(s.norm() * y.norm()):
                k = int(self.kept[i])
                if k == HISTORY:
                    self.steps[i], self.changes[i], k = self.steps[i].roll(-1, 0), self.changes[i].roll(-1, 0), k - 1
                self.steps[i, k], self.changes[i, k], self.kept[i] = s, y, k + 1
        self.places[i], self.gradients[i], self.values[i] = x, gradient, value
        self.seen[i] += 1

    def learn(self, i: int, size: int, first: float) -> None:
        """Renew the Hessian of model i from its history; without one it is as curved as the others usually are, or ``first``.

        ``size``: dimensions of the subspace that are in use.
        """
        if k := int(self.kept[i]):
            found = from_history(self.steps[i, :k], self.changes[i, :k])
            self.hessians[i], self.scales[i] = found.matrix(), found.scale
            return
        if others := int((self.scales > 0).sum()):
            first = float(torch.linalg.eigvalsh(self.hessians.sum(0)[:size, :size])[size // 2]) / others
        self.hessians[i], self.scales[i] = first * torch.eye(self.places.shape[1], dtype=torch.float64), first

    def turn(self, into: Tensor) -> None:
        """Change the coordinates: x becomes x @ ``into`` ``[K, K]``, whose columns are orthonormal or 0."""
        rest = self.scales[:, None, None] * torch.eye(len(into), dtype=torch.float64)
        self.hessians = into.T @ (self.hessians - rest) @ into + rest
        self.places, self.gradients = self.places @ into, self.gradients @ into
        self.steps, self.changes = self.steps @ into, self.changes @ into
        for i in self.known:
            self._keep_positive(i)

    def _keep_positive(self, i: int) -> None:
        """Leave out differences that no longer show a positive curvature in the new coordinates, without which BFGS is not defined."""
        s, y = self.steps[i], self.changes[i]
        good = (s * y).sum(1) > STILL_POSITIVE * s.norm(dim=1) * y.norm(dim=1)
        good[self.kept[i] :] = False
        count = int(good.sum())
        if count < int(self.kept[i]):
            kept_s, kept_y = s[good], y[good]
            self.steps[i], self.changes[i], self.kept[i] = 0, 0, count
            self.steps[i, :count], self.changes[i, :count] = kept_s, kept_y


def zeros(*shape: int) -> Tensor:
    """Return zeros in float64."""
    return torch.zeros(*shape, dtype=torch.float64)
