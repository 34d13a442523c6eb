"""Reverse kernels against brute force over the points and against quadrature of Bayes' rule."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal

import dpm_core.reverse
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseModel
from dpm_core.schedules import SCHEDULES, make_schedule

POINTS = torch.tensor([[-1.3, 0.4], [0.2, -0.9], [0.5, 1.1], [1.4, -0.2]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)


def mixture(points, weights, noise, schedule, t):
    """Means ``[N, d]`` and variance of q(x⁽ᵗ⁾), one Gaussian per point, from β alone."""
    bar = math.prod((1 - schedule.betas[:t]).tolist())
    return math.sqrt(bar) * points.numpy(), bar * noise**2 + 1 - bar, bar


def brute_force_moments(x, points, weights, noise, schedule, t):
    """E and Var of x⁽⁰⁾ given each row of x: every component's posterior, then the law of total variance."""
    means, v, bar = mixture(points, weights, noise, schedule, t)
    out_mean, out_variance = [], []
    for row in x.numpy():
        log = np.log(weights.numpy()) - ((row - means) ** 2).sum(1) / (2 * v)
        share = np.exp(log - log.max())
        share /= share.sum()
        gain = math.sqrt(bar) * noise**2 / v
        component = points.numpy() + gain * (row - means)
        mean = share @ component
        out_mean.append(mean)
        out_variance.append(noise**2 * (1 - gain * math.sqrt(bar)) + share @ (component - mean) ** 2)
    return np.array(out_mean), np.array(out_variance)


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("noise", [0.0, 0.15])
@pytest.mark.parametrize("dims", [1, 2])
def test_moments_are_the_mixtures(name, noise, dims):
    """float64, 1e-9, every t from 1 to T = 6, weighted points, x within and far outside the data."""
    schedule = make_schedule(name, 6)
    points = POINTS[:, :dims]
    kernel = EmpiricalReverse(points, GaussianDiffusion(schedule), noise, WEIGHTS)
    x = 2 * torch.randn(7, dims, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in range(1, 7):
        mean, variance = kernel.x0_posterior(x, t)
        wanted_mean, wanted_variance = brute_force_moments(x, points, WEIGHTS, noise, schedule, t)
        np.testing.assert_allclose(mean, wanted_mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(variance, wanted_variance, rtol=1e-9, atol=1e-9)


def test_equal_weights_are_the_default_and_scale_does_not_matter():
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain = EmpiricalReverse(POINTS, diffusion, 0.1).x0_posterior(x, 4)
    for weights in (torch.full((4,), 0.25), torch.full((4,), 17.0)):
        for got, wanted in zip(EmpiricalReverse(POINTS, diffusion, 0.1, weights).x0_posterior(x, 4), plain):
            torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7)
    # a point of weight 2 is two points; a point of weight 0 is none
    twice = torch.cat([POINTS, POINTS[:1]])
    weighted = EmpiricalReverse(torch.cat([POINTS, 9 * POINTS[:1]]), diffusion, 0.1, torch.tensor([2.0, 1, 1, 1, 0]))
    for got, wanted in zip(weighted.x0_posterior(x, 4), EmpiricalReverse(twice, diffusion, 0.1).x0_posterior(x, 4)):
        torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("t, s", [(2, 1), (5, 4), (8, 7), (8, 3), (8, 1), (5, 2)])
@pytest.mark.parametrize("name", ["paper", "log_snr", "cosine"])
def test_reverse_moments_by_quadrature_in_one_dimension(name, t, s, noise):
    """Mean and variance of q(x⁽ˢ⁾|x⁽ᵗ⁾) ∝ q(x⁽ᵗ⁾|x⁽ˢ⁾) q(x⁽ˢ⁾) on a grid of 20,001 points, to 1e-6."""
    schedule = make_schedule(name, 8)
    kernel = EmpiricalReverse(POINTS[:, :1], GaussianDiffusion(schedule), noise, WEIGHTS)
    means, v, _ = mixture(POINTS[:, :1], WEIGHTS, noise, schedule, s)
    alpha = math.prod((1 - schedule.betas[s:t]).tolist())
    x = np.linspace(-8, 8, 20_001)
    prior = (WEIGHTS.numpy() * np.exp(-((x[:, None] - means[:, 0]) ** 2) / (2 * v))).sum(1)
    for xt in (-1.4, 0.1, 0.9):
        p = prior * np.exp(-((xt - math.sqrt(alpha) * x) ** 2) / (2 * (1 - alpha)))
        p /= p.sum()
        mean = p @ x
        got = kernel.reverse(torch.tensor([[xt]], dtype=torch.float64), t, s)
        assert float(got.mean) == pytest.approx(mean, abs=1e-6)
        assert float(got.variance) == pytest.approx(p @ (x - mean) ** 2, rel=1e-6)


def test_reverse_moments_by_quadrature_in_the_plane():
    """The same in two dimensions at x⁽ᵗ⁾ = (0.3, −0.2), t = 3 of 6, grid of 601², to 1e-6."""
    schedule = make_schedule("paper", 6)
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(schedule), 0.1, WEIGHTS)
    means, v, _ = mixture(POINTS, WEIGHTS, 0.1, schedule, 2)
    alpha, xt = float(1 - schedule.betas[2]), np.array([0.3, -0.2])
    axis = np.linspace(-5, 5, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    prior = sum(w * np.exp(-((grid - m) ** 2).sum(1) / (2 * v)) for w, m in zip(WEIGHTS.tolist(), means))
    p = prior * np.exp(-((xt - math.sqrt(alpha) * grid) ** 2).sum(1) / (2 * (1 - alpha)))
    p /= p.sum()
    mean = p @ grid
    got = kernel.reverse(torch.from_numpy(xt)[None], 3)
    np.testing.assert_allclose(got.mean[0], mean, atol=1e-6)
    np.testing.assert_allclose(got.variance[0], p @ (grid - mean) ** 2, rtol=1e-6)


def test_reverse_to_the_data_itself():
    """s = 0: the moments of x⁽⁰⁾ given x⁽ᵗ⁾, nothing added."""
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(make_schedule("paper", 6)), 0.1, WEIGHTS)
    x = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    for t in (1, 4, 6):
        mean, variance = kernel.x0_posterior(x, t)
        q = kernel.reverse(x, t, 0)
        torch.testing.assert_close(q.mean, mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(q.variance, variance, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("scale", [0.3, 1.0, 1.6])
def test_one_blurred_point_is_gaussian_data(T, scale, gaussian_reverse):
    """A single point at 0 with noise s is N(0, s²): its chain is a joint Gaussian, also at ᾱ_T = 0; 1e-9."""
    diffusion = GaussianDiffusion(make_schedule("paper", T))
    kernel = EmpiricalReverse(torch.zeros(1, 2, dtype=torch.float64), diffusion, scale)
    exact = gaussian_reverse(diffusion, scale)
    x = torch.tensor([[0.7, -1.9]], dtype=torch.float64)
    for t, s in {(T, T - 1), (2, 1), (T, 1), (T, 0), (max(2, T // 2), 1)}:
        got, wanted = kernel.reverse(x, t, s), exact.reverse(x, t, s)
        torch.testing.assert_close(got.mean, wanted.mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(got.variance, wanted.variance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_log_marginal_is_the_mixture_density(noise):
    """log Σ_j w_j N(x; √ᾱ_t y_j, v_t) summed term by term, 1e-9; t = 0 is the data's own density."""
    schedule = make_schedule("paper", 6)
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(schedule), noise, WEIGHTS)
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for t in range(0 if noise else 1, 7):
        means, v, _ = mixture(POINTS, WEIGHTS, noise, schedule, t)
        wanted = [
            math.log(sum(w * math.exp(-((row - m) ** 2).sum() / (2 * v)) / (2 * math.pi * v) for w, m in zip(WEIGHTS.tolist(), means)))
            for row in x.numpy()
        ]
        np.testing.assert_allclose(kernel.log_marginal(x, t), wanted, atol=1e-9)


@pytest.mark.parametrize("t", [0, 1, 4, 6])
def test_marginal_on_a_grid_is_the_marginal_at_its_points(t):
    """Rows are the second coordinate; the same numbers as log_marginal point by point, 1e-7."""
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(make_schedule("paper", 6)), 0.2, WEIGHTS)
    axis = torch.linspace(-2, 3, 23, dtype=torch.float64)
    density = kernel.marginal_on_grid(axis, t)
    for i, y in enumerate(axis.tolist()):
        row = torch.stack([axis, torch.full_like(axis, y)], 1)
        torch.testing.assert_close(density[i], kernel.log_marginal(row, t).exp(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name, t", [("paper", 2), ("paper", 6), ("log_snr", 4), ("paper", 1)])
def test_log_kernel_is_a_density_with_the_kernels_own_moments(name, t):
    """∫ q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) = 1 on a grid of 701², to 1e-6, and its mean and variance are reverse()'s."""
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(make_schedule(name, 6)), 0.15, WEIGHTS)
    axis = torch.linspace(-7, 7, 701, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    xt = torch.tensor([[0.4, 0.1]], dtype=torch.float64)
    p = kernel.log_kernel(grid, xt, t).exp() * float(axis[1] - axis[0]) ** 2
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    mean = p @ grid
    q = kernel.reverse(xt, t)
    torch.testing.assert_close(q.mean[0], mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(q.variance[0], p @ (grid - mean).square(), rtol=0, atol=1e-6)


def test_one_time_per_row_equals_one_time_per_call():
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(make_schedule("paper", 6)), 0.1, WEIGHTS)
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    t = torch.arange(1, 7)
    mean, variance = kernel.x0_posterior(x, t)
    log_q = kernel.log_marginal(x, t)
    step = kernel.reverse(x, t)
    for i in range(6):
        one_mean, one_variance = kernel.x0_posterior(x[i : i + 1], i + 1)
        one_step = kernel.reverse(x[i : i + 1], i + 1)
        pairs = [(mean, one_mean), (variance, one_variance), (step.mean, one_step.mean), (step.stddev, one_step.stddev)]
        for rows, one in pairs:
            torch.testing.assert_close(rows[i], one[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(log_q[i], kernel.log_marginal(x[i : i + 1], i + 1)[0], rtol=1e-12, atol=1e-12)


def test_other_shapes_are_flattened_and_restored():
    """Arrays of 1×2×2 are points in four dimensions."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    draw = torch.Generator().manual_seed(4)
    points, x = torch.randn(5, 1, 2, 2, generator=draw).double(), torch.randn(3, 1, 2, 2, generator=draw).double()
    mean, variance = EmpiricalReverse(points, diffusion, 0.1).x0_posterior(x, 3)
    weights = torch.full((5,), 0.2, dtype=torch.float64)
    wanted = brute_force_moments(x.flatten(1), points.flatten(1), weights, 0.1, diffusion.schedule, 3)
    # equal weights go through float32's 1/N, which is not 1/5: the same for all, so it cancels
    np.testing.assert_allclose(mean.flatten(1), wanted[0], atol=1e-9)
    np.testing.assert_allclose(variance.flatten(1), wanted[1], atol=1e-9)


def test_float32_keeps_four_digits():
    """A roll of 560 points at 1−ᾱ = 3e-4: mean within 1e-3 deviations, variance within 1 % of float64."""
    from dpm_core.data import toy2d

    diffusion = GaussianDiffusion(make_schedule("log_snr", 40))
    roll = toy2d.DATASETS["swiss_roll"]
    kernel = roll.exact_reverse(diffusion)
    x0 = roll.sample(300, torch.Generator().manual_seed(0))
    for t in (1, 2, 10, 20, 40):
        xt = diffusion.q_sample(x0, t, torch.Generator().manual_seed(1))
        mean, variance = kernel.x0_posterior(xt, t)
        exact_mean, exact_variance = kernel.x0_posterior(xt.double(), t)
        assert float(((mean - exact_mean).abs() / exact_variance.sqrt()).max()) < 1e-3
        assert float((variance / exact_variance - 1).abs().max()) < 1e-2


@pytest.mark.parametrize("noise", [0.0005, 0.003])
def test_float32_keeps_its_digits_at_the_finest_noise(noise):
    """Points 2·noise apart at a log-SNR of 14 to 18: mean within 1e-3 deviations, variance and log density within 0.1 % of float64.

    Logits computed in float32 are off by 0.05 to 3 nats there, and the variance by 1 to 23 %.
    """
    diffusion = GaussianDiffusion(make_schedule("log_snr", 12, start=18.0, end=14.0))
    draw = torch.Generator().manual_seed(0)
    points = 1.5 + 2 * noise * torch.randn(400, 2, generator=draw)
    kernel = EmpiricalReverse(points, diffusion, noise)
    x0 = points[:100] + noise * torch.randn(100, 2, generator=draw)
    for t in (1, 6, 12):
        xt = diffusion.q_sample(x0, t, draw)
        mean, variance = kernel.x0_posterior(xt, t)
        exact_mean, exact_variance = kernel.x0_posterior(xt.double(), t)
        assert mean.dtype == variance.dtype == torch.float32
        assert float(((mean - exact_mean).abs() / exact_variance.sqrt()).max()) < 1e-3
        assert float((variance / exact_variance - 1).abs().max()) < 1e-3
        assert float((kernel.log_marginal(xt, t) - kernel.log_marginal(xt.double(), t)).abs().max()) < 1e-3


def test_blocks_do_not_change_the_answer(monkeypatch):
    """Blocks of one row, of two and of all rows, 50 rows × 4 points."""
    kernel = EmpiricalReverse(POINTS, GaussianDiffusion(make_schedule("paper", 6)), 0.1, WEIGHTS)
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    whole = (*kernel.x0_posterior(x, 3), kernel.log_marginal(x, 3))
    for elements in (1, 9, 1000):
        monkeypatch.setattr(dpm_core.reverse.empirical_points, "BLOCK_ELEMENTS", elements)
        for got, wanted in zip((*kernel.x0_posterior(x, 3), kernel.log_marginal(x, 3)), whole):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_memory_does_not_grow_with_points_times_particles():
    """20,000 points × 5,000 particles would take 400 MB at once: the peak rises by less than 150 MB, to below 1 GB."""
    code = """
import resource, sys, torch
torch.set_num_threads(1)
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule
draw = torch.Generator().manual_seed(0)
kernel = EmpiricalReverse(torch.randn(20_000, 2, generator=draw), GaussianDiffusion(make_schedule("paper", 40)), 0.05)
x = torch.randn(5_000, 2, generator=draw)
kernel.reverse(x[:10], 20)
def peak():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    # of this program alone: ru_maxrss would begin with the peak of the one that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
before = peak()
kernel.reverse(x, 20)
print(peak() - before, peak())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth, peak = map(float, done.stdout.split())
    assert growth < 150 and peak < 1000


def test_impossible_data_is_refused():
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    for data, noise in ((torch.zeros(0, 2), 0.1), (POINTS, -0.1), (POINTS, math.nan)):
        with pytest.raises(ValueError, match=r"\.$"):
            EmpiricalReverse(data, diffusion, noise)


class Fixed(nn.Module):
    """F = 0.5 x + t/8 and v = −x, remembering the log-SNR it was given."""

    def forward(self, x, t, log_snr):
        self.log_snr = log_snr
        time = t if t.ndim == 0 else t[:, None]
        return 0.5 * x + time / 8, -x


@pytest.mark.parametrize(
    ("variance", "share"), [("free", lambda v: np.log1p(np.exp(v)) / np.log(2)), ("capped", lambda v: 1 / (1 + np.exp(-v)))]
)
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_network_is_read_as_the_stated_moments(name, variance, share):
    """E = √ᾱ x + √(1−ᾱ) F, Var = (1−ᾱ) softplus(v)/log 2 or (1−ᾱ) sigmoid(v), one t for all and one per row; ᾱ_T = 0 included."""
    schedule = make_schedule(name, 6)
    model = ReverseModel(Fixed(), GaussianDiffusion(schedule), variance)
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    rows_mean, rows_variance = model.x0_posterior(x, torch.arange(1, 7))
    for t in range(1, 7):
        bar = math.prod((1 - schedule.betas[:t]).tolist())
        mean, spread = model.x0_posterior(x, t)
        np.testing.assert_allclose(mean, math.sqrt(bar) * x + math.sqrt(1 - bar) * (0.5 * x + t / 8), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(spread, (1 - bar) * share(-x.numpy()), rtol=1e-9)
        torch.testing.assert_close(rows_mean[t - 1], mean[t - 1])
        torch.testing.assert_close(rows_variance[t - 1], spread[t - 1])
        wanted = 15.0 if bar == 1 else -15.0 if bar == 0 else max(-15.0, min(15.0, math.log(bar / (1 - bar))))
        assert float(model.network.log_snr) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_networks_step_reaches_the_posteriors_bounds(name, T):
    """The mean is q_posterior's at E[x⁽⁰⁾|x⁽ᵗ⁾]; f_Σ is β̃_t for v → −∞ and β_t for v → ∞ if capped, for v = 0 if free."""
    diffusion = GaussianDiffusion(make_schedule(name, T))
    x = torch.tensor([[-200.0, 200.0]], dtype=torch.float64)
    for variance, most in (("capped", -200.0), ("free", 0.0)):
        check_bounds(diffusion, ReverseModel(Fixed(), diffusion, variance), x.clamp(min=most))


def check_bounds(diffusion, model, x):
    T = diffusion.T
    for t in {2, max(2, T // 2), T}:
        step = model.reverse(x, t)
        mean = diffusion.q_posterior(model.x0_posterior(x, t)[0], x, t).mean
        torch.testing.assert_close(step.mean, mean, rtol=1e-9, atol=1e-9)
        high, low = step.variance[0].tolist()
        assert low == pytest.approx(float(diffusion.schedule.posterior_variance(t)), rel=1e-9)
        # β̃ + c₀²(1−ᾱ_t) = β(1−ᾱ_s)/(1−ᾱ_t) + ᾱ_s β²/(1−ᾱ_t), which is β, as (1−ᾱ_s) + ᾱ_s β = 1−ᾱ_t
        assert high == pytest.approx(float(diffusion.schedule.betas[t - 1]), rel=1e-9)


def test_the_last_step_is_the_forward_kernel_read_backwards():
    """q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾) is N(√α₁ x⁽¹⁾, β₁) (App. B.2): the log densities agree at random points, to 1e-9."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5, beta_1=0.07))
    model = ReverseModel(Fixed(), diffusion)
    x0, x1 = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    prior = Normal(0.0, 1.0)
    wanted = diffusion.q_step(x0, 1).log_prob(x1) + prior.log_prob(x0) - prior.log_prob(x1)
    for p in (model.reverse(x1, 1), model.reverse(x1, 1, 0)):
        torch.testing.assert_close(p.log_prob(x0), wanted, rtol=1e-9, atol=1e-9)
