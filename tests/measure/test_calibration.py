"""Stated 95 % intervals (± 1.96 standard errors) against the truth: over 200 seeds they must contain it 91 to 98 % of the time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from dpm_core.measure.bound import NATS_PER_BIT, estimate_bound
from dpm_core.measure.budget import budget
from dpm_core.measure.estimators import jarzynski
from dpm_core.posterior.products import ExactProduct
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule
from tests.measure.test_estimators import Linear

SEEDS = 200


def coverage(truth: float, interval: Callable[[int], tuple[float, float]]) -> float:
    """The share of seeds whose estimate is within 1.96 of its own standard errors of the truth."""
    found = [interval(seed) for seed in range(SEEDS)]
    return float(np.mean([abs(value - truth) < 1.96 * error for value, error in found]))


def calibrated(share: float) -> bool:
    return 0.91 <= share <= 0.98


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class LinearModel:
    """E[x⁽⁰⁾|x⁽ᵗ⁾] = a x + b and Var(x⁽⁰⁾|x⁽ᵗ⁾) = s for each coordinate; data are N(m, v) there."""

    m, v = 0.3, 0.7

    def __init__(self, T: int = 12):
        self.diffusion = GaussianDiffusion(make_schedule("log_snr", T))
        off = torch.rand(3, T + 1, generator=generator(0)) - 0.5
        bar, noise = (table(torch.arange(T + 1)).float() for table in (self.diffusion.schedule.alpha_bar, self.diffusion.schedule.noise))
        self.a, self.b, self.s = bar.sqrt() + 0.2 * off[0], 0.2 * off[1], noise * (1 + 0.4 * off[2])

    def x0_posterior(self, xt: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a, b, s = (table[t].reshape(-1, 1) for table in (self.a, self.b, self.s))
        return a * xt + b, s.expand_as(xt)

    def data(self, n: int, seed: int) -> torch.Tensor:
        return self.m + self.v**0.5 * torch.randn(n, 2, generator=generator(seed))

    def bound_bits(self) -> float:
        """K by moments of Gaussians alone: every term of Eq. 14 is the expectation of a quadratic function."""
        schedule, T = self.diffusion.schedule, self.diffusion.T
        second, total = self.m**2 + self.v, 0.0
        for t in range(2, T + 1):
            bar, noise, before = float(schedule.alpha_bar(t)), float(schedule.noise(t)), float(schedule.noise(t - 1))
            beta, a, b = float(schedule.betas[t - 1]), float(self.a[t]), float(self.b[t])
            c0, variance = (bar / (1 - beta)) ** 0.5 * beta / noise, before * beta / noise  # of q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾)
            # the means differ by c0 (x⁽⁰⁾ − a x⁽ᵗ⁾ − b)
            rest = 1 - a * bar**0.5
            square = c0**2 * (rest**2 * second - 2 * rest * b * self.m + b**2 + a**2 * noise)
            width = variance + c0**2 * float(self.s[t])
            total -= 0.5 * (np.log(width / variance) + (variance + square) / width - 1)
        ends = 0.5 * np.log(float(schedule.noise(T)) / float(schedule.noise(1)))
        share = float(schedule.alpha_bar(T)) + float(schedule.noise(1))
        prior = 0.5 * np.log(2 * np.pi) + 0.5 + 0.5 * share * (second - 1)
        return 2 * (total + ends - prior) / NATS_PER_BIT


def test_bound():
    """K of a linear model on Gaussian data, from 600 pairs of a point and a time."""
    chain = LinearModel()

    def interval(seed: int) -> tuple[float, float]:
        found = estimate_bound(chain, chain.diffusion, chain.data(600, seed), generator(seed + 1000))
        return found.bound_bits, found.standard_error_bits

    assert calibrated(coverage(chain.bound_bits(), interval))


def test_parts_of_the_budget():
    """Discretisation and learning gap and K itself on a mixture of nine Gaussians; the truth is the mean over 100 times as many points."""
    points = torch.cartesian_prod(*[torch.tensor([-1.2, 0.0, 1.2])] * 2)
    process = GaussianDiffusion(make_schedule("log_snr", 8))
    kernel = EmpiricalReverse(points, process, 0.2)
    wrong = EmpiricalReverse(1.05 * points, process, 0.25)

    def found(n: int, seed: int):
        draw = generator(seed)
        rows = torch.randint(len(points), (n,), generator=draw)
        return budget(wrong, kernel, process, points[rows] + 0.2 * torch.randn(n, 2, generator=draw), draw)

    truth = found(40_000, 10_000)
    repeated = [found(400, seed) for seed in range(SEEDS)]

    def share(part: str) -> float:
        return coverage(truth.parts_bits[part], lambda seed: (repeated[seed].parts_bits[part], repeated[seed].errors_bits[part]))

    assert calibrated(share("discretisation")) and calibrated(share("learning"))
    assert calibrated(coverage(truth.bound_bits, lambda seed: (repeated[seed].bound_bits, repeated[seed].bound_error_bits)))


def test_difference_of_two_schedules():
    """Best K under one schedule minus that under another, same points and noise: calibrated, and far tighter than unpaired."""
    points = torch.cartesian_prod(*[torch.tensor([-1.2, 0.0, 1.2])] * 2)
    processes = [GaussianDiffusion(make_schedule("log_snr", 8, start=start)) for start in (6.0, 6.5)]

    def pair(n: int, seed: int):
        draw = generator(seed)
        rows = torch.randint(len(points), (n,), generator=draw)
        x0 = points[rows] + 0.2 * torch.randn(n, 2, generator=draw)
        return [budget(None, EmpiricalReverse(points, one, 0.2), one, x0, generator(seed + 1)) for one in processes]

    first, second = pair(40_000, 10_000)
    truth, _ = first.best_bits_above(second)
    repeated = [pair(300, seed) for seed in range(SEEDS)]
    assert calibrated(coverage(truth, lambda seed: repeated[seed][0].best_bits_above(repeated[seed][1])))
    unpaired = np.hypot(*(one.errors_bits["discretisation"] for one in repeated[0]))
    assert repeated[0][0].best_bits_above(repeated[0][1])[1] < unpaired / 3
    with pytest.raises(ValueError, match="different numbers of points"):
        first.best_bits_above(repeated[0][0])


def test_jarzynski():
    """log p of one point from 1,000 trajectories."""
    chain, x = Linear(), torch.tensor([[1.0, -0.5]])
    exact = float(chain.density().log_prob(x).sum())
    weights = jarzynski(chain, chain.diffusion, x, 1000 * SEEDS, generator(3)).log_weights.view(SEEDS, 1000)
    found = type(jarzynski(chain, chain.diffusion, x, 1))(weights)
    assert calibrated(coverage(exact, lambda seed: (float(found.log_prob[seed]), float(found.standard_error[seed]))))
    elbo = float(weights.mean())
    assert calibrated(coverage(elbo, lambda seed: (float(found.elbo[seed]), float(found.elbo_error[seed]))))


def normal_bins(mean: float) -> np.ndarray:
    """Probabilities of N(mean, 1) in 48 bins of width 1/8 over ±3, and outside."""
    edges = Normal(mean, 1.0).cdf(torch.linspace(-3, 3, 49, dtype=torch.float64)).numpy()
    return np.append(np.diff(edges), 1 - (edges[-1] - edges[0]))


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.15, 0.6])
def test_total_variation(shift):
    """The distance of 4,000 samples of N(shift, 1) to N(0, 1), from the Monte Carlo floor to far away.

    The truth is the mean distance of so many samples, over 20,000 independent sets.
    """
    axis = np.linspace(-3, 3, 48 * 16 + 1)[:-1] + 3 / (48 * 16)
    density = np.exp(-0.5 * axis**2) / np.sqrt(2 * np.pi)
    product, n = ExactProduct(axis, density, (0,), 1.0, 16), 4000
    sets = np.random.default_rng(1).multinomial(n, normal_bins(shift), 20_000) / n
    truth = float((0.5 * np.abs(sets - product.bin_probabilities).sum(1)).mean())

    def interval(seed: int) -> tuple[float, float]:
        x = shift + np.random.default_rng(seed).standard_normal((n, 2))
        return product.total_variation(x), product.total_variation_error(x)

    assert calibrated(coverage(truth, interval))
