"""The bound K where its value is known."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from dpm_core.config import NetworkConfig
from dpm_core.data import toy2d
from dpm_core.measure.bound import Bound, BoundEstimate, bound_terms, entropy_bounds, estimate_bound, evaluate_bound, step_kl_nats
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseModel, build_model
from dpm_core.schedules import SCHEDULES, make_schedule

NORMAL_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)


@pytest.mark.parametrize("T", [2, 10, 100, 1000])
@pytest.mark.parametrize("name", ["paper", "log_snr", "linear"])
def test_bound_is_tight_for_standard_normal_data(name, T, gaussian_reverse, generator):
    """Data N(0, I), true reverse: every gap closes and K = −h(N(0, I)).

    E KL at t is the irreducible I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾) = I(X⁽⁰⁾;X⁽ᵗ⁻¹⁾) − I(X⁽⁰⁾;X⁽ᵗ⁾), so the sum telescopes to
    H_q(X⁽ᵀ⁾|X⁽⁰⁾) − H_q(X⁽¹⁾|X⁽⁰⁾) and only −H_p(X⁽ᵀ⁾) is left. Each term and K within 5 standard errors.
    """
    diffusion = GaussianDiffusion(make_schedule(name, T))
    n = 4000 if T <= 10 else 400
    x0 = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    bound = evaluate_bound(gaussian_reverse(diffusion), diffusion, x0, generator)
    t = torch.arange(2, T + 1)
    wanted = diffusion.schedule.noise(t).log() - diffusion.schedule.noise(t - 1).log()  # 2 dims × ½
    error = bound.kl_nats - wanted
    assert bool((error.abs() < 5 * bound.kl_standard_error + 1e-12).all())
    assert float(wanted.sum()) == pytest.approx(bound.h_end - bound.h_start, rel=1e-6)
    assert abs(bound.bound_nats + 2 * NORMAL_ENTROPY) < 5 * bound.standard_error_nats
    assert 0 < bound.standard_error_nats < 0.2  # tight enough to notice


@pytest.mark.parametrize("T", [2, 10, 100])
def test_the_terms_telescope_exactly(T, gaussian_reverse):
    """No sampling: given x⁽ᵗ⁾, x⁽⁰⁾ = mean ± one deviation has the first two moments, so the averaged KL is exact.

    It must equal ½ log((1−ᾱ_t)/(1−ᾱ_{t−1})), the step's destroyed information, to 1e-10, and the sum gives K = −h.
    """
    diffusion = GaussianDiffusion(make_schedule("paper", T))
    kernel = gaussian_reverse(diffusion)
    xt = torch.tensor([[0.3]], dtype=torch.float64)
    total = 0.0
    for t in range(2, T + 1):
        mean, variance = kernel.x0_posterior(xt, t)
        kl = [float(step_kl_nats(kernel, diffusion, mean + sign * variance.sqrt(), xt, t)) for sign in (-1, 1)]
        assert sum(kl) / 2 == pytest.approx(0.5 * math.log(t / (t - 1)), rel=1e-10)
        bits = float(diffusion.schedule.information_destroyed_bits(t))
        assert sum(kl) / 2 == pytest.approx(bits * math.log(2), rel=1e-10)
        total += sum(kl) / 2
    h_end, h_start = NORMAL_ENTROPY, NORMAL_ENTROPY + 0.5 * math.log(1 / T)
    assert -total + h_end - h_start - NORMAL_ENTROPY == pytest.approx(-NORMAL_ENTROPY, rel=1e-10)


class Wrong:
    """Some mean and variance of x⁽⁰⁾, its reverse() written with the forward process's own posterior."""

    def __init__(self, diffusion):
        self.diffusion = diffusion

    def x0_posterior(self, xt, t):
        return 0.5 * xt + 0.1, 0.3 + 0.1 * xt.square()

    def reverse(self, xt, t, s=None):
        mean, variance = self.x0_posterior(xt, t)
        q = self.diffusion.q_posterior(mean, xt, t)
        c0 = self.diffusion.q_posterior(torch.ones_like(xt), torch.zeros_like(xt), t).mean
        return Normal(q.mean, (q.variance + c0.square() * variance).sqrt(), validate_args=False)


@pytest.mark.parametrize("T", [2, 5, 40])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_step_kl_is_torchs_divergence_of_the_two_kernels(name, T):
    """kl_divergence(q_posterior, reverse) summed over dimensions, float64, 1e-7, one t for all and one per row."""
    diffusion = GaussianDiffusion(make_schedule(name, T))
    model = Wrong(diffusion)
    points = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    empirical = EmpiricalReverse(points, diffusion, 0.3)
    n = T - 1
    x0 = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t = torch.arange(2, T + 1)
    xt = diffusion.q_sample(x0, t, torch.Generator().manual_seed(2))
    for kernel in (model, empirical):
        rows = step_kl_nats(kernel, diffusion, x0, xt, t)
        for i in range(n):
            one = slice(i, i + 1)
            wanted = kl_divergence(diffusion.q_posterior(x0[one], xt[one], i + 2), kernel.reverse(xt[one], i + 2)).sum()
            assert float(rows[i]) == pytest.approx(float(wanted), rel=1e-7, abs=1e-9)
            assert float(step_kl_nats(kernel, diffusion, x0[one], xt[one], i + 2)) == pytest.approx(float(wanted), rel=1e-7, abs=1e-9)


def test_step_kl_sums_over_every_dimension():
    """An array of 1×2×3 costs what its six numbers cost one by one."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    model = Wrong(diffusion)
    x0, xt = torch.randn(2, 4, 1, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wanted = step_kl_nats(model, diffusion, x0.reshape(-1, 1), xt.reshape(-1, 1), 4).view(4, 6).sum(1)
    torch.testing.assert_close(step_kl_nats(model, diffusion, x0, xt, 4), wanted, rtol=1e-12, atol=1e-12)


def test_bound_terms_by_quadrature(generator):
    """Two blurred points on a line: E KL = E_{x⁽ᵗ⁾} ½ log(1 + c₀² Var/β̃), by a 1-D grid; 20,000 draws, 5 standard errors."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    points, weights, noise = np.array([-1.0, 0.8]), np.array([0.3, 0.7]), 0.25
    kernel = EmpiricalReverse(torch.from_numpy(points)[:, None], diffusion, noise, torch.from_numpy(weights))
    n = 20_000
    rows = torch.multinomial(torch.from_numpy(weights), n, replacement=True, generator=generator)
    x0 = torch.from_numpy(points)[rows, None] + noise * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    terms = bound_terms(kernel, diffusion, x0, generator)
    x = np.linspace(-8, 8, 4001)
    for t in range(2, 6):
        bar, before = (5 - t) / 5, (6 - t) / 5
        beta = 1 / (6 - t)
        v = bar * noise**2 + 1 - bar
        p = weights * np.exp(-((x[:, None] - math.sqrt(bar) * points) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        share = p / p.sum(1, keepdims=True)
        centre = points + math.sqrt(bar) * noise**2 / v * (x[:, None] - math.sqrt(bar) * points)
        mean = (share * centre).sum(1)
        variance = noise**2 * (1 - bar) / v + (share * (centre - mean[:, None]) ** 2).sum(1)
        gain = before * beta / ((1 - bar) * (1 - before))  # c₀²/β̃
        wanted = (p.sum(1) * 0.5 * np.log1p(gain * variance)).sum() * (x[1] - x[0])
        got, error = float(terms[:, t - 2].mean()), float(terms[:, t - 2].std()) / math.sqrt(n)
        assert abs(got - wanted) < 5 * error and error < 0.02


def test_no_bound_above_the_datas_entropy_and_more_steps_come_closer():
    """K ≤ −h(q) for the exact kernel, and the gap shrinks from T = 5 to 20 to 80 (each by over 3 standard errors)."""
    data = toy2d.DATASETS["moons"]
    x0 = data.sample(2000, torch.Generator().manual_seed(0))
    bounds = []
    for T in (5, 20, 80):
        diffusion = GaussianDiffusion(make_schedule("log_snr", T))
        bounds.append(evaluate_bound(data.exact_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed(1)))
        assert bounds[-1].bound_nats < -data.entropy()
    for fewer, more in pairwise(bounds):
        assert more.bound_nats - fewer.bound_nats > 3 * math.hypot(fewer.standard_error_nats, more.standard_error_nats)


def test_any_other_kernel_has_a_worse_bound(generator):
    """The exact moments minimise every term: shifting the mean or scaling the variance costs at each t (5 standard errors)."""
    diffusion = GaussianDiffusion(make_schedule("paper", 4))
    best = EmpiricalReverse(torch.tensor([[-1.0], [0.9]]).double(), diffusion, 0.3)

    class Off:
        def __init__(self, shift, scale):
            self.diffusion, self.shift, self.scale = diffusion, shift, scale

        def x0_posterior(self, xt, t):
            mean, variance = best.x0_posterior(xt, t)
            return mean + self.shift, variance * self.scale

    rows = torch.randint(2, (20_000,), generator=generator)
    x0 = best.data[rows] + 0.3 * torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    base = bound_terms(best, diffusion, x0, torch.Generator().manual_seed(1))
    for shift, scale in ((0.2, 1.0), (-0.2, 1.0), (0.0, 2.0), (0.0, 0.5)):
        worse = bound_terms(Off(shift, scale), diffusion, x0, torch.Generator().manual_seed(1)) - base
        assert bool((worse.mean(0) > 5 * worse.std(0) / math.sqrt(20_000)).all())


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_entropies_and_null(name, gaussian_reverse):
    """Entropies from β alone; the terms of π and L_null = −(d/2) log 2π − mean |x|²/2 from the second moments; bits are nats/log 2."""
    diffusion = GaussianDiffusion(make_schedule(name, 6))
    x0 = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    bound = evaluate_bound(gaussian_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed(1))
    betas = diffusion.schedule.betas
    end = 1 - math.prod((1 - betas).tolist())
    assert bound.h_start == pytest.approx(3 * (NORMAL_ENTROPY + 0.5 * math.log(float(betas[0]))), rel=1e-6)
    assert bound.h_end == pytest.approx(3 * (NORMAL_ENTROPY + 0.5 * math.log(end)), rel=1e-6)
    prior = -bound.null_nats  # −log π(x⁽⁰⁾), and −E log π of x⁽ᵗ⁾ with second moment ᾱ|x|² + (1−ᾱ)·3
    squares = float(x0.double().square().sum(1).mean())
    costs = [1.5 * math.log(2 * math.pi) + 0.5 * (bar * squares + 3 * (1 - bar)) for bar in (1 - end, 1 - float(betas[0]))]
    assert bound.h_prior == pytest.approx(costs[0] + prior - costs[1], rel=1e-6)
    assert bound.null_nats == pytest.approx(-1.5 * math.log(2 * math.pi) - float(x0.square().sum(1).mean()) / 2, rel=1e-5)
    wanted = -float(bound.kl_nats.sum()) + bound.h_end - bound.h_start - bound.h_prior
    assert bound.bound_nats == pytest.approx(wanted, rel=1e-12)
    for bits, nats in (("bound_bits", "bound_nats"), ("null_bits", "null_nats"), ("standard_error_bits", "standard_error_nats")):
        assert getattr(bound, bits) == pytest.approx(getattr(bound, nats) / 0.6931471805599453, rel=1e-12)


def test_bound_is_the_mean_of_its_terms_and_the_error_its_spread(gaussian_reverse):
    """Same seed: kl_nats = column means; errors of a term and of K from torch's own std over the 60 data."""
    diffusion = GaussianDiffusion(make_schedule("linear", 6))
    kernel = gaussian_reverse(diffusion, 0.5)
    x0 = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = bound_terms(kernel, diffusion, x0, torch.Generator().manual_seed(1))
    bound = evaluate_bound(kernel, diffusion, x0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(bound.kl_nats, terms.sum(0) / 60)
    torch.testing.assert_close(bound.kl_standard_error, terms.std(0) / math.sqrt(60))
    per_datum = np.asarray(terms.sum(1) + diffusion.prior_cost_nats(x0))
    assert bound.standard_error_nats == pytest.approx(per_datum.std(ddof=1) / math.sqrt(60), rel=1e-9)


def test_bound_of_a_single_datum_is_finite(gaussian_reverse):
    diffusion = GaussianDiffusion(make_schedule("paper", 4))
    bound = evaluate_bound(gaussian_reverse(diffusion), diffusion, torch.ones(1, 2), torch.Generator().manual_seed(0))
    assert math.isfinite(bound.bound_nats) and bound.standard_error_nats == 0


@pytest.mark.parametrize("scale", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_entropy_bounds_bracket_the_reverse_steps_entropy(name, scale, gaussian_reverse):
    """Data N(0, scale²), scale ≤ 1: the true H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) = d(½ log 2πe Var) lies between; equal to the upper at scale 1.

    Both bounds are the entropies of Eq. 24 taken from torch's own distributions.
    """
    diffusion = GaussianDiffusion(make_schedule(name, 10))
    kernel = gaussian_reverse(diffusion, scale)
    lower, upper = entropy_bounds(diffusion, 3)
    one = torch.zeros(1, dtype=torch.float64)
    for t in range(2, 11):
        true = 3 * float(kernel.reverse(one, t).entropy())
        step = 3 * float(diffusion.q_step(one, t).entropy())
        before, after = (3 * float(diffusion.q_marginal(one, u).entropy()) for u in (t - 1, t))
        assert float(upper[t - 2]) == pytest.approx(step, rel=1e-9)
        assert float(lower[t - 2]) == pytest.approx(step + before - after, rel=1e-9)
        assert float(lower[t - 2]) - 1e-9 <= true <= float(upper[t - 2]) + 1e-9
        if scale == 1.0:
            assert true == pytest.approx(step, rel=1e-9)


def test_over_scaled_data_breaks_the_upper_bound(gaussian_reverse):
    """N(0, 3²): H_q(X⁽ᵗ⁾) falls with t, so the true entropy exceeds H_q(X⁽ᵗ⁾|X⁽ᵗ⁻¹⁾) at every t."""
    diffusion = GaussianDiffusion(make_schedule("linear", 10))
    kernel = gaussian_reverse(diffusion, 3.0)
    _, upper = entropy_bounds(diffusion, 1)
    true = torch.cat([kernel.reverse(torch.zeros(1).double(), t).entropy() for t in range(2, 11)])
    assert bool((true > upper).all())


def test_bound_arithmetic():
    """K = −Σ KL + h_end − h_start − h_prior with numbers small enough to add in the head."""
    bound = Bound(
        torch.tensor([1.0, 2.0]), torch.zeros(2), h_start=-3.0, h_end=5.0, h_prior=7.0, null_nats=math.log(2), standard_error_nats=0.0
    )
    assert bound.bound_nats == -2.0
    assert bound.null_bits == pytest.approx(1.0)


def test_an_untrained_network_still_has_the_papers_last_step():
    """F = 0 and share ½ at T = 2: the one KL term by hand, so the bound never uses the network at t = 1."""
    diffusion = GaussianDiffusion(make_schedule("paper", 2))
    seen = []

    class Silent(torch.nn.Module):
        def forward(self, x, t, log_snr):
            seen.append(int(t.max()))
            return torch.zeros_like(x), torch.zeros_like(x)

    model = ReverseModel(Silent(), diffusion, "capped")
    x0 = torch.tensor([[0.5]], dtype=torch.float64)
    terms = bound_terms(model, diffusion, x0, torch.Generator().manual_seed(0))
    # t = 2: ᾱ₂ = 0, q = N(√½ x⁽⁰⁾, ½), p = N(0, ½ + ½·½)
    wanted = 0.5 * (math.log(0.75 / 0.5) + (0.5 + 0.5 * 0.25) / 0.75 - 1)
    assert float(terms[0, 0]) == pytest.approx(wanted, rel=1e-9)
    assert seen == [2]


# --- K from one time per datum ---


class PerRow:
    """A kernel that takes one time, asked for a time per row."""

    def __init__(self, kernel):
        self.kernel, self.diffusion, self.asked = kernel, kernel.diffusion, []

    def x0_posterior(self, xt, t):
        self.asked.append(t)
        mean, variance = torch.empty_like(xt), torch.empty_like(xt)
        for one in t.unique():
            mean[t == one], variance[t == one] = self.kernel.x0_posterior(xt[t == one], int(one))
        return mean, variance


@pytest.mark.parametrize(
    "name, T, m, scale", [("linear", 20, 33, 0.5), ("log_snr", 40, 8, 2.0), ("paper", 8, 120, 1.0), ("cosine", 2, 20, 0.3)]
)
def test_an_estimate_is_unbiased_and_knows_its_error(name, T, m, scale, gaussian_reverse, generator):
    """Data N(0, s²) in the plane, true reverse: K = log(v_T/v_1) − log 2πe − (s²−1)(ᾱ_T + 1 − ᾱ₁), v_t = ᾱ_t s² + 1 − ᾱ_t.

    The mean of 500 estimates within 5 of their standard errors; their spread is the error they report to 15 %
    (the spread of 500 is known to 3 %), or less where the terms vary more along the chain than between data.
    """
    diffusion = GaussianDiffusion(make_schedule(name, T))
    kernel = PerRow(gaussian_reverse(diffusion, scale))
    v = kernel.kernel.variance
    ends = float(diffusion.schedule.alpha_bar(T) + diffusion.schedule.noise(1))
    wanted = (math.log(float(v(T) / v(1))) - math.log(2 * math.pi * math.e) - (scale**2 - 1) * ends) / math.log(2)
    draws = [scale * torch.randn(m, 2, generator=generator, dtype=torch.float64) for _ in range(500)]
    estimates = [estimate_bound(kernel, diffusion, x0, generator) for x0 in draws]
    bits = np.array([e.bound_bits for e in estimates])
    spread, reported = bits.std(ddof=1), math.sqrt(np.mean([e.standard_error_bits**2 for e in estimates]))
    assert abs(bits.mean() - wanted) < 5 * spread / math.sqrt(500)
    assert 0.85 < reported / spread < (1.15 if m > T else 1.6)
    log_snr = diffusion.schedule.log_snr(torch.arange(1, T + 1)).clamp(-15, 15)
    lost = -log_snr.diff()
    expected = 500 * m * (0.8 * lost / lost.sum() + 0.2 / (T - 1))
    counts = torch.bincount(torch.cat(kernel.asked), minlength=T + 1)[2:]
    assert bool(((counts - expected).abs() < 5 * expected.sqrt()).all())


@pytest.mark.parametrize("copies", [1, 12])
def test_data_that_are_not_independent_are_counted_by_group(copies, generator):
    """240 data, each ``copies`` times, their size differing from group to group; the spread of 300 estimates is the error to 20 %.

    Without groups the error of twelve copies is 2.5 times too small.
    """
    diffusion = GaussianDiffusion(make_schedule("log_snr", 12))
    model = build_model(NetworkConfig("rbf"), diffusion)
    estimates = []
    for _ in range(300):
        each = torch.randn(240 // copies, 1, generator=generator).exp() * torch.randn(240 // copies, 2, generator=generator)
        order = torch.randperm(240, generator=generator)
        group = torch.arange(240 // copies).repeat(copies)[order]
        estimates.append(estimate_bound(model, diffusion, each[group], generator, groups=group))
    spread = np.std([e.bound_bits for e in estimates], ddof=1)
    reported, plain = (
        math.sqrt(np.mean([e.standard_error_bits**2 for e in many])) for many in (estimates, [replace(e, groups=None) for e in estimates])
    )
    assert 0.8 < reported / spread < 1.2
    assert copies == 1 or plain / spread < 0.6


def test_an_estimate_of_colour_images_is_the_whole_bound(generator):
    """A U-Net with random outputs on ``[n, 3, 8, 8]``: the mean of 40 estimates is evaluate_bound's K within 5 joint errors.

    The entropies and L_null are the same.
    """
    diffusion = GaussianDiffusion(make_schedule("log_snr", 6))
    model = build_model(NetworkConfig("unet", (("width", 8),)), diffusion, (3, 8, 8))
    torch.nn.init.normal_(model.network.outputs.weight, std=0.1, generator=generator)
    x0 = torch.randn(60, 3, 8, 8, generator=generator)
    whole = evaluate_bound(model, diffusion, x0.repeat(3, 1, 1, 1), generator)
    estimates = [estimate_bound(model, diffusion, x0[torch.randperm(60, generator=generator)], generator) for _ in range(40)]
    bits = np.array([e.bound_bits for e in estimates])
    error = math.hypot(whole.standard_error_bits, bits.std(ddof=1) / math.sqrt(40))
    assert abs(bits.mean() - whole.bound_bits) < 5 * error and error < 0.02 * abs(whole.bound_bits)
    for estimate in estimates:
        entropies = ("h_start", "h_end", "h_prior")
        assert [getattr(estimate, h) for h in entropies] == pytest.approx([getattr(whole, h) for h in entropies], rel=1e-12)
        assert estimate.null_bits == pytest.approx(whole.null_bits, rel=1e-5)


@pytest.mark.parametrize("m", [1, 7, 64, 200])
def test_times_are_spread_evenly_and_data_taken_in_chunks(m, gaussian_reverse, generator):
    """T − 1 = 16 times: each gets m/16 of the data to within one, in rising order; no call with more than 50 of them."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", 17))
    kernel = PerRow(gaussian_reverse(diffusion))
    for _ in range(20):
        kernel.asked.clear()
        estimate = estimate_bound(kernel, diffusion, torch.randn(m, 2, generator=generator), generator, chunk=50)
        assert torch.equal(torch.cat(kernel.asked), estimate.t) and max(map(len, kernel.asked)) <= 50
        assert bool((estimate.t.diff() >= 0).all()) and len(estimate.kl_nats) == m
        counts = torch.bincount(estimate.t, minlength=18)[2:]
        assert len(counts) == 16 and int(counts.min()) >= m // 16 and int(counts.max()) <= -(-m // 16)


def test_a_single_pair_has_no_error_but_a_value(gaussian_reverse, generator):
    """K from its one term, that term at every t, and an error that is not known."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", 5))
    estimate = estimate_bound(PerRow(gaussian_reverse(diffusion)), diffusion, torch.ones(1, 2), generator)
    nats = estimate.h_end - estimate.h_start - estimate.h_prior - 4 * float(estimate.kl_nats)
    assert estimate.bound_bits == pytest.approx(nats / math.log(2), rel=1e-12)
    assert math.isnan(estimate.standard_error_bits)
    assert estimate.kl_per_time_nats().tolist() == [float(estimate.kl_nats)] * 4


def test_estimate_arithmetic():
    """T = 8; terms 1 and 3 at t = 2, 4 at 5, 8 at 7: means, straight lines between them and the last value beyond; K and error by hand."""
    t, kl = torch.tensor([2, 2, 5, 7]), torch.tensor([1.0, 3.0, 4.0, 8.0])
    estimate = BoundEstimate(t, kl, 8, h_start=-3.0, h_end=5.0, h_prior=7.0, null_nats=math.log(2))
    np.testing.assert_allclose(estimate.kl_per_time_nats(), [2, 8 / 3, 10 / 3, 4, 6, 8, 8], rtol=1e-12)
    assert estimate.bound_bits == pytest.approx((5 + 3 - 7 - 7 * 4) / math.log(2), rel=1e-12)
    assert estimate.standard_error_bits == pytest.approx(7 * math.sqrt(0.5 * (4 + 1 + 16) / 3 / 4) / math.log(2), rel=1e-12)
    assert estimate.null_bits == pytest.approx(1.0)


def test_the_error_of_the_cosine_schedule_is_near_that_of_all_pairs(gaussian_reverse, generator):
    """T = 1000, 400 pairs, a hundred dimensions of N(0, 1): times by what they lose leave less than half of the error of even times."""
    diffusion = GaussianDiffusion(make_schedule("cosine", 1000))
    kernel = PerRow(gaussian_reverse(diffusion))
    x0 = torch.randn(400, 100, generator=generator, dtype=torch.float64)
    ours = [estimate_bound(kernel, diffusion, x0, generator) for _ in range(20)]
    terms = evaluate_bound(kernel.kernel, diffusion, x0[:100], generator).kl_nats
    even = [999 * float(terms[((torch.rand((), generator=generator) + torch.arange(400)) / 400 * 999).long()].mean()) for _ in range(20)]
    assert np.std([e.bound_bits for e in ours]) < np.std(even) / math.log(2) / 2


def test_terms_per_time_sum_to_the_estimate(gaussian_reverse, generator):
    """As often at each of 16 times: exactly (T−1)·mean. Far fewer pairs than times: the closed form of the sum within 5 errors."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", 17))
    estimate = estimate_bound(PerRow(gaussian_reverse(diffusion)), diffusion, torch.randn(64, 2, generator=generator), generator)
    assert float(estimate.kl_per_time_nats().sum()) == pytest.approx(16 * float(estimate.kl_nats.mean()), rel=1e-12)
    diffusion = GaussianDiffusion(make_schedule("log_snr", 1001))
    x0 = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    estimate = estimate_bound(PerRow(gaussian_reverse(diffusion)), diffusion, x0, generator)
    sums = estimate.kl_per_time_nats()
    assert len(sums) == 1000
    error = estimate.standard_error_bits * math.log(2)
    assert abs(float(sums.sum()) - (estimate.h_end - estimate.h_start)) < 5 * error < 0.6 * (estimate.h_end - estimate.h_start)
