"""Data sets in the plane, standardised to mean 0 and variance 1 in each coordinate.

Each is a set of points along its curves (or over its area), with weights, blurred by isotropic
Gaussian noise: sampling, ``log_prob``, ``entropy`` and the exact reverse kernel all speak of that one
distribution. Points lie no further apart than 1.2 standard deviations of the noise, where a row of
Gaussians cannot be told from a continuous curve (3e-6 in density inside it, 2 % at its ends).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

SPACING = 1.2  # of the points, in units of the noise: ripple 2·exp(−2π²/1.2²) < 3e-6
NOISE_RANGE = (0.01, 0.5)
MAX_CENTRES = 1500  # about which the entropy is integrated
OWN_NOISE = 0.05  # of a user's own data set, unless they choose another
MAX_OWN_POINTS = 4000  # of a user's own data set; more are thinned by a fixed seed


class DataError(ValueError):
    """Data that cannot be used, in one sentence that says what to do."""


@dataclass(frozen=True, eq=False)
class PlaneDataset:
    """A mixture of equal isotropic Gaussians in the plane.

    ``points`` ``[N, 2]`` and ``weights`` ``[N]`` are float64, in standardised units, as is ``noise``.
    ``mean`` and ``scale`` map the generator's raw coordinates: x = (raw − mean)/scale.
    """

    name: str
    title: str
    points: Tensor
    weights: Tensor
    noise: float
    mean: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, float32 ``[n, 2]``."""
        rows = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        jitter = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return (self.points[rows] + self.noise * jitter).float()

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x⁽⁰⁾) in nats, ``[n]`` for x ``[n, 2]``."""
        return self.exact_reverse(_ANY_DIFFUSION).log_marginal(x, 0)

    def entropy(self) -> float:
        """Differential entropy h(q) in nats: Gauss–Hermite quadrature about every point, in float64."""
        return self._entropy

    @cached_property
    def _entropy(self) -> float:
        nodes, weights = np.polynomial.hermite_e.hermegauss(6)  # within 2e-5 nats of 16 nodes on every built-in set
        z = torch.cartesian_prod(*[torch.from_numpy(nodes)] * 2)
        w = torch.from_numpy(np.outer(weights, weights).ravel()) / (2 * math.pi)
        points, weights_ = self.points, self.weights
        if len(points) > MAX_CENTRES:  # as many, evenly through the cumulative weight: along a curve, evenly along it
            rows = torch.searchsorted(weights_.cumsum(0), (torch.arange(MAX_CENTRES).double() + 0.5) / MAX_CENTRES)
            points, weights_ = points[rows.clamp(max=len(points) - 1)], torch.full((MAX_CENTRES,), 1 / MAX_CENTRES).double()
        total = 0.0
        for point, share in zip(points.split(64), weights_.split(64)):
            x = (point[:, None, :] + self.noise * z).reshape(-1, 2)
            total -= float((share[:, None] * w * self.log_prob(x).view(len(point), -1)).sum())
        return total

    def exact_reverse(self, diffusion: GaussianDiffusion) -> EmpiricalReverse:
        """The exact reverse kernel of this very distribution."""
        return EmpiricalReverse(self.points, diffusion, self.noise, self.weights)


_ANY_DIFFUSION = GaussianDiffusion(make_schedule("constant", 2))  # t = 0 is the data under any schedule

# A shape gives raw points and weights, spaced at most `spacing` apart in raw units.
Shape = Callable[[float], tuple[np.ndarray, np.ndarray]]


def _along(curve: Callable[[np.ndarray], np.ndarray], spacing: float, density=np.ones_like):
    """Points at even steps of the parameter u in [0, 1], dense enough where the curve runs fastest."""
    fine = curve(np.linspace(0, 1, 2001))
    fastest = np.linalg.norm(np.diff(fine, axis=0), axis=1).max() * 2000
    count = max(16, math.ceil(fastest / spacing))
    u = (np.arange(count) + 0.5) / count
    return curve(u), density(u) / density(u).sum()


def _swiss_roll(spacing: float):
    """scikit-learn's roll: angle uniform over 1.5π…4.5π, radius equal to the angle."""

    def curve(u):
        angle = 1.5 * np.pi * (1 + 2 * u)
        return np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1)

    return _along(curve, spacing)


def _s_curve(spacing: float):
    """scikit-learn's S: (sin a, sign(a)(cos a − 1)), a uniform over ±1.5π."""

    def curve(u):
        angle = 3 * np.pi * (u - 0.5)
        return np.stack([np.sin(angle), np.sign(angle) * (np.cos(angle) - 1)], 1)

    return _along(curve, spacing)


def _moons(spacing: float):
    from sklearn.datasets import make_moons  # here, as it takes longer to import than all else

    count = 2 * (math.ceil(np.pi / spacing) + 1)
    points, _ = make_moons(count, shuffle=False)
    return points, np.full(count, 1 / count)


def _circles(spacing: float):
    from sklearn.datasets import make_circles

    count = 2 * math.ceil(2 * np.pi / spacing)
    points, _ = make_circles(count, shuffle=False, factor=0.5)
    return points, np.full(count, 1 / count)


def _eight_gaussians(spacing: float):
    angle = np.arange(8) * np.pi / 4
    return np.stack([np.cos(angle), np.sin(angle)], 1), np.full(8, 1 / 8)


def _pinwheel(spacing: float):
    """Five arms whose angle grows with the radius; the radius is N(1, 0.3²) cut at 2.8 deviations."""
    points, weights = [], []
    for arm in range(5):

        def curve(u, arm=arm):
            radius = 1 + 0.3 * 5.6 * (u - 0.5)
            angle = 2 * np.pi * arm / 5 + 1.2 * radius
            return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)

        p, w = _along(curve, spacing, lambda u: np.exp(-0.5 * (5.6 * (u - 0.5)) ** 2))
        points.append(p)
        weights.append(w / 5)
    return np.concatenate(points), np.concatenate(weights)


def _spirals(spacing: float):
    """Two arms of 1.5 turns, the radius growing with the square root of u."""

    def curve(u):
        angle = 3 * np.pi * np.sqrt(u)
        return np.stack([-angle * np.cos(angle), angle * np.sin(angle)], 1) / (3 * np.pi)

    def even(u):  # √u runs infinitely fast at 0: place points by angle and weigh them
        return curve(u**2)

    points, weights = _along(even, spacing, lambda u: u)
    return np.concatenate([points, -points]), np.concatenate([weights, weights]) / 2


def _checkerboard(spacing: float):
    """Uniform on the eight dark squares of a 4 × 4 board."""
    count = math.ceil(1 / spacing)
    inside = (np.arange(count) + 0.5) / count
    square = np.stack(np.meshgrid(inside, inside), -1).reshape(-1, 2)
    corners = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    points = np.concatenate([square + corner for corner in corners])
    return points, np.full(len(points), 1 / len(points))


SHAPES: dict[str, tuple[str, Shape, float]] = {
    "swiss_roll": ("Swiss roll", _swiss_roll, 0.03),
    "moons": ("Two moons", _moons, 0.06),
    "circles": ("Circles", _circles, 0.06),
    "eight_gaussians": ("Eight Gaussians", _eight_gaussians, 0.12),
    "pinwheel": ("Pinwheel", _pinwheel, 0.09),
    "checkerboard": ("Checkerboard", _checkerboard, 0.06),
    "s_curve": ("S-curve", _s_curve, 0.05),
    "spirals": ("Spirals", _spirals, 0.04),
}


def make_dataset(name: str, noise: float | None = None) -> PlaneDataset:
    """The built-in data set ``name`` with the given noise (standard deviation, standardised units).

    Raises DataError for an unknown name or a noise outside NOISE_RANGE.
    """
    if name not in SHAPES:
        raise DataError(f"Unknown data set {name!r}; choose one of {', '.join(SHAPES)}.")
    title, shape, default = SHAPES[name]
    noise = default if noise is None else float(noise)
    if not NOISE_RANGE[0] <= noise <= NOISE_RANGE[1]:
        raise DataError(f"The noise must lie between {NOISE_RANGE[0]} and {NOISE_RANGE[1]}, not {noise}.")
    # the raw size sets how far apart points may lie; a coarse pass finds it
    coarse, coarse_weights = shape(0.05)
    spread = np.sqrt((coarse_weights[:, None] * (coarse - coarse_weights @ coarse) ** 2).sum(0))
    points, weights = shape(SPACING * noise * float(spread.min()) / math.sqrt(1 - noise**2))
    return _standardise(name, title, points, weights, noise)


def from_points(points, name: str = "own", title: str = "Your own", noise: float = OWN_NOISE) -> PlaneDataset:
    """A data set of the user's own points, array-like ``[N, 2]``, blurred by ``noise`` after standardising.

    More than MAX_OWN_POINTS points are thinned evenly at random (fixed seed). Raises DataError when there
    are fewer than two, or any is not finite, or a coordinate never varies.
    """
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("Data in the plane needs two numeric columns.") from None
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError("Data in the plane needs two numeric columns.")
    if not NOISE_RANGE[0] <= noise <= NOISE_RANGE[1]:
        raise DataError(f"The noise must lie between {NOISE_RANGE[0]} and {NOISE_RANGE[1]}, not {noise}.")
    if len(points) < 2:
        raise DataError("At least two points are needed; draw or add a few more.")
    if not np.isfinite(points).all():
        raise DataError("Some values are missing or not finite; remove those rows.")
    if len(points) > MAX_OWN_POINTS:
        rows = np.random.default_rng(0).choice(len(points), MAX_OWN_POINTS, replace=False)
        points = points[np.sort(rows)]
    magnitude = np.abs(points).max(0)
    if (points.std(0) <= 1e-9 * magnitude).any() or not np.isfinite(points.var(0)).all():
        raise DataError("Both coordinates must vary within a representable range; this data lies on an axis or beyond.")
    return _standardise(name, title, points, np.full(len(points), 1 / len(points)), noise)


def _standardise(name: str, title: str, points: np.ndarray, weights: np.ndarray, noise: float) -> PlaneDataset:
    """Scale so that points and noise together have mean 0 and variance 1 in each coordinate."""
    mean = weights @ points
    scale = np.sqrt(weights @ (points - mean) ** 2 / (1 - noise**2))
    return PlaneDataset(
        name,
        title,
        torch.from_numpy((points - mean) / scale),
        torch.from_numpy(weights / weights.sum()),
        noise,
        (float(mean[0]), float(mean[1])),
        (float(scale[0]), float(scale[1])),
    )


class _Datasets(Mapping[str, PlaneDataset]):
    """The built-in data sets at their default noise, each made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, PlaneDataset] = {}

    def __getitem__(self, name: str) -> PlaneDataset:
        if name not in SHAPES:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = make_dataset(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SHAPES)

    def __len__(self) -> int:
        return len(SHAPES)


DATASETS: Mapping[str, PlaneDataset] = _Datasets()
