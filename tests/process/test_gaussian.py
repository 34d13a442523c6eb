"""The forward process: kernels composed by hand, Bayes on a grid, sample moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpm_core.process import GaussianDiffusion, expand, gaussian_entropy_nats
from dpm_core.schedules import SCHEDULES, Schedule, make_schedule

ALL = list(SCHEDULES)


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("name", ALL)
def test_iterated_steps_compose_to_the_marginal(name, T):
    """Mean and variance pushed through q_step one t at a time equal q_marginal's at every t."""
    diffusion = GaussianDiffusion(make_schedule(name, T))
    x0 = torch.tensor([1.7], dtype=torch.float64)
    mean, variance = x0.clone(), 0.0
    for t in range(1, T + 1):
        step = diffusion.q_step(torch.stack([mean, mean + 1]), t)
        slope = float(step.mean[1] - step.mean[0])
        mean, variance = step.mean[0], slope**2 * variance + float(step.variance[0])
        marginal = diffusion.q_marginal(x0, t)
        assert float(mean) == pytest.approx(float(marginal.mean), rel=1e-9, abs=1e-12)
        assert variance == pytest.approx(float(marginal.variance), rel=1e-9)


def test_forward_chain_has_the_marginals_moments(generator):
    """20,000 runs from x⁽⁰⁾ = (1.5, −0.5): mean and variance within 5 standard errors at every t, incl. ᾱ_T = 0."""
    n = 20_000
    diffusion = GaussianDiffusion(make_schedule("paper", 10, beta_1=0.01))
    x0 = torch.tensor([1.5, -0.5], dtype=torch.float64).expand(n, 2)
    path = diffusion.forward_trajectory(x0, generator)
    assert torch.equal(path[0], x0)
    for t in range(1, 11):
        q = diffusion.q_marginal(x0[:1], t)
        error = q.stddev[0] / math.sqrt(n)
        assert bool(((path[t].mean(0) - q.mean[0]).abs() < 5 * error).all())
        assert bool(((path[t].var(0) / q.variance[0] - 1).abs() < 5 * math.sqrt(2 / n)).all())
    # the chain remembers: Cov(x⁽ˢ⁾, x⁽ᵗ⁾ | x⁽⁰⁾) = √(ᾱ_t/ᾱ_s)(1 − ᾱ_s)
    s, t = 3, 6
    ratio = diffusion.schedule.alpha_bar(t) / diffusion.schedule.alpha_bar(s)
    wanted = ratio.sqrt() * diffusion.schedule.noise(s)
    got = torch.cov(torch.stack([path[s][:, 0], path[t][:, 0]]))[0, 1]
    spread = (diffusion.schedule.noise(s) * diffusion.schedule.noise(t) + wanted**2).sqrt() / math.sqrt(n)
    assert abs(float(got - wanted)) < 5 * float(spread)


def test_forward_steps_stream_the_same_chain(generator):
    """One state at a time or all at once, each step the one q_step with the next noise of the generator."""
    diffusion = GaussianDiffusion(make_schedule("linear", 6))
    x = torch.ones(3, 2, dtype=torch.float64)
    replay = torch.Generator().manual_seed(3)
    path = diffusion.forward_trajectory(x, torch.Generator().manual_seed(3))
    for t, state in diffusion.forward_steps(x, torch.Generator().manual_seed(3)):
        assert torch.equal(path[t], state)
        if t:
            beta = diffusion.schedule.betas[t - 1]
            x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(3, 2, generator=replay, dtype=torch.float64)
            torch.testing.assert_close(state, x, rtol=1e-12, atol=1e-12)


def test_q_sample_moments_per_row(generator):
    """A different t for every row: mean and variance of each group within 5 standard errors."""
    n = 20_000
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    t = torch.arange(1, 6).repeat_interleave(n)
    x0 = torch.full((5 * n, 1), 2.0)
    x = diffusion.q_sample(x0, t, generator).view(5, n).double()
    noise = torch.arange(1, 6).double() / 5
    assert bool(((x.mean(1) - 2 * (1 - noise).sqrt()).abs() < 5 * (noise / n).sqrt()).all())
    assert bool(((x.var(1) / noise - 1).abs() < 5 * math.sqrt(2 / n)).all())


@pytest.mark.parametrize("T", [2, 5, 40])
@pytest.mark.parametrize("name", ALL)
def test_posterior_is_bayes_rule_on_a_grid(name, T):
    """Mean and variance of q(x⁽ᵗ⁾|x⁽ˢ⁾) q(x⁽ˢ⁾|x⁽⁰⁾)/norm by the trapezium rule, single steps and jumps, to 1e-6.

    The jump's kernel is the product of its single α, not a ratio of ᾱ, so ᾱ_T = 0 is no special case here either.
    """
    schedule = make_schedule(name, T)
    diffusion = GaussianDiffusion(schedule)
    x0, xt = 0.8, -1.1
    pairs = {(t, t - 1) for t in (2, T // 2, T) if t >= 2} | {(T, 1), (T, max(1, T // 2)), (max(2, T // 2), 1)}
    for t, s in sorted((t, s) for t, s in pairs if 1 <= s < t):
        alpha = math.prod((1 - schedule.betas[s:t]).tolist())
        bar = math.prod((1 - schedule.betas[:s]).tolist())
        q = diffusion.q_posterior(torch.tensor([x0]).double(), torch.tensor([xt]).double(), t, s)
        # the prior q(x_s|x0) and the likelihood cover every scale that the product can have
        width = min(math.sqrt(1 - bar), math.sqrt((1 - alpha) / max(alpha, 1e-12)))
        centre = float(q.mean)
        x = np.linspace(centre - 12 * width, centre + 12 * width, 40_001)
        log = -((xt - math.sqrt(alpha) * x) ** 2) / (2 * (1 - alpha)) - (x - math.sqrt(bar) * x0) ** 2 / (2 * (1 - bar))
        p = np.exp(log - log.max())
        assert p[0] < 1e-12 and p[-1] < 1e-12  # the grid holds all of it, wherever the formula thinks it lies
        p /= p.sum()
        mean = p @ x
        assert float(q.mean) == pytest.approx(mean, abs=1e-6 * max(width, 1e-3) + 1e-9)
        assert float(q.variance) == pytest.approx(p @ (x - mean) ** 2, rel=1e-6)


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("name", ALL)
def test_posterior_coefficients(name, T):
    """The textbook's three fractions at every t, in float64 from β alone; finite everywhere; s = t−1 is the default."""
    schedule = make_schedule(name, T)
    diffusion = GaussianDiffusion(schedule)
    alpha = 1 - schedule.betas.numpy()
    bar = np.r_[1.0, np.cumprod(alpha)]
    noise = schedule.noise(torch.arange(T + 1)).numpy()  # held to rational numbers in test_schedules
    t = torch.arange(1, T + 1)
    c0, ct, variance = diffusion.posterior_coefficients(t)
    beta = schedule.betas.numpy()
    np.testing.assert_allclose(c0, np.sqrt(bar[:-1]) * beta / noise[1:], rtol=1e-9)
    np.testing.assert_allclose(ct, np.sqrt(alpha) * noise[:-1] / noise[1:], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(variance, beta * noise[:-1] / noise[1:], rtol=1e-9, atol=1e-15)
    for given, default in zip(diffusion.posterior_coefficients(t, t - 1), (c0, ct, variance)):
        torch.testing.assert_close(given, default, rtol=1e-12, atol=0)
    for one, row in zip(diffusion.posterior_coefficients(T), (c0, ct, variance)):
        assert float(one) == float(row[-1])


def test_posterior_of_the_paper_schedule_by_hand():
    """T = 5, t = 5 (α_T = 0): nothing of x⁽ᵀ⁾ is left, so q(x⁽⁴⁾|x⁽⁵⁾,x⁽⁰⁾) = N(√(1/5) x⁽⁰⁾, 4/5)."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    c0, ct, variance = diffusion.posterior_coefficients(5)
    assert [float(c0), float(ct), float(variance)] == pytest.approx([math.sqrt(0.2), 0.0, 0.8])
    # t = 3, s = 1: α = (2/5)/(4/5) = 1/2, 1−ᾱ_s = 1/5, 1−ᾱ_t = 3/5
    c0, ct, variance = diffusion.posterior_coefficients(3, 1)
    assert [float(c0), float(ct), float(variance)] == pytest.approx(
        [math.sqrt(0.8) * 0.5 / 0.6, math.sqrt(0.5) * 0.2 / 0.6, 0.5 * 0.2 / 0.6]
    )


def test_tiny_steps_lose_no_digits():
    """β = 1e-18 three times: q(x⁽²⁾|x⁽³⁾,x⁽⁰⁾) = N(x⁽⁰⁾/3 + 2x⁽³⁾/3, ⅔·1e-18), q(x⁽¹⁾|x⁽³⁾,x⁽⁰⁾) = N(⅔x⁽⁰⁾ + ⅓x⁽³⁾, ⅔·1e-18)."""
    diffusion = GaussianDiffusion(Schedule(torch.tensor([1e-18] * 3, dtype=torch.float64)))
    for s, wanted in ((2, (1 / 3, 2 / 3, 2e-18 / 3)), (1, (2 / 3, 1 / 3, 2e-18 / 3))):
        got = [float(c) for c in diffusion.posterior_coefficients(3, s)]
        assert got == pytest.approx(wanted, rel=1e-12, abs=0)


@pytest.mark.parametrize("name", ALL)
def test_step_and_marginal_give_the_posterior_back(name):
    """q(x⁽ᵗ⁾|x⁽ˢ⁾) q(x⁽ˢ⁾|x⁽⁰⁾) = q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) q(x⁽ᵗ⁾|x⁽⁰⁾) at random points, s = t−1, in log density to 1e-8."""
    diffusion = GaussianDiffusion(make_schedule(name, 12))
    t = torch.arange(2, 13)
    draw = torch.Generator().manual_seed(1)
    x0, before, after = torch.randn(3, 11, 2, generator=draw, dtype=torch.float64)
    before = diffusion.q_marginal(x0, t - 1).mean + diffusion.q_marginal(x0, t - 1).stddev * before
    after = diffusion.q_step(before, t).mean + diffusion.q_step(before, t).stddev * after
    left = diffusion.q_step(before, t).log_prob(after) + diffusion.q_marginal(x0, t - 1).log_prob(before)
    right = diffusion.q_posterior(x0, after, t).log_prob(before) + diffusion.q_marginal(x0, t).log_prob(after)
    torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-8)


def test_images_and_rows_share_one_formula():
    """A batch of 2×3×3 arrays with its own t each equals one array at a time."""
    diffusion = GaussianDiffusion(make_schedule("cosine", 9))
    x0 = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, s = torch.tensor([1, 4, 8, 9]), torch.tensor([0, 2, 1, 8])
    q = diffusion.q_posterior(x0, 2 * x0, t, s)
    for i in range(4):
        one = diffusion.q_posterior(x0[i : i + 1], 2 * x0[i : i + 1], int(t[i]), int(s[i]))
        torch.testing.assert_close(q.mean[i], one.mean[0])
        torch.testing.assert_close(q.variance[i], one.variance[0])
    assert torch.equal(expand(torch.tensor([1.0, 2.0]), torch.ones(2, 3)) * torch.ones(2, 3), torch.tensor([[1.0] * 3, [2.0] * 3]))


def test_prior_and_entropy():
    """π is N(0, I); the entropy equals torch's own and −∫ p log p."""
    diffusion = GaussianDiffusion(make_schedule("paper", 4))
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    log_p = diffusion.prior((1,)).log_prob(x.float()[:, None]).double()[:, 0]
    step = float(x[1] - x[0])
    assert float(log_p.exp().sum()) * step == pytest.approx(1, abs=1e-5)
    assert -float((log_p.exp() * log_p).sum()) * step == pytest.approx(gaussian_entropy_nats(torch.ones(()), 1), abs=1e-5)
    wanted = 3 * float(torch.distributions.Normal(0.0, math.sqrt(0.3)).entropy())
    assert gaussian_entropy_nats(torch.tensor(0.3), 3) == pytest.approx(wanted, rel=1e-6)
    assert gaussian_entropy_nats(torch.tensor(0.0), 2) == -math.inf


def test_the_generator_alone_decides():
    """Same seed, same draw; the global generator is left where it was."""
    diffusion = GaussianDiffusion(make_schedule("linear", 5))
    x0 = torch.zeros(4, 2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = diffusion.q_sample(x0, 3, torch.Generator().manual_seed(9))
    chain = diffusion.forward_trajectory(x0, torch.Generator().manual_seed(9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, diffusion.q_sample(x0, 3, torch.Generator().manual_seed(9)))
    assert torch.equal(chain, diffusion.forward_trajectory(x0, torch.Generator().manual_seed(9)))
    assert not torch.equal(first, diffusion.q_sample(x0, 3, torch.Generator().manual_seed(10)))
