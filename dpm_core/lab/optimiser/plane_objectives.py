"""Sums of functions of two parameters, which can be drawn: quadratic, curved, non-convex, and two from statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dpm_core.lab.optimiser.optimiser_comparison import Function, Objective, minimum_near

LO, HI = -3.0, 3.0  # of both parameters, in a drawing
TITLES = {
    "quadratics": "Quadratic bowls",
    "valley": "Curved valley (Rosenbrock)",
    "two_minima": "Two minima (not convex)",
    "logistic": "Logistic regression",
    "least_squares": "Least squares, ill-conditioned",
}


@dataclass(frozen=True, eq=False)
class Surface(Objective):
    """An objective in the plane; ``minimum`` ``[2]`` is the lowest of its minima in the drawing, with the value ``lowest``."""

    minimum: Tensor
    lowest: float


def make_surface(name: str, N: int, seed: int = 0) -> Surface:
    """Return one of TITLES as a sum of N random subfunctions. Raises ValueError for another name."""
    if name not in TITLES:
        raise ValueError(f"The surface must be one of {', '.join(TITLES)}, not {name!r}.")
    start, parts = _MAKERS[name](N, torch.Generator().manual_seed(seed))

    def total(x: Tensor) -> Tensor:
        return torch.stack([part(x) for part in parts]).sum(0)

    objective = Objective(TITLES[name], torch.tensor(start, dtype=torch.float64), parts, total)
    axis = torch.linspace(LO, HI, 25, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    nearest = x[total(x).argsort()[:3]]
    minimum, lowest = min((minimum_near(objective, at) for at in nearest), key=lambda found: found[1])
    return Surface(objective.title, objective.start, parts, total, minimum, lowest)


Made = tuple[tuple[float, float], Sequence[Function]]


def _uniform(generator: torch.Generator, n: int, low: float, high: float) -> list[float]:
    return (low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)).tolist()


def _normal(generator: torch.Generator, n: int, mean: float, deviation: float) -> list[float]:
    return (mean + deviation * torch.randn(n, generator=generator, dtype=torch.float64)).tolist()


def _quadratics(N: int, generator: torch.Generator) -> Made:
    """½ (x − c)ᵀ H (x − c)/N with random centres, axes and curvatures."""

    def bowl(angle: float, flat: float, steep: float, a: float, b: float) -> Function:
        u, v = math.cos(angle), math.sin(angle)

        def value(x: Tensor) -> Tensor:
            p, q = x[..., 0] - a, x[..., 1] - b
            return 0.5 * (flat * (u * p + v * q).square() + steep * (u * q - v * p).square()) / N

        return value

    angles, flat, steep = _normal(generator, N, 0.6, 0.5), _uniform(generator, N, 0.1, 0.6), _uniform(generator, N, 2, 8)
    centres = _normal(generator, N, 0.5, 1.0), _normal(generator, N, -0.4, 1.0)
    return (-2.3, 2.3), [bowl(*row) for row in zip(angles, flat, steep, *centres)]


def _valley(N: int, generator: torch.Generator) -> Made:
    """(½ (a − x)² + b (y + 1.5 − x²/2 + s)²)/N: each subfunction has its own valley."""

    def one(a: float, b: float, s: float) -> Function:
        return lambda x: (0.5 * (a - x[..., 0]).square() + b * (x[..., 1] + 1.5 - 0.5 * x[..., 0].square() + s).square()) / N

    rows = zip(_normal(generator, N, 1.6, 0.5), _uniform(generator, N, 2, 12), _normal(generator, N, 0, 0.15))
    return (-2.4, 0.4), [one(*row) for row in rows]


def _two_minima(N: int, generator: torch.Generator) -> Made:
    """(w (x² − m)²/4 + t x + c (y − k x)²/2)/N: two valleys, of which one is lower."""

    def one(w: float, m: float, t: float, c: float, k: float) -> Function:
        def value(x: Tensor) -> Tensor:
            a, b = x[..., 0], x[..., 1]
            return (0.25 * w * (a.square() - m).square() + t * a + 0.5 * c * (b - k * a).square()) / N

        return value

    rows = zip(
        _uniform(generator, N, 0.5, 1.5), _normal(generator, N, 2.5, 0.4), _normal(generator, N, -0.4, 0.6), _uniform(generator, N, 0.5, 3),
        _normal(generator, N, 0.5, 0.3),
    )  # fmt: skip
    return (-0.3, 2.6), [one(*row) for row in rows]


def _logistic(N: int, generator: torch.Generator, points: int = 12) -> Made:
    """Mean of log(1 + e^(−y w·x)) over minibatches of points of two classes, with 0.01 |w|²/2."""

    def one(x: Tensor, y: Tensor) -> Function:
        def value(w: Tensor) -> Tensor:
            return torch.nn.functional.softplus(-y * (w @ x.T)).mean(-1) / N + 0.005 * w.square().sum(-1) / N

        return value

    y = torch.randint(2, (N, points), generator=generator).double() * 2 - 1
    x = torch.randn(N, points, 2, generator=generator, dtype=torch.float64) * torch.tensor([2.0, 0.7], dtype=torch.float64)
    x = x + y[..., None] * torch.tensor([1.6, -0.5], dtype=torch.float64)
    return (-2.5, 2.2), [one(*row) for row in zip(x, y)]


def _least_squares(N: int, generator: torch.Generator, rows: int = 4) -> Made:
    """½ |A w − b|² over N blocks of rows; AᵀA has a condition number of about 400."""

    def one(A: Tensor, b: Tensor) -> Function:
        return lambda w: 0.5 * (w @ A.T - b).square().sum(-1) / (N * rows)

    turn = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
    A = (torch.randn(N, rows, 2, generator=generator, dtype=torch.float64) * torch.tensor([4.0, 0.2], dtype=torch.float64)) @ turn
    noise = 0.3 * torch.randn(N, rows, generator=generator, dtype=torch.float64)
    b = A @ torch.tensor([1.2, -0.9], dtype=torch.float64) + noise
    return (-2.0, 1.0), [one(*row) for row in zip(A, b)]


_MAKERS: dict[str, Callable[[int, torch.Generator], Made]] = {
    "quadratics": _quadratics, "valley": _valley, "two_minima": _two_minima, "logistic": _logistic, "least_squares": _least_squares,
}  # fmt: skip
