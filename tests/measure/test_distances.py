"""Distances with known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from dpm_core.measure.distances import energy_distance, sliced_wasserstein


def clouds(n=40, m=40):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=draw, dtype=torch.float64)
    return x, 1.5 * torch.randn(m, 2, generator=draw, dtype=torch.float64) + torch.tensor([2.0, -3.0])


@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -2.0), (1.0, 1.0), (-0.3, 0.4)])
def test_a_shift_costs_its_length_over_root_two(shift):
    """Along direction u every point moves by shift·u; the mean of (shift·u)² over even directions is |shift|²/2."""
    x, _ = clouds()
    moved = (x + torch.tensor(shift, dtype=torch.float64))[torch.randperm(40, generator=torch.Generator().manual_seed(1))]
    assert sliced_wasserstein(x, moved) == pytest.approx(math.hypot(*shift) / math.sqrt(2), rel=1e-9)
    assert sliced_wasserstein(x, x.flip(0)) == pytest.approx(0, abs=1e-12)


def test_a_scaling_about_the_mean():
    """2x against x: the gap is x·u itself, so the square is E|x|²/2."""
    x, _ = clouds()
    assert sliced_wasserstein(2 * x, x) == pytest.approx(math.sqrt(float(x.square().sum(1).mean()) / 2), rel=1e-9)


def test_sliced_distance_by_assignment():
    """Per direction the best matching found by linear_sum_assignment, 6 directions over the half circle; 1e-9."""
    x, y = clouds(12, 12)
    squares = []
    for k in range(6):
        u = np.array([math.cos(math.pi * k / 6), math.sin(math.pi * k / 6)])
        cost = ((x.numpy() @ u)[:, None] - (y.numpy() @ u)[None]) ** 2
        squares.append(cost[linear_sum_assignment(cost)].mean())
    assert sliced_wasserstein(x, y, 6) == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-9)
    assert sliced_wasserstein(x, y) == pytest.approx(sliced_wasserstein(y, x), rel=1e-12)


def test_clouds_of_different_size_are_refused():
    x, y = clouds(5, 6)
    with pytest.raises(ValueError, match="same number"):
        sliced_wasserstein(x, y)


@pytest.mark.parametrize("n, m", [(7, 7), (9, 5), (40, 30)])
def test_energy_distance_pair_by_pair(n, m):
    """Means over all pairs, i ≠ j within a cloud, summed one by one; 1e-6."""
    x, y = (c.numpy() for c in clouds(n, m))

    def mean(a, b, pairs):
        return np.mean([math.dist(a[i], b[j]) for i, j in pairs])

    cross = mean(x, y, [(i, j) for i in range(n) for j in range(m)])
    within = [mean(c, c, [(i, j) for i in range(k) for j in range(k) if i != j]) for c, k in ((x, n), (y, m))]
    wanted = math.sqrt(max(0, 2 * cross - sum(within)))
    assert wanted > 0.1
    assert energy_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(wanted, rel=1e-6)


def test_energy_distance_of_two_far_points():
    """X = {0, 0}, Y = {5, 5}: √(2·5 − 0 − 0)."""
    x = torch.zeros(2, 1)
    assert energy_distance(x, x + 5) == pytest.approx(math.sqrt(10))
    # one cloud against itself: the cross mean counts i = j, so the unbiased square is negative and reported as 0
    same, _ = clouds()
    assert energy_distance(same, same) == 0
