"""Multiplying by r(x): Bayes on a grid, closed forms, and what sampling makes of both."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from dpm_core.data import toy2d
from dpm_core.posterior import (
    Annealed,
    FactorError,
    GaussianObservation,
    Inpaint,
    Potential,
    Product,
    condition,
    repaint,
    repaint_times,
    tilted,
)
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseModel
from dpm_core.samplers import SAMPLERS, ancestral, timesteps
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 40))
GRID = torch.linspace(-9, 9, 4001, dtype=torch.float64)
P = Normal(torch.tensor([[0.7], [-1.2]], dtype=torch.float64), torch.tensor([[0.6], [1.1]], dtype=torch.float64))


def on_the_grid(log_r, t=0):
    """Mean and deviation of P·r/Z by summation, [2] each."""
    density = (P.log_prob(GRID) + log_r(GRID)).exp()
    density = density / density.sum(1, keepdim=True)
    mean = (density * GRID).sum(1)
    return mean, ((density * GRID.square()).sum(1) - mean.square()).sqrt()


def close(p, wanted, tolerance=1e-6):
    return all(torch.allclose(a.squeeze(1), b, atol=tolerance, rtol=0) for a, b in zip((p.mean, p.stddev), wanted))


def seen(x):
    return -0.5 * ((x - 1.5) / 0.8) ** 2


def test_an_observation_is_bayes_on_a_grid():
    """The product of both densities, summed on 4,001 points, to 1e-6; not so with σ a tenth larger."""
    y = torch.tensor([1.5], dtype=torch.float64)
    wanted = on_the_grid(seen)
    assert close(condition(P, GaussianObservation(y, 0.8), 3), wanted)
    assert not close(condition(P, GaussianObservation(y, 0.88), 3), wanted, 1e-3)


@pytest.mark.parametrize("t", [0, 10, 30, 40])
def test_an_annealed_observation(t):
    """r to the power (T−t)/T, at T nothing of it."""
    factor = Annealed(GaussianObservation(torch.tensor([1.5], dtype=torch.float64), 0.8), 40)
    assert close(condition(P, factor, t), on_the_grid(lambda x: (40 - t) / 40 * seen(x)))


def test_a_product_of_observations():
    a, b = (GaussianObservation(torch.tensor([y], dtype=torch.float64), s) for y, s in ((1.5, 0.8), (-0.4, 1.3)))
    wanted = on_the_grid(lambda x: seen(x) - 0.5 * ((x + 0.4) / 1.3) ** 2)
    assert close(condition(P, Product([a, b]), 0), wanted)


@pytest.mark.parametrize("log_r", [lambda x: 0.3 * x, lambda x: torch.sin(x)])
def test_a_potential_is_bayes_to_first_order(log_r):
    """The mean's error falls with the fourth power of the kernel's deviation (third derivatives), or is none for a linear log r."""
    errors = []
    for scale in (0.2, 0.1):
        p = Normal(torch.tensor([[0.4]], dtype=torch.float64), torch.tensor([[scale]], dtype=torch.float64))
        density = (p.log_prob(GRID) + log_r(GRID)).exp()
        mean = float((density * GRID).sum() / density.sum())
        moved = condition(p, Potential(lambda x: log_r(x).sum(1)), 0)
        errors.append(abs(float(moved.mean) - mean))
        assert abs(float(moved.mean) - 0.4) > 0.9 * abs(mean - 0.4) and torch.equal(moved.stddev, p.stddev)
    assert errors[1] < max(1e-9, errors[0] / 10)


def test_a_potential_works_while_sampling_without_gradients():
    with torch.inference_mode():
        p = Normal(torch.zeros(3, 2), torch.ones(3, 2))
        moved = condition(p, Potential(lambda x: -(x - 1).square().sum(1)), 5)
    assert torch.allclose(moved.mean, torch.full((3, 2), 2.0))


def test_a_potential_that_has_no_slope_is_refused():
    with pytest.raises(FactorError, match="gradient of log r is not finite"):
        condition(P, Potential(lambda x: x.sqrt().sum(1)), 0)


@pytest.mark.parametrize("t", [0, 1, 25])
def test_known_coordinates(t):
    """Noise-free as they are; with the diffusion as q(x⁽ᵗ⁾|x⁽⁰⁾) has them; the missing ones untouched."""
    p = Normal(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.full((5, 4), 0.3))
    mask, known = torch.tensor([True, False, True, False]), torch.tensor([9.0, 1.0, 9.0, -2.0])
    clean, noised = condition(p, Inpaint(mask, known), t), condition(p, Inpaint(mask, known, DIFFUSION), t)
    for q in (clean, noised):
        assert torch.equal(q.mean[:, mask], p.mean[:, mask]) and torch.equal(q.stddev[:, mask], p.stddev[:, mask])
    assert torch.equal(clean.mean[:, 1], torch.ones(5)) and float(clean.stddev[:, ~mask].abs().max()) == 0
    marginal = DIFFUSION.q_marginal(known.expand(5, 4), t)
    assert torch.equal(noised.mean[:, ~mask], marginal.mean[:, ~mask]) and torch.equal(noised.stddev[:, ~mask], marginal.stddev[:, ~mask])
    if t == 0:
        assert torch.equal(noised.mean, clean.mean) and float(noised.stddev[:, ~mask].max()) == 0


def test_deltas_are_applied_last():
    mask, known = torch.tensor([True, False]), torch.tensor([0.0, 3.0])
    p = Normal(torch.zeros(4, 2), torch.ones(4, 2))
    q = condition(p, Product([Inpaint(mask, known), GaussianObservation(torch.ones(2), 1.0)]), 0)
    assert torch.equal(q.mean, torch.tensor([[0.5, 3.0]]).expand(4, 2)) and float(q.stddev[0, 1]) == 0


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: condition(P, Inpaint(torch.ones(3), torch.zeros(3)), 0), "must broadcast"),
        (lambda: condition(P, GaussianObservation(torch.zeros(7, 7), 1.0), 0), "must broadcast"),
        (lambda: Inpaint(torch.ones(3), torch.zeros(4)), "must broadcast"),
        (lambda: GaussianObservation(torch.zeros(2), 0.0), "must be positive"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(FactorError, match=words):
        make()


class Linear(torch.nn.Module):
    """The exact network of N(0, 1) data: E[x⁽⁰⁾|x⁽ᵗ⁾] = √ᾱ x⁽ᵗ⁾, Var = 1−ᾱ."""

    def forward(self, x, t, log_snr):
        return torch.zeros_like(x), torch.full_like(x, 30.0)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_takes_a_factor(sampler):
    """A fixed seed gives a fixed draw, known coordinates come out exactly, and r moves the others towards y."""
    model = ReverseModel(Linear(), DIFFUSION)
    mask, known = torch.tensor([True, False, True]), torch.tensor([0.0, 0.25, 0.0])
    factor = Product([Inpaint(mask, known), GaussianObservation(torch.full((3,), 2.0), 0.5)])

    def draw(factor):
        *_, last = SAMPLERS[sampler](model, DIFFUSION, (500, 3), factor=factor, generator=torch.Generator().manual_seed(3))
        return last.x

    x = draw(factor)
    assert torch.equal(x, draw(factor)) and torch.equal(x[:, 1], torch.full((500,), 0.25))
    assert float(x[:, mask].mean()) > 1 > 0.2 > abs(float(draw(None)[:, mask].mean()))


def test_gaussian_data_give_the_closed_form_posterior():
    """N(0, 1) data seen with σ = 0.5: the tilted exact kernel samples N(0.8 y, 0.2), to 0.02; r held constant does not."""
    points = torch.erfinv(torch.linspace(-1, 1, 1003, dtype=torch.float64)[1:-1])[:, None].float() * math.sqrt(2) * math.sqrt(1 - 0.15**2)
    kernel, y = EmpiricalReverse(points, DIFFUSION, noise=0.15), torch.tensor([1.5])
    factor = GaussianObservation(y, 0.5)

    def moments(kernel, factor=None):
        *_, last = ancestral(kernel, DIFFUSION, (8_000, 1), factor=factor, generator=torch.Generator().manual_seed(1))
        return float(last.x.mean()), float(last.x.std())

    mean, deviation = moments(tilted(kernel, factor))
    assert abs(mean - 1.2) < 0.02 and abs(deviation - math.sqrt(0.2)) < 0.02
    wrong, narrow = moments(kernel, factor)
    assert abs(wrong - 1.2) > 0.05 or abs(narrow - math.sqrt(0.2)) > 0.05


def total_variation(x, y, bins=40):
    a, b = (np.histogram(v, bins, (-2.5, 2.5))[0] / len(v) for v in (x.numpy(), y.numpy()))
    return 0.5 * np.abs(a - b).sum()


@pytest.fixture(scope="module")
def roll():
    """The exact kernel of a swiss roll, the condition that its first coordinate is 0.3, and draws of the second one given that."""
    dataset = toy2d.make_dataset("swiss_roll", 0.05)
    kernel = dataset.exact_reverse(DIFFUSION)
    axis = torch.linspace(-3, 3, 4001, dtype=torch.float64)
    density = dataset.log_prob(torch.stack([torch.full_like(axis, 0.3), axis], 1)).double().exp()
    drawn = torch.multinomial(density, 4000, replacement=True, generator=torch.Generator().manual_seed(0))
    return kernel, Inpaint(torch.tensor([False, True]), torch.tensor([0.3, 0.0])), axis[drawn], density / density.sum()


def test_the_tilted_kernel_is_exact_and_clamping_is_not(roll):
    """Total variation to the true conditional: the tilted kernel within 0.03 of two draws' own; clamping far away; RePaint between."""
    kernel, factor, truth, _ = roll
    noised = Inpaint(factor.mask, factor.known, DIFFUSION)
    seed = torch.Generator().manual_seed(5)

    def distance(steps):
        *_, last = steps
        assert last.x.isfinite().all()
        return total_variation(last.x[:, 1].double(), truth)

    exact = distance(ancestral(tilted(kernel, factor), DIFFUSION, (4000, 2), factor=noised, generator=seed))
    clamped = distance(ancestral(kernel, DIFFUSION, (4000, 2), factor=factor, generator=seed))
    repainted = distance(repaint(kernel, DIFFUSION, (4000, 2), noised, jump=1, resamplings=10, generator=seed))
    assert exact < 0.08 and clamped > 0.15 and exact < repainted < clamped


def test_repaint_counts_its_steps():
    """250 steps, jump 10, 10 resamplings: 2,410 down, as published; j = 1, r = 1 is the plain chain."""
    times = repaint_times(250, None, 10, 10)
    assert times[0] == 250 and times[-1] == 0 and sum(b < a for a, b in pairwise(times)) == 2410
    assert all(abs(a - b) == 1 for a, b in pairwise(times))
    turns = {b for a, b, c in zip(times, times[1:], times[2:]) if a > b < c}
    assert turns == set(range(1, 232, 10)), "the published code turns at its times 0, 10, …, where −1 is the data"
    assert repaint_times(40, 12, 1, 1) == timesteps(40, 12)
    with pytest.raises(ValueError, match="at least 1"):
        repaint_times(40, None, 0, 3)


def test_a_jump_is_all_its_steps_at_once():
    """q(x⁽ᵗ⁾|x⁽ˢ⁾) composed with q(x⁽ˢ⁾|x⁽⁰⁾) is q(x⁽ᵗ⁾|x⁽⁰⁾)."""
    x0 = torch.tensor([1.7], dtype=torch.float64)
    for s, t in ((0, 7), (3, 4), (10, 40), (5, 5)):
        first, both = DIFFUSION.q_marginal(x0, s), DIFFUSION.q_marginal(x0, t)
        jump = DIFFUSION.q_jump(first.mean, s, t)
        slope = DIFFUSION.q_jump(torch.ones_like(x0), s, t).mean
        assert torch.allclose(jump.mean, both.mean) and torch.allclose(slope**2 * first.variance + jump.variance, both.variance)


def test_a_factor_that_is_zero_everywhere_is_refused():
    kernel = EmpiricalReverse(torch.zeros(5, 2), DIFFUSION, noise=0.1)
    with pytest.raises(FactorError, match="zero wherever"):
        tilted(kernel, GaussianObservation(torch.full((2,), 1e200, dtype=torch.float64), 0.1))
    with pytest.raises(FactorError, match="closed form"):
        tilted(kernel, Potential(lambda x: -x[:, 0].square()))
    with pytest.raises(FactorError, match="with noise > 0"):
        tilted(EmpiricalReverse(torch.zeros(5, 2), DIFFUSION), Inpaint(torch.tensor([True, False]), torch.zeros(2)))
