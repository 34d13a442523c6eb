"""The arithmetic of the benchmarks: distances and entropies with known values."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm

from benchmarks._classifier import Seen, covariance, entropy_bits, frechet, frechet_error, non_negative
from benchmarks.training_page import last_step, ninetieth


def cloud(n, covariance_root, mean, seed=0):
    """n points whose mean and covariance (by n − 1) are exactly those asked for."""
    z = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / (n - 1))).T
    return z @ covariance_root.T + mean


def diagonal(*values):
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def test_frechet_of_diagonal_gaussians():
    """|Δμ|² + Σ(σ₁ − σ₂)²: 9 + 16 + (1 − 2)² + (3 − 0.5)²."""
    x = cloud(50, diagonal(1.0, 3.0), torch.tensor([0.0, 0.0], dtype=torch.float64))
    y = cloud(30, diagonal(2.0, 0.5), torch.tensor([3.0, -4.0], dtype=torch.float64), seed=1)
    assert frechet(x, y) == pytest.approx(25 + 1 + 6.25, rel=1e-10)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-10)


@pytest.mark.parametrize("d", [2, 5, 20])
def test_frechet_against_scipys_square_root_of_matrices(d):
    """Covariances that do not commute: the trace of SciPy's (Σ₁Σ₂)^½."""
    draw = torch.Generator().manual_seed(d)
    roots = [torch.randn(d, d, generator=draw, dtype=torch.float64) for _ in range(2)]
    zero = torch.zeros(d, dtype=torch.float64)
    x, y = cloud(60, roots[0], zero), cloud(70, roots[1], zero + 1, seed=1)
    first, second = (root @ root.T for root in roots)
    crossed = sqrtm((first @ second).numpy()).real.trace()
    wanted = d + float(first.trace() + second.trace()) - 2 * crossed
    assert frechet(x, y) == pytest.approx(wanted, rel=1e-6)


def test_frechet_does_not_change_with_a_rotation():
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(40, 6, generator=draw, dtype=torch.float64), 2 * torch.randn(50, 6, generator=draw, dtype=torch.float64) + 1
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))
    assert frechet(x @ turn, y @ turn) == pytest.approx(frechet(x, y), rel=1e-9)


def test_frechet_of_fewer_points_than_dimensions():
    """Singular covariances: in the plane where the points lie it is what it is without the empty dimensions."""
    x = cloud(4, diagonal(1.0, 2.0), torch.zeros(2, dtype=torch.float64))
    y = cloud(5, diagonal(3.0, 1.0), torch.ones(2, dtype=torch.float64), seed=1)
    wide = [torch.cat([c, torch.zeros(len(c), 30)], 1) for c in (x, y)]
    assert frechet(*wide) == pytest.approx(2 + 4 + 1, rel=1e-7)
    assert frechet(wide[0], wide[0]) == pytest.approx(0, abs=1e-7)
    constant = torch.ones(3, 2)
    assert frechet(constant, constant + torch.tensor([3.0, 4.0])) == pytest.approx(25)


def test_frechet_error_is_its_spread_over_new_clouds():
    """Two distances of 300 points in three dimensions, one near and one far: within 25 % of the standard deviation over 200 pairs."""
    generator = torch.Generator().manual_seed(5)
    for shift in (0.3, 2.0):
        pairs = [(torch.randn(300, 3, generator=generator), shift + 1.5 * torch.randn(300, 3, generator=generator)) for _ in range(200)]
        spread = float(torch.tensor([frechet(x, y) for x, y in pairs]).std())
        errors = [frechet_error(x, y) for x, y in pairs[:10]]
        assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.25)


def test_confident_error_is_binomial():
    seen = Seen(torch.tensor([[0.95, 0.05]] * 80 + [[0.6, 0.4]] * 20), torch.zeros(100, 2))
    assert (seen.confident(), seen.confident_error()) == (pytest.approx(0.8), pytest.approx(0.04))


@pytest.mark.parametrize(
    "x, y", [(torch.ones(1, 2), torch.ones(3, 2)), (torch.ones(3, 2), torch.ones(3, 4)), (torch.full((3, 2), math.nan), torch.ones(3, 2))]
)
def test_frechet_refuses_what_has_no_covariance(x, y):
    with pytest.raises(ValueError):
        frechet(x, y)


def test_only_rounding_is_set_to_zero():
    assert non_negative(torch.tensor([-1e-14, 0.5, 1.0], dtype=torch.float64)).tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="positive"):
        non_negative(torch.tensor([-1e-3, 1.0], dtype=torch.float64))


def test_covariance_by_n_minus_one():
    """Of (0, 0), (2, 4): variances 2 and 8, covariance 4."""
    assert covariance(torch.tensor([[0.0, 0.0], [2.0, 4.0]])).tolist() == [[2.0, 4.0], [4.0, 8.0]]


@pytest.mark.parametrize("counts, bits", [([5] * 8, 3.0), ([7, 0, 0], 0.0), ([2, 1, 1], 1.5), ([3, 3, 0, 0], 1.0)])
def test_entropy_of_a_histogram(counts, bits):
    assert entropy_bits(torch.tensor(counts)) == pytest.approx(bits, abs=1e-12)


def test_what_the_classifier_says_of_four_images():
    """Largest probabilities 0.95, 0.6, 0.9, 1: mean 0.8625, two above 0.91; digits 0, 0, 1, 2: 1.5 bits."""
    p = torch.zeros(4, 10, dtype=torch.float64)
    p[0, :2], p[1, :2] = torch.tensor([0.95, 0.05]).double(), torch.tensor([0.6, 0.4]).double()
    p[2, 1:3], p[3, 2] = torch.tensor([0.9, 0.1]).double(), 1
    seen = Seen(p, torch.zeros(4, 2))
    assert seen.confidence == pytest.approx(0.8625)
    assert seen.confident(0.91) == 0.5
    assert seen.class_entropy_bits == pytest.approx(1.5)


@pytest.mark.parametrize("n, wanted", [(1, 1), (2, 2), (10, 9), (11, 10), (30, 27)])
def test_nine_in_ten_of_one_to_n(n, wanted):
    """The least of 1..n that nine in ten of them do not exceed."""
    values = list(range(n, 0, -1))
    assert ninetieth(values) == wanted
    assert sum(v <= wanted for v in values) >= 0.9 * n > sum(v < wanted for v in values)


def test_the_last_whole_row_of_metrics(tmp_path):
    """A row cut short, as while it is being written, does not count."""
    assert last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}\n{"step": 15}\n{"st')
    assert last_step(tmp_path) == 15
    (tmp_path / "metrics.jsonl").write_text('{"st')
    assert last_step(tmp_path) == 0
