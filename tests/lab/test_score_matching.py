"""Score matching as the limit of minimum probability flow: closed forms of Gaussians, autograd for mixtures, the order of convergence."""

from __future__ import annotations

import pytest
import torch

from dpm_core.lab.flow import plane_data
from dpm_core.lab.flow.score_matching import Gaussian, Mixture, apart, denoising, fit, flow, gaussian_flow, score_matching

MEANS = torch.tensor([[-1.2, -0.6], [1.1, -0.5], [0.0, 1.1]], dtype=torch.float64)
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)


def points(n=60, seed=0):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) @ torch.linalg.cholesky(COVARIANCE).T
    return x + 0.2 * x.square()  # not Gaussian


FAMILIES = [
    (Gaussian(), Gaussian.parameters(torch.tensor([0.1, -0.2], dtype=torch.float64), COVARIANCE)),
    (Mixture(3), Mixture(3).parameters(MEANS, SHARES, 0.6)),
]


@pytest.mark.parametrize("family, theta", FAMILIES)
def test_scores_and_divergences_are_derivatives_of_the_energy(family, theta):
    x = points().requires_grad_()
    (gradient,) = torch.autograd.grad(family.energy(theta, x).sum(), x, create_graph=True)
    trace = sum(torch.autograd.grad(gradient[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    score, divergence = family.score(theta, x)
    assert torch.allclose(score, -gradient, atol=1e-12) and torch.allclose(divergence, -trace, atol=1e-12)


def test_the_mixture_has_its_shares():
    """exp(−E) is the density of the mixture up to one factor."""
    family, theta, x = *FAMILIES[1], points()
    density = (SHARES * torch.exp(-(x[:, None] - MEANS).square().sum(-1) / (2 * 0.36))).sum(1)
    ratio = torch.exp(-family.energy(theta, x)) / density
    assert float(ratio.max() / ratio.min()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.8, 0.3, 0.05])
def test_the_flow_of_a_gaussian_has_its_closed_form(sigma):
    family, theta, x = *FAMILIES[0], points()
    closed = float(gaussian_flow(theta[:2], family.precision(theta), x, sigma))
    assert float(flow(family, theta, x, sigma)) == pytest.approx(closed, rel=1e-4 if sigma > 0.5 else 1e-7)


@pytest.mark.parametrize("family, theta", FAMILIES)
def test_the_flow_tends_to_score_matching_as_sigma_squared(family, theta):
    x = points()
    limit = float(score_matching(family, theta, x))
    first, second = (float(flow(family, theta, x, sigma)) - limit for sigma in (0.02, 0.01))
    assert first / second == pytest.approx(4, rel=0.02) and abs(second) < 0.01


def test_score_matching_of_a_gaussian_is_its_mean_and_covariance():
    x = points(200)
    start = Gaussian.parameters(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    family = Gaussian()
    found = fit(lambda theta: score_matching(family, theta, x), start)
    assert torch.allclose(found[:2], x.mean(0), atol=1e-6)
    assert torch.allclose(torch.linalg.inv(family.precision(found)), torch.cov(x.T, correction=0), atol=1e-6)
    noised = fit(lambda theta: denoising(family, theta, x, 0.4), start)
    wanted = torch.cov(x.T, correction=0) + 0.16 * torch.eye(2)
    assert torch.allclose(torch.linalg.inv(family.precision(noised)), wanted, atol=1e-6), "denoising: the covariance with noise"


def test_denoising_is_score_matching_of_noised_data():
    """Vincent 2011: the two differ by what does not depend on θ, so differences between two θ agree."""
    family, theta = FAMILIES[1]
    other, x, sigma = theta + 0.1, points(), 0.5
    z = torch.randn(100, 4000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)[:60]
    noised = (x[:, None] + sigma * z).reshape(-1, 2)
    wanted = float(score_matching(family, theta, noised) - score_matching(family, other, noised))
    found = float(denoising(family, theta, x, sigma) - denoising(family, other, x, sigma))
    assert found == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("family, theta", FAMILIES)
def test_estimates_converge_to_that_of_score_matching(family, theta):
    """With half the width a quarter of the distance, within a third."""
    x = points()
    if isinstance(family, Mixture):
        k = torch.multinomial(SHARES, 200, replacement=True, generator=torch.Generator().manual_seed(0))
        x = MEANS[k] + 0.5 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    limit = fit(lambda at: score_matching(family, at, x), theta)
    distances = [apart(family, fit(lambda at, s=s: flow(family, at, x, s), limit), limit, x) for s in (0.04, 0.02)]
    assert 2.7 < distances[0] / distances[1] < 4.8 and distances[1] < 0.02


@pytest.mark.parametrize("name", ["gaussian", "bent", "mixture"])
def test_data_have_the_moments_of_their_distribution(name):
    """Mean and covariance of 20,000 points, to five standard errors; the start of a mixture's fit is the truth."""
    family, start, x = plane_data.case(name, 20_000, seed=1)
    if name == "mixture":
        mean = SHARES @ MEANS
        wanted = (SHARES[:, None] * (MEANS - mean)).T @ (MEANS - mean) + plane_data.DEVIATION**2 * torch.eye(2)
        assert torch.allclose(start, family.parameters(MEANS, SHARES, plane_data.DEVIATION))
    else:
        mean, wanted = torch.zeros(2, dtype=torch.float64), COVARIANCE.clone()
        if name == "bent":
            wanted[1, 1] += 2 * plane_data.BEND**2  # Var(x²) = 2 for a standard normal number
    assert float((x.mean(0) - mean).abs().max()) < 5 * 1.5 / 20_000**0.5
    assert float((torch.cov(x.T) - wanted).abs().max()) < 5 * 2.5 / 20_000**0.5


def test_another_case_is_said_to_be_unknown():
    with pytest.raises(ValueError, match="choose gaussian, bent or mixture"):
        plane_data.case("ring", 10)
