"""Data sets in the plane by name, and data sets of a user's own points.

A shape is a set of points along curves (or over an area) with weights. Blurred by isotropic Gaussian noise it is a
distribution, and sampling, ``log_prob``, ``entropy`` and the exact reverse kernel all refer to that one distribution.
Neighbouring points are at most 1.2 standard deviations of the noise apart, where a row of Gaussians cannot be distinguished
from a continuous curve (relative ripple of the density 3e-6 inside the row, 2 % at its ends).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from dpm_core.data.errors import DataError
from dpm_core.data.toy2d.dataset import PlaneDataset

SPACING = 1.2  # distance of neighbouring points in units of the noise: ripple 2·exp(−2π²/1.2²) < 3e-6
NOISE_RANGE = (0.01, 0.5)
OWN_NOISE = 0.05  # default noise of a user's own data set
MAX_OWN_POINTS = 4000  # of a user's own data set; larger ones are subsampled with a fixed seed

# spacing → points ``[N, 2]`` and weights ``[N]``, in any units, neighbouring points at most ``spacing`` apart; a third array are the
# labels ``[N]`` where the set has classes, and is not used otherwise
Points = Callable[[float], tuple[np.ndarray, ...]]


class Shape(NamedTuple):
    """A built-in data set: title, the function that gives its points, default noise (standardised units), names of its classes."""

    title: str
    points: Points
    noise: float
    classes: tuple[str, ...] = ()


SHAPES: dict[str, Shape] = {}


def plane_set(name: str, title: str, noise: float, classes: tuple[str, ...] = ()) -> Callable[[Points], Points]:
    """Enter the decorated function in SHAPES as the data set ``name`` with its default ``noise`` and the names of its ``classes``."""

    def register(points: Points) -> Points:
        SHAPES[name] = Shape(title, points, noise, classes)
        return points

    return register


def make_dataset(name: str, noise: float | None = None) -> PlaneDataset:
    """The built-in data set ``name`` with the given noise (standard deviation in standardised units; the set's own when None).

    Raises DataError for an unknown name or a noise outside NOISE_RANGE.
    """
    if name not in SHAPES:
        raise DataError(f"Unknown data set {name!r}; choose one of {', '.join(SHAPES)}.")
    title, points_of, default, classes = SHAPES[name]
    noise = checked_noise(default if noise is None else float(noise))
    # the spacing is in units of the shape's own size, which a first, coarse pass measures
    coarse, coarse_weights, *_ = points_of(0.05)
    spread = np.sqrt((coarse_weights[:, None] * (coarse - coarse_weights @ coarse) ** 2).sum(0))
    points, weights, *labels = points_of(SPACING * noise * float(spread.min()) / math.sqrt(1 - noise**2))
    return _standardise(name, title, points, weights, noise, torch.from_numpy(labels[0].astype(np.int64)) if classes else None, classes)


def checked_noise(noise: float) -> float:
    """``noise``. Raises DataError unless it lies in NOISE_RANGE."""
    if not NOISE_RANGE[0] <= noise <= NOISE_RANGE[1]:
        raise DataError(f"The noise is {noise}; choose a value between {NOISE_RANGE[0]} and {NOISE_RANGE[1]}.")
    return noise


def from_points(points, name: str = "own", title: str = "Your own", noise: float = OWN_NOISE) -> PlaneDataset:
    """A data set of a user's own points, array-like ``[N, 2]``, standardised and then blurred by ``noise``.

    Of more than MAX_OWN_POINTS points a random subset is used (fixed seed). Raises DataError for fewer than two points, values
    that are not finite and coordinates that do not vary.
    """
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("The points are not a table of numbers; give two numeric columns (x and y).") from None
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"The points have the shape {points.shape}; give two numeric columns (x and y).")
    noise = checked_noise(noise)
    if len(points) < 2:
        raise DataError(f"This data set has {len(points)} points and at least two points are needed; add more.")
    if not np.isfinite(points).all():
        raise DataError("Some values are missing or not finite; remove those rows.")
    if len(points) > MAX_OWN_POINTS:
        rows = np.random.default_rng(0).choice(len(points), MAX_OWN_POINTS, replace=False)
        points = points[np.sort(rows)]
    magnitude = np.abs(points).max(0)
    if (points.std(0) <= 1e-9 * magnitude).any() or not np.isfinite(points.var(0)).all():
        raise DataError("One coordinate is constant or its range is too large to compute with; both coordinates must vary.")
    return _standardise(name, title, points, np.full(len(points), 1 / len(points)), noise)


def _standardise(
    name: str,
    title: str,
    points: np.ndarray,
    weights: np.ndarray,
    noise: float,
    labels: torch.Tensor | None = None,
    classes: tuple[str, ...] = (),
) -> PlaneDataset:
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
        labels,
        classes,
    )


class _Datasets(Mapping[str, PlaneDataset]):
    """The built-in data sets at their default noise, each made on first use."""

    def __init__(self) -> None:
        self._made: dict[Shape, PlaneDataset] = {}

    def __getitem__(self, name: str) -> PlaneDataset:
        shape = SHAPES[name]
        if shape not in self._made:
            self._made[shape] = make_dataset(name)
        return self._made[shape]

    def __iter__(self) -> Iterator[str]:
        return iter(SHAPES)

    def __len__(self) -> int:
        return len(SHAPES)


DATASETS: Mapping[str, PlaneDataset] = _Datasets()
