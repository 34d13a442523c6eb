"""The shapes of the built-in data sets in the plane. A new data set is one more function here under ``@plane_set``.

Each function takes a spacing and gives points ``[N, 2]``, weights ``[N]`` that add up to 1 and the class of each point ``[N]``;
neighbouring points are at most ``spacing`` apart. Units are free: the points are standardised afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dpm_core.data.toy2d.registry import plane_set


def along(curve: Callable[[np.ndarray], np.ndarray], spacing: float, density=np.ones_like):
    """Points of a curve u → ``[N, 2]`` at even steps of u in [0, 1], at most ``spacing`` apart where the curve runs fastest.

    Their weights are proportional to ``density(u)``. The third array are the values of u.
    """
    fine = curve(np.linspace(0, 1, 2001))
    fastest = np.linalg.norm(np.diff(fine, axis=0), axis=1).max() * 2000
    count = max(16, math.ceil(fastest / spacing))
    u = (np.arange(count) + 0.5) / count
    return curve(u), density(u) / density(u).sum(), u


@plane_set("swiss_roll", "Swiss roll", noise=0.03, classes=("inner turn", "outer turn"))
def swiss_roll(spacing: float):
    """scikit-learn's roll: angle uniform over 1.5π…4.5π, radius equal to the angle."""

    def curve(u):
        angle = 1.5 * np.pi * (1 + 2 * u)
        return np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1)

    points, weights, u = along(curve, spacing)
    return points, weights, u > 0.5


@plane_set("moons", "Two moons", noise=0.06, classes=("upper moon", "lower moon"))
def moons(spacing: float):
    """scikit-learn's two interleaving half circles."""
    from sklearn.datasets import make_moons  # imported here because it takes longer than everything else

    count = 2 * (math.ceil(np.pi / spacing) + 1)
    points, labels = make_moons(count, shuffle=False)
    return points, np.full(count, 1 / count), labels


@plane_set("circles", "Circles", noise=0.06, classes=("outer circle", "inner circle"))
def circles(spacing: float):
    """scikit-learn's two concentric circles, the inner one with half the radius."""
    from sklearn.datasets import make_circles

    count = 2 * math.ceil(2 * np.pi / spacing)
    points, labels = make_circles(count, shuffle=False, factor=0.5)
    return points, np.full(count, 1 / count), labels


@plane_set("eight_gaussians", "Eight Gaussians", noise=0.12, classes=("E", "NE", "N", "NW", "W", "SW", "S", "SE"))
def eight_gaussians(spacing: float):
    """Eight points evenly spaced on a circle."""
    angle = np.arange(8) * np.pi / 4
    return np.stack([np.cos(angle), np.sin(angle)], 1), np.full(8, 1 / 8), np.arange(8)


@plane_set("pinwheel", "Pinwheel", noise=0.09, classes=tuple(f"arm {i}" for i in range(1, 6)))
def pinwheel(spacing: float):
    """Five arms whose angle grows with the radius; the radius is N(1, 0.3²) truncated at 2.8 standard deviations."""
    points, weights = [], []
    for arm in range(5):

        def curve(u, arm=arm):
            radius = 1 + 0.3 * 5.6 * (u - 0.5)
            angle = 2 * np.pi * arm / 5 + 1.2 * radius
            return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)

        p, w, _ = along(curve, spacing, lambda u: np.exp(-0.5 * (5.6 * (u - 0.5)) ** 2))
        points.append(p)
        weights.append(w / 5)
    return np.concatenate(points), np.concatenate(weights), np.arange(5).repeat([len(p) for p in points])


@plane_set("checkerboard", "Checkerboard", noise=0.06, classes=tuple(f"square {i}" for i in range(1, 9)))
def checkerboard(spacing: float):
    """Uniform on the eight dark squares of a 4 × 4 board."""
    count = math.ceil(1 / spacing)
    inside = (np.arange(count) + 0.5) / count
    square = np.stack(np.meshgrid(inside, inside), -1).reshape(-1, 2)
    corners = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    points = np.concatenate([square + corner for corner in corners])
    return points, np.full(len(points), 1 / len(points)), np.arange(8).repeat(len(square))


@plane_set("s_curve", "S-curve", noise=0.05, classes=("upper half", "lower half"))
def s_curve(spacing: float):
    """scikit-learn's S: (sin a, sign(a)(cos a − 1)), a uniform over ±1.5π."""

    def curve(u):
        angle = 3 * np.pi * (u - 0.5)
        return np.stack([np.sin(angle), np.sign(angle) * (np.cos(angle) - 1)], 1)

    points, weights, u = along(curve, spacing)
    return points, weights, u > 0.5


@plane_set("spirals", "Spirals", noise=0.04, classes=("first arm", "second arm"))
def spirals(spacing: float):
    """Two arms of 1.5 turns, the radius growing with the square root of u."""

    def curve(u):
        angle = 3 * np.pi * np.sqrt(u)
        return np.stack([-angle * np.cos(angle), angle * np.sin(angle)], 1) / (3 * np.pi)

    def even(u):  # √u has an infinite slope at 0: place the points evenly in the angle and weight them instead
        return curve(u**2)

    points, weights, _ = along(even, spacing, lambda u: u)
    labels = np.arange(2).repeat(len(points))
    return np.concatenate([points, -points]), np.concatenate([weights, weights]) / 2, labels
