"""A limited-memory quasi-Newton method for symmetric couplings, whose first guess of the Hessian is a product of covariances.

The objectives of minimum probability flow and of pseudolikelihood have the Hessian Σ_i E[w_i (δ_i + Σ_j D_ij s_j)²] for a change D of
the couplings and δ of the fields. With weights w_i of about the same size, its part for the couplings is w (D C + C D), where C is the
covariance of the data; the eigenvectors of C solve it. For the likelihood the same approximation is C D C. What is left is corrected by
L-BFGS (Nocedal & Wright 2006, Algorithm 7.4).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Value = Callable[[Tensor], tuple[float, Tensor, float]]  # θ to the value, its gradient, and the mean weight w
Solve = Callable[[Tensor, float], Tensor]  # a gradient and the mean weight to a step
MEMORY, ITERATIONS = 12, 400
LENGTHS = [2.0**-i for i in range(6)] + [10.0**-i for i in range(2, 11)]  # of a step, tried in turn
RIDGE = 1e-6  # of the covariance, so that constant spins have steps of finite length


class Step(NamedTuple):
    """``theta``: fields on the diagonal, couplings beside it, ``[d, d]``; ``seconds`` of work so far; ``value`` of the objective."""

    seconds: float
    theta: Tensor
    value: float


class Stage(NamedTuple):
    """An objective made at the parameters where its stage begins; the stage ends when the expected decrease is below ``tolerance``."""

    make: Callable[[Tensor], Value]
    tolerance: float


def minimise(stages: list[Stage], start: Tensor, solve: Solve, seconds: float = math.inf, spent: float = 0.0) -> Iterator[Step]:
    """Yield the start and the parameters after every step; ``spent`` seconds were used before. Waiting for the caller is not counted.

    The inner product of gradients and steps counts each pair once. Ends by itself when no step decreases the objective.
    """
    clock = time.perf_counter() - spent
    theta, pairs = start, deque[tuple[Tensor, Tensor, float]](maxlen=MEMORY)
    iterations = 0
    for stage in stages:
        objective = stage.make(theta)
        value, gradient, weight = objective(theta)
        while True:
            now = time.perf_counter() - clock
            yield Step(now, theta, value)
            clock = time.perf_counter() - now
            direction = -_times_inverse(gradient, pairs, solve, weight)
            slope = _inner(gradient, direction)
            if iterations >= ITERATIONS or now > seconds:
                return
            if not -slope / 2 > stage.tolerance:
                break
            found = _line_search(objective, theta, value, slope, direction)
            if found is None:
                break
            new, new_value, new_gradient, weight = found
            step, change = new - theta, new_gradient - gradient
            if (curvature := _inner(step, change)) > 1e-12 * _inner(change, change):
                pairs.append((step, change, curvature))
            theta, value, gradient = new, new_value, new_gradient
            iterations += 1


def sum_of_rows(covariance: Tensor, mean: Tensor) -> Solve:
    """The steps for w (D C + C D): minimum probability flow and pseudolikelihood."""
    values, vectors = torch.linalg.eigh(covariance + RIDGE * torch.eye(len(covariance), dtype=torch.float64))
    sums = values[:, None] + values

    def solve(gradient: Tensor, weight: float) -> Tensor:
        fields, rest = _without_fields(gradient, mean)
        couplings = _symmetric(vectors @ ((vectors.T @ rest @ vectors) / sums) @ vectors.T) / weight
        return couplings + torch.diag(fields / weight - couplings @ mean)

    return solve


def product_of_covariances(covariance: Tensor, mean: Tensor) -> Solve:
    """The steps for C D C: the likelihood."""
    inverse = torch.linalg.inv(covariance + RIDGE * torch.eye(len(covariance), dtype=torch.float64))

    def solve(gradient: Tensor, weight: float) -> Tensor:
        fields, rest = _without_fields(gradient, mean)
        couplings = _symmetric(inverse @ rest @ inverse) / weight
        return couplings + torch.diag(inverse @ fields / weight - couplings @ mean)

    return solve


def _without_fields(gradient: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the fields, and that of the couplings when the fields follow so that the mean fields stay."""
    fields = gradient.diagonal()
    shift = torch.outer(fields, mean)
    return fields, _off_diagonal(gradient - shift - shift.T)


def _line_search(
    objective: Value, theta: Tensor, value: float, slope: float, direction: Tensor
) -> tuple[Tensor, float, Tensor, float] | None:
    """The first of the LENGTHS that decreases the objective by a part of what the slope says; None where none does."""
    for length in LENGTHS:
        new = theta + length * direction
        new_value, gradient, weight = objective(new)
        if math.isfinite(new_value) and new_value <= value + 1e-4 * length * slope:
            return new, new_value, gradient, weight
    return None


def _times_inverse(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, float]], solve: Solve, weight: float) -> Tensor:
    """The two loops of L-BFGS around the first guess."""
    left, shares = gradient, list[float]()
    for step, change, curvature in reversed(pairs):
        shares.append(_inner(step, left) / curvature)
        left = left - shares[-1] * change
    found = solve(left, weight)
    for (step, change, curvature), share in zip(pairs, reversed(shares)):
        found = found + (share - _inner(change, found) / curvature) * step
    return found


def _inner(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() + (a.diagonal() * b.diagonal()).sum()) / 2


def _off_diagonal(a: Tensor) -> Tensor:
    return a - torch.diag(a.diagonal())


def _symmetric(a: Tensor) -> Tensor:
    return _off_diagonal(a + a.T) / 2
