"""Entropy production and the direction of time, against closed forms of Gaussian data and against quadrature."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from dpm_core.continuous.reversibility import reversibility
from dpm_core.data import toy2d
from dpm_core.measure.budget import budget, marginal_entropy_nats
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

SPREAD, MEAN = 0.4, 0.7


def gaussian(T, name="log_snr"):
    diffusion = GaussianDiffusion(make_schedule(name, T))
    return EmpiricalReverse(torch.full((1, 2), MEAN, dtype=torch.float64), diffusion, SPREAD)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(n):
    return MEAN + SPREAD * torch.randn(n, 2, generator=generator(), dtype=torch.float64)


def kl(mean, variance, other_mean, other_variance):
    """KL of two isotropic Gaussians in the plane."""
    ratio = variance / other_variance
    return ratio - 1 - math.log(ratio) + (mean - other_mean) ** 2 / other_variance


def moments(kernel, t):
    bar = float(kernel.diffusion.schedule.alpha_bar(t))
    return math.sqrt(bar) * MEAN, bar * SPREAD**2 + 1 - bar


@pytest.mark.parametrize("name, T", [("log_snr", 6), ("paper", 12), ("linear", 30)])
def test_gaussian_data_have_closed_forms(name, T):
    """Every step within 4.5 standard errors; the exact reverse kernel is Gaussian, so nothing tells the films apart."""
    kernel = gaussian(T, name)
    found = reversibility(kernel, kernel, draws(4000), generator(1))
    to_prior = [kl(*moments(kernel, t), 0.0, 1.0) for t in range(T + 1)]
    for t in range(1, T + 1):
        produced = to_prior[t - 1] - to_prior[t]
        seen = produced + kl(*moments(kernel, t), *moments(kernel, t - 1))
        for estimate, expected in ((found.production, produced), (found.direction, seen)):
            assert float(estimate.per_step[t - 1]) == pytest.approx(expected, abs=4.5 * float(estimate.error[t - 1]) + 1e-9)
    assert found.production.total == pytest.approx(to_prior[0] - to_prior[T], abs=4 * found.production.total_error)
    assert float(found.reverse.per_step.abs().max()) < 1e-6


def test_the_sum_is_what_relaxes_and_knows_no_steps():
    """The swiss roll: the sum of the entropy produced is KL(q(x⁽⁰⁾) ‖ π) − KL(q(x⁽ᵀ⁾) ‖ π), by quadrature, at 5 steps and at 50."""
    data = toy2d.make_dataset("swiss_roll")
    for T in (5, 50):
        kernel = data.exact_reverse(GaussianDiffusion(make_schedule("log_snr", T)))
        found = reversibility(kernel, kernel, data.sample(1500, generator()), generator(2)).production

        def to_prior(t, kernel=kernel):
            """−h + ½ E|x|² + log 2π."""
            bar = float(kernel.diffusion.schedule.alpha_bar(t))
            return -marginal_entropy_nats(kernel, t) + 0.5 * (bar * kernel.second_moment() + 2 * (1 - bar)) + math.log(2 * math.pi)

        assert found.total == pytest.approx(to_prior(0) - to_prior(T), abs=4 * found.total_error + 0.005)


def test_what_tells_the_films_apart_is_the_discretisation_gap_of_the_budget():
    """Steps t = 2..T on the moons: within four standard errors of the budget's, which integrates the entropies."""
    data = toy2d.make_dataset("moons")
    kernel = data.exact_reverse(GaussianDiffusion(make_schedule("log_snr", 8)))
    x0 = data.sample(4000, generator())
    found = reversibility(kernel, kernel, x0, generator(3)).reverse
    expected = budget(None, kernel, kernel.diffusion, x0, generator(4))
    error = (found.error[1:].square() + expected.discretisation_error.square()).sqrt()
    assert bool(((found.per_step[1:] - expected.discretisation).abs() < 4.5 * error + 1e-4).all())


def test_in_the_quasi_static_limit_the_direction_of_time_disappears():
    """From 5 to 40 to 320 steps: per step both fall, the films' sum falls by 4 each time, and the entropy produced stays."""
    data = toy2d.make_dataset("moons")
    found = []
    for T in (5, 40, 320):
        kernel = data.exact_reverse(GaussianDiffusion(make_schedule("log_snr", T)))
        found.append(reversibility(kernel, kernel, data.sample(400, generator()), generator(5)))
    assert all(b.reverse.total < a.reverse.total / 3 for a, b in pairwise(found))
    assert all(float(b.direction.per_step[1:].max()) < float(a.direction.per_step[1:].max()) / 2 for a, b in pairwise(found))
    assert found[0].production.total == pytest.approx(found[2].production.total, rel=0.1)


def test_points_without_noise_are_refused():
    kernel = EmpiricalReverse(torch.zeros(1, 2), GaussianDiffusion(make_schedule("linear", 5)), 0.0)
    with pytest.raises(ValueError, match="Points without noise have no density at t = 0"):
        reversibility(kernel, kernel, torch.zeros(3, 2))
