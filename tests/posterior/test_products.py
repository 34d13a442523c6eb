"""The product p·r/Z in the plane: closed forms, rejection sampling, and the kernel that samples it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpm_core.data import toy2d
from dpm_core.posterior import FactorError, GaussianObservation, Inpaint, Potential, Product
from dpm_core.posterior.plane_factors import PAINT_FLOOR, half_plane, painted, ring
from dpm_core.posterior.products import exact_kernel, exact_product
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 40))
STROKE = np.array([[-1.4, 0.6], [-0.2, 1.5], [1.0, 1.2]])
FACTORS = {
    "half_plane": half_plane(30, 0.3, 0.1),
    "sharp": half_plane(-90, 0.2, 0.02),
    "ring": ring(1.2, 0.1),
    "observation": GaussianObservation(torch.tensor([0.5, -0.3]), 0.5),
    "painted": painted([STROKE], 0.2),
}
THIRD = Inpaint(torch.tensor([False, True]), torch.tensor([0.3, 0.0]))


@pytest.fixture(scope="module")
def roll() -> toy2d.PlaneDataset:
    return toy2d.make_dataset("swiss_roll")


@pytest.fixture(scope="module")
def kernel(roll) -> EmpiricalReverse:
    return roll.exact_reverse(DIFFUSION)


def accepted(data, factor, n, seed):
    """n independent draws of p·r/Z: draws of p, kept with probability r."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.empty(0, 2)
    while len(kept) < n:
        x = data.sample(50_000, generator)
        kept = torch.cat([kept, x[torch.rand(len(x), generator=generator) < factor.log_prob(x).exp()]])
    return kept[:n].numpy()


@pytest.mark.parametrize("name", FACTORS)
def test_the_product_is_that_of_rejection_sampling(roll, kernel, name):
    """It integrates to 1; Z is the share of draws kept, and 20,000 draws kept lie as near as their own number allows."""
    product, factor = exact_product(kernel, FACTORS[name]), FACTORS[name]
    shares = product.bin_probabilities
    assert abs(shares.sum() - 1) < 1e-9 and shares[-1] < 1e-6 and shares.min() >= 0
    r = factor.log_prob(roll.sample(200_000, torch.Generator().manual_seed(0))).exp()
    assert float(r.max()) <= 1 and abs(float(r.mean()) - product.evidence) < 4 * float(r.std()) / math.sqrt(len(r))
    x = accepted(roll, factor, 20_000, 1)
    mean, spread = product.monte_carlo_floor(len(x))
    assert abs(product.total_variation(x) - mean) < 4 * spread
    assert product.total_variation(x[:, ::-1]) > mean + 0.1  # coordinates are not exchanged


def test_gaussian_mixtures_have_closed_forms():
    """N(y_j, s²) N(y; x, σ²) is Gaussian about a weighed mean; given one coordinate each has its likelihood as a weight."""
    points, weights, s = torch.tensor([[-1.0, 0.4], [0.3, -0.8], [1.1, 1.0]]).double(), torch.tensor([0.2, 0.5, 0.3]).double(), 0.3
    mixture = EmpiricalReverse(points, DIFFUSION, s, weights)

    def normal(x, mean, variance):
        return torch.exp(-0.5 * (x - mean).square() / variance) / math.sqrt(2 * math.pi * variance)

    def wanted(sigma, axis):
        y, total = torch.tensor([0.5, 0.2]).double(), s**2 + sigma**2
        likelihood = weights * normal(y, points, total).prod(1)
        centres, width = (points * sigma**2 + y * s**2) / total, s**2 * sigma**2 / total
        across, up = normal(axis[:, None], centres[:, 0], width), normal(axis[:, None], centres[:, 1], width)
        return (up * likelihood) @ across.T / likelihood.sum()

    product = exact_product(mixture, GaussianObservation(torch.tensor([0.5, 0.2]), 0.6))
    axis = torch.from_numpy(product.axis)
    assert np.abs(product.density - wanted(0.6, axis).numpy()).max() < 1e-6
    assert np.abs(product.density - wanted(0.63, axis).numpy()).max() > 1e-2
    for known in (0, 1):
        free = 1 - known
        factor = Inpaint(torch.tensor([i == free for i in range(2)]), torch.full((2,), 0.25))
        given = exact_product(mixture, factor)
        likelihood = weights * normal(torch.tensor(0.25).double(), points[:, known], s**2)
        density = normal(torch.from_numpy(given.axis)[:, None], points[:, free], s**2) @ (likelihood / likelihood.sum())
        assert given.coordinates == (free,) and abs(given.evidence - float(likelihood.sum())) < 1e-7
        assert np.abs(given.density - density.numpy()).max() < 1e-6


def test_counting_and_distance(kernel):
    """A sample lies in the square whose edges hold it; all in one bin is 1 minus its share away; what is not finite lies beyond."""
    product = exact_product(kernel, FACTORS["half_plane"])
    edges, bins = product.edges, len(product.edges) - 1
    x = np.array([[0.3, -1.1], [0.3, -1.1], [np.nan, 0.0], [99.0, 0.0]])
    counts = product.counts(x)
    row, column = np.searchsorted(edges, -1.1) - 1, np.searchsorted(edges, 0.3) - 1
    assert counts[row * bins + column] == 2 and counts[-1] == 2 and counts.sum() == 4 and len(counts) == len(product.bin_probabilities)
    assert np.isclose(product.total_variation(x[:2]), 1 - product.bin_probabilities[row * bins + column])
    line = exact_product(kernel, THIRD)
    assert line.counts(x)[np.searchsorted(line.edges, -1.1) - 1] == 2 and line.counts(x)[np.searchsorted(line.edges, 0.0) - 1] <= 2


def test_the_floor_is_that_of_binomial_counts(kernel):
    """½ Σ E|k/n − p| ≈ ½ Σ √(2p(1−p)/πn) where counts are many: to 2 % at a million samples."""
    product = exact_product(kernel, THIRD)
    p = product.bin_probabilities
    assert abs(product.monte_carlo_floor(1_000_000)[0] / (0.5 * np.sqrt(2 * p * (1 - p) / (math.pi * 1_000_000)).sum()) - 1) < 0.02


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("data", ["swiss_roll", "eight_gaussians", "moons"])
def test_the_kernels_density_is_the_product(data, name):
    """Total variation on the grid below 0.005, on narrow data and on wide ones that r cuts through."""
    kernel = toy2d.DATASETS[data].exact_reverse(DIFFUSION)
    product = exact_product(kernel, FACTORS[name])
    tilted = exact_kernel(kernel, FACTORS[name], product)
    density = tilted.marginal_on_grid(torch.from_numpy(product.axis), 0).numpy()
    assert 0.5 * np.abs(density - product.density).sum() * (product.axis[1] - product.axis[0]) ** 2 < 5e-3


def test_a_potential_and_an_observation_at_once(kernel):
    """Their exact kernel's density is the product of both, total variation below 0.01."""
    both = Product([FACTORS["half_plane"], FACTORS["observation"]])
    product = exact_product(kernel, both)
    density = exact_kernel(kernel, both, product).marginal_on_grid(torch.from_numpy(product.axis), 0).numpy()
    assert 0.5 * np.abs(density - product.density).sum() * (product.axis[1] - product.axis[0]) ** 2 < 0.01


def last(kernel, factor=None, seed=8):
    x_T = torch.randn(4000, 2, generator=torch.Generator().manual_seed(7))
    *_, step = ancestral(kernel, DIFFUSION, x_T, factor=factor, generator=torch.Generator().manual_seed(seed))
    return step.x.numpy()


@pytest.mark.parametrize("name", ["half_plane", "observation", "known"])
def test_the_exact_rule_samples_the_product_and_r_held_constant_does_not(kernel, name):
    """4,000 samples through 40 steps come within 0.012 of as many independent draws; r at every step as it is, not within 0.05."""
    factor = THIRD if name == "known" else FACTORS[name]
    product = exact_product(kernel, factor)
    floor, _ = product.monte_carlo_floor(4000)
    assert product.total_variation(last(exact_kernel(kernel, factor, product), factor if name == "known" else None)) < floor + 0.012
    assert product.total_variation(last(kernel, factor)) > floor + 0.05


@pytest.mark.parametrize("name", ["half_plane", "ring", "painted"])
def test_slopes_are_those_of_finite_differences(name):
    factor = FACTORS[name]
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    h = 1e-5
    shift = h * torch.eye(2, dtype=torch.float64)
    slope = torch.stack([(factor.log_prob(x + d) - factor.log_prob(x - d)) / (2 * h) for d in shift], 1)
    assert torch.allclose(factor.gradient(x), slope, atol=1e-4)
    assert float(slope.norm(dim=1).max()) < {"half_plane": 10.01, "ring": 10.01, "painted": 25}[name]
    assert bool(ring(0.5, 0.1).gradient(torch.zeros(1, 2)).isfinite().all())


def test_what_the_shapes_are():
    """Their values at points where they are known by hand."""
    half = half_plane(90, 0.4, 0.1).log_prob(torch.tensor([[7.0, 0.4], [-2.0, 0.5], [0.0, -3.0]])).exp()
    assert torch.allclose(half, torch.tensor([0.5, 1 / (1 + math.exp(-1)), 0.0]), atol=1e-5)
    rings = ring(1.5, 0.2).log_prob(torch.tensor([[0.0, 1.5], [-1.7, 0.0]])).exp()
    assert torch.allclose(rings, torch.tensor([1.0, 1 / math.cosh(1)]), atol=1e-5)
    brush = painted([np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0]])], 0.25)
    seen = brush.log_prob(torch.tensor([[0.313, 0.0], [0.313, 0.25], [1.25, 0.0], [0.0, 2.0], [2.5, -2.5]])).exp()
    one = PAINT_FLOOR + (1 - PAINT_FLOOR) * math.exp(-0.5)
    assert torch.allclose(seen, torch.tensor([1.0, one, one, 1.0, PAINT_FLOOR]), atol=2e-3)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda kernel: exact_product(kernel, GaussianObservation(torch.tensor([3.0, 3.0]), 0.1)), "zero wherever the data are"),
        (lambda kernel: exact_product(kernel, Potential(lambda x: torch.full((len(x),), -math.inf))), "zero wherever the data are"),
        (lambda kernel: exact_product(kernel, Inpaint(THIRD.mask, torch.tensor([-2.9, 0.0]))), "near −2.9 .* between −1.73 and 1.60"),
        (lambda kernel: exact_product(kernel, Inpaint(torch.zeros(2), torch.zeros(2))), "one of the two coordinates must be known"),
        (lambda kernel: exact_product(EmpiricalReverse(torch.zeros(3, 2), DIFFUSION), THIRD), "with noise > 0"),
        (lambda kernel: painted([], 0.2), "No stroke is painted"),
    ],
)
def test_what_has_no_product_is_refused(kernel, make, words):
    with pytest.raises(FactorError, match=words):
        make(kernel)
