"""Samplers on kernels whose every marginal is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import SAMPLERS, ancestral, ddim, probability_flow, timesteps
from dpm_core.schedules import SCHEDULES, make_schedule


class Guess:
    """A kernel that is sure of x⁽⁰⁾ = f(x⁽ᵗ⁾): no variance beyond the posterior's."""

    def __init__(self, diffusion, f):
        self.diffusion, self.f = diffusion, f

    def x0_posterior(self, xt, t):
        return self.f(xt), torch.zeros_like(xt)

    def reverse(self, xt, t, s=None):
        return self.diffusion.q_posterior(self.f(xt), xt, t, s)


def bend(x):
    return torch.tanh(2 * x) - 0.3 * x


def states(run):
    return [x.clone() for _, x in run]


def test_timesteps_are_even():
    """From T to 1 to 0; each time is the nearest whole number to its even place; all of them by default."""
    assert timesteps(6) == [6, 5, 4, 3, 2, 1, 0]
    assert timesteps(1000, 5) == [1000, 750, 500, 251, 1, 0]
    assert timesteps(9, 1) == [9, 0]
    for T in (2, 3, 7, 40, 101):
        for steps in range(2, T + 1):
            times = timesteps(T, steps)
            assert len(times) == steps + 1 and times[0] == T and times[-2:] == [1, 0]
            assert all(a > b for a, b in pairwise(times))
            assert all(abs(t - (T - (T - 1) * i / (steps - 1))) <= 0.5 for i, t in enumerate(times[:-1]))
    for wrong in (0, -1, 8):
        with pytest.raises(ValueError, match="between 1 and T = 7"):
            timesteps(7, wrong)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_ddim_with_eta_1_is_ancestral_sampling_with_the_posterior_variance(name):
    """Same noise, same path to 1e-8, all T steps and in jumps."""
    diffusion = GaussianDiffusion(make_schedule(name, 8))
    kernel = Guess(diffusion, bend)
    x_T = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for steps in (8, 5, 2, 1):
        ours = states(ddim(kernel, diffusion, x_T, steps=steps, eta=1.0, generator=torch.Generator().manual_seed(1)))
        theirs = states(ancestral(kernel, diffusion, x_T, steps=steps, generator=torch.Generator().manual_seed(1)))
        assert len(ours) == len(theirs) == steps + 1
        for a, b in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", ["paper", "cosine", "log_snr"])
def test_ddim_is_equation_12(name, eta):
    """Song et al. 2021, Eq. 12 and 16, written with ᾱ and ε̂ as printed there, step by step to 1e-9."""
    diffusion = GaussianDiffusion(make_schedule(name, 7))
    bar = [math.prod((1 - diffusion.schedule.betas[:t]).tolist()) for t in range(8)]
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    replay = torch.Generator().manual_seed(3)
    run = ddim(Guess(diffusion, bend), diffusion, x, steps=4, eta=eta, generator=torch.Generator().manual_seed(3))
    assert torch.equal(next(run).x, x)
    times = timesteps(7, 4)
    for t, s in pairwise(times):
        x0 = bend(x)
        epsilon = (x - math.sqrt(bar[t]) * x0) / math.sqrt(1 - bar[t])
        sigma = eta * math.sqrt((1 - bar[s]) / (1 - bar[t])) * math.sqrt(1 - bar[t] / bar[s])
        x = math.sqrt(bar[s]) * x0 + math.sqrt(max(0, 1 - bar[s] - sigma**2)) * epsilon
        if eta:
            x = x + sigma * torch.randn(x.shape, generator=replay, dtype=x.dtype)
        step = next(run)
        assert step.t == s
        torch.testing.assert_close(step.x, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_keeps_every_marginal_when_x0_is_known(eta, generator):
    """x̂⁽⁰⁾ the truth: x⁽ˢ⁾ ~ q(x⁽ˢ⁾|x⁽⁰⁾) for every η; 20,000 runs of the paper's schedule, 5 standard errors."""
    n = 20_000
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    truth = torch.full((n, 1), 1.3, dtype=torch.float64)
    start = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    for t, x in ddim(Guess(diffusion, lambda x: truth), diffusion, start, eta=eta, generator=generator):
        mean, noise = 1.3 * math.sqrt((6 - t) / 6), t / 6
        assert abs(float(x.mean()) - mean) <= 5 * math.sqrt(noise / n) + 1e-12
        assert abs(float(x.var()) - noise) <= 5 * noise * math.sqrt(2 / n) + 1e-12


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.5])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_ancestral_steps_compose_to_gaussian_marginals(name, scale):
    """Variance pushed through every reverse() of the chain, at every number of steps 1..T, equals Var X⁽ˢ⁾, to 1e-9."""
    T = 7
    diffusion = GaussianDiffusion(make_schedule(name, T))
    kernel = EmpiricalReverse(torch.zeros(1, 1, dtype=torch.float64), diffusion, scale)
    bar = [math.prod((1 - diffusion.schedule.betas[:t]).tolist()) for t in range(T + 1)]
    for steps in range(1, T + 1):
        times = timesteps(T, steps)
        variance = bar[T] * scale**2 + 1 - bar[T]
        for t, s in pairwise(times):
            p = kernel.reverse(torch.tensor([[0.0], [1.0]], dtype=torch.float64), t, s)
            variance = float(p.mean[1] - p.mean[0]) ** 2 * variance + float(p.variance[0])
            assert variance == pytest.approx(bar[s] * scale**2 + 1 - bar[s], rel=1e-9)


@pytest.mark.parametrize("steps", range(1, 8))
def test_ancestral_samples_gaussian_data(steps, gaussian_reverse, generator):
    """N(0, 0.6²) from x⁽ᵀ⁾ ~ π (ᾱ_T = 0): mean and variance at every time visited, 20,000 runs, 5 standard errors."""
    n = 20_000
    diffusion = GaussianDiffusion(make_schedule("paper", 7))
    kernel = gaussian_reverse(diffusion, 0.6)
    visited = []
    for t, x in ancestral(kernel, diffusion, (n, 1), steps=steps, generator=generator):
        visited.append(t)
        variance = float(kernel.variance(t))
        assert abs(float(x.double().mean())) < 5 * math.sqrt(variance / n)
        assert abs(float(x.double().var()) / variance - 1) < 5 * math.sqrt(2 / n)
    assert visited == timesteps(7, steps)


def test_ancestral_lands_on_the_points_in_their_proportions(generator):
    """Three weighted points without noise, T = 200: shares within 5 standard errors plus 1 % for the Gaussian steps."""
    n = 4000
    diffusion = GaussianDiffusion(make_schedule("paper", 200))
    points = torch.tensor([[-1.2, 0.0], [0.3, 1.0], [1.1, -0.7]])
    weights = torch.tensor([0.2, 0.5, 0.3])
    kernel = EmpiricalReverse(points, diffusion, 0.0, weights)
    *_, last = ancestral(kernel, diffusion, (n, 2), generator=generator)
    distance, nearest = torch.cdist(last.x, points).min(1)
    assert float(distance.median()) < 1e-3
    shares = torch.bincount(nearest, minlength=3) / n
    assert bool(((shares - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt() + 0.01).all())


@pytest.mark.parametrize("sampler", [ddim, probability_flow])
def test_deterministic_samplers_ignore_the_generator_and_take_points_one_at_a_time(sampler):
    diffusion = GaussianDiffusion(make_schedule("paper", 9))
    kernel = EmpiricalReverse(torch.tensor([[-1.0, 0.2], [0.8, -0.5], [0.1, 1.2]]), diffusion, 0.2)
    x_T = torch.randn(6, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    paths = [states(sampler(kernel, diffusion, x_T, steps=5, generator=torch.Generator().manual_seed(seed))) for seed in (1, 2)]
    for a, b in zip(*paths):
        assert torch.equal(a, b)
    assert float((paths[0][-1] - paths[0][-1][0]).abs().max()) > 0.1  # and do not collapse
    for i in range(6):
        for together, alone in zip(paths[0], states(sampler(kernel, diffusion, x_T[i : i + 1], steps=5))):
            torch.testing.assert_close(together[i], alone[0], rtol=1e-10, atol=1e-10)


def flow_error(T, steps, scale, gaussian_reverse):
    """Largest error at t = 1 of the flow of N(0, scale²), whose solution is x⁽ᵗ⁾ = x⁽ᵀ⁾ √(Var X⁽ᵗ⁾/Var X⁽ᵀ⁾)."""
    diffusion = GaussianDiffusion(make_schedule("cosine", T))
    kernel = gaussian_reverse(diffusion, scale)
    x_T = torch.tensor([[-1.5], [0.2], [2.0]], dtype=torch.float64)
    path = list(probability_flow(kernel, diffusion, x_T, steps=steps))
    exact = x_T * (kernel.variance(1) / kernel.variance(T)).sqrt()
    assert path[-2].t == 1
    # the documented last step: onto x̂⁽⁰⁾
    torch.testing.assert_close(path[-1].x, kernel.x0_posterior(path[-2].x, 1)[0], rtol=1e-12, atol=0)
    return float((path[-2].x - exact).abs().max())


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_probability_flow_is_of_second_order(scale, gaussian_reverse):
    """Twice the steps, a quarter of the error (between 1/3 and 1/5.5), down to below 1e-3."""
    errors = [flow_error(2048, steps, scale, gaussian_reverse) for steps in (16, 32, 64, 128)]
    assert errors[-1] < 1e-3
    for coarse, fine in pairwise(errors):
        assert 3 < coarse / fine < 5.5


def test_probability_flow_keeps_standard_normal_data_in_place(gaussian_reverse):
    """N(0, 1) data: x̂⁽⁰⁾ = √ᾱ x, the flow's slope cos φ ε̂ − sin φ x̂⁽⁰⁾ is 0, x⁽¹⁾ = x⁽ᵀ⁾ for any steps, also from ᾱ_T = 0."""
    for name, T in (("paper", 2), ("paper", 40), ("paper", 1000), ("log_snr", 40)):
        diffusion = GaussianDiffusion(make_schedule(name, T))
        x_T = torch.tensor([[-1.5], [0.2]], dtype=torch.float64)
        path = list(probability_flow(gaussian_reverse(diffusion), diffusion, x_T, steps=min(T, 25)))
        for t, x in path[:-1]:
            torch.testing.assert_close(x, x_T, rtol=1e-9, atol=1e-9, msg=lambda m, t=t: f"t = {t}: {m}")


def test_probability_flow_has_the_datas_distribution(generator):
    """Two blurred points, T = 400, 100 steps: CDF of 4,000 flowed draws from π within 0.04 (Kolmogorov–Smirnov, p < 1e-5)."""
    n = 4000
    diffusion = GaussianDiffusion(make_schedule("cosine", 400))
    kernel = EmpiricalReverse(torch.tensor([[-1.0], [0.6]]), diffusion, 0.3, torch.tensor([0.3, 0.7]))
    *_, last = probability_flow(kernel, diffusion, (n, 1), steps=100, generator=generator)
    x = last.x[:, 0].sort().values.double()
    cdf = 0.3 * Normal(-1.0, 0.3).cdf(x) + 0.7 * Normal(0.6, 0.3).cdf(x)
    empirical = (torch.arange(n) + 0.5) / n
    assert float((cdf - empirical).abs().max()) < 0.04


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_the_paper_schedule_of_any_length_ends_on_the_only_point(sampler, T):
    """All data at one point: every sampler from ᾱ_T = 0 ends exactly there (1e-6), at any T, by all steps or one."""
    diffusion = GaussianDiffusion(make_schedule("paper", T))
    point = torch.tensor([[0.7, -1.1]])
    kernel = EmpiricalReverse(point, diffusion)
    for steps in (None, 1, 2):
        path = list(SAMPLERS[sampler](kernel, diffusion, (8, 2), steps=steps, generator=torch.Generator().manual_seed(0)))
        assert all(bool(torch.isfinite(x).all()) for _, x in path)
        torch.testing.assert_close(path[-1].x, point.expand(8, 2), rtol=0, atol=1e-6)
        assert [t for t, _ in path] == timesteps(T, steps)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_the_same_seed_gives_the_same_samples(sampler):
    """Whatever the global generator does, which is left as it was; another seed gives others."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    kernel = EmpiricalReverse(torch.tensor([[-1.0, 0.2], [0.8, -0.5]]), diffusion, 0.2)

    def draw(seed):
        return states(SAMPLERS[sampler](kernel, diffusion, (10, 2), generator=torch.Generator().manual_seed(seed)))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first, draw(5)))
    assert not torch.equal(first[-1], draw(6)[-1])


def test_a_shape_starts_from_the_prior_and_a_tensor_from_itself(generator):
    n = 20_000
    diffusion = GaussianDiffusion(make_schedule("linear", 4))
    kernel = Guess(diffusion, bend)
    for sampler in SAMPLERS.values():
        x = next(sampler(kernel, diffusion, (n, 1), generator=generator)).x.double()
        assert abs(float(x.mean())) < 5 / math.sqrt(n) and abs(float(x.var()) - 1) < 5 * math.sqrt(2 / n)
        given = torch.full((3, 2), 0.4)
        assert torch.equal(next(sampler(kernel, diffusion, given)).x, given)
