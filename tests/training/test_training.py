"""Training: losses term by term, the optimiser's schedule, averages, and where it must end up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

import dpm_core.training.losses
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data.toy2d import from_points
from dpm_core.measure.bound import evaluate_bound
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseModel, build_model
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training import TrainingError, train_steps
from dpm_core.training.losses import bound_loss, simple_loss, stratified_times

SMALL = NetworkConfig("mlp", (("depth", 2), ("features", 4), ("width", 32)))


class Table(nn.Module):
    """F = a_t x and v = b_t: enough for Gaussian data, and its optimum is known."""

    def __init__(self, T):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(T + 1)), nn.Parameter(torch.zeros(T + 1))

    def forward(self, x, t, log_snr):
        a, b = self.a[t], self.b[t]
        a, b = (c if c.ndim == 0 else c[:, None] for c in (a, b))
        return a * x, b * torch.ones_like(x)


class Line(nn.Module):
    """One weight, for losses that are made up."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def weights(model):
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


def last(steps):
    *_, step = steps
    return step


def test_bound_loss_is_the_sum_of_the_terms_per_dimension():
    """One datum at every t = 2..T: exactly Σ_t KL(q_posterior ‖ reverse)/d by torch's kl_divergence, to 1e-9."""
    T = 8
    diffusion = GaussianDiffusion(make_schedule("paper", T))
    model = build_model(SMALL, diffusion, shape=(3,), seed=1).double()
    nn.init.normal_(model.network.outputs.weight, generator=torch.Generator().manual_seed(0))
    t = torch.arange(2, T + 1)
    x0 = torch.randn(1, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).expand(T - 1, 3)
    noise = torch.randn(T - 1, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    total = 0.0
    for i in range(T - 1):
        bar = (T - i - 2) / T  # ᾱ_t of the paper's schedule at t = i + 2
        xt = math.sqrt(bar) * x0[:1] + math.sqrt(1 - bar) * noise[i : i + 1]
        total += float(kl_divergence(diffusion.q_posterior(x0[:1], xt, i + 2), model.reverse(xt, i + 2)).sum().detach())
    assert float(bound_loss(model, x0, t, noise).mean().detach()) == pytest.approx(total / 3, rel=1e-9)


def test_bound_loss_estimates_the_bound(generator):
    """Stratified times, fresh data: the mean of 300 batches equals (−K + entropies)/d within 5 joint standard errors."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    data = from_points([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], noise=0.3)
    kernel = data.exact_reverse(diffusion)
    losses = []
    for _ in range(300):
        x0 = data.sample(32, generator)
        losses.append(float(bound_loss(kernel, x0, stratified_times(6, 32, generator), torch.randn(32, 2, generator=generator)).mean()))
    bound = evaluate_bound(kernel, diffusion, data.sample(4000, generator), generator)
    error = math.hypot(np.std(losses) / math.sqrt(300), bound.standard_error_nats / 2)
    assert abs(np.mean(losses) - float(bound.kl_nats.sum()) / 2) < 5 * error and error < 0.02


@pytest.mark.parametrize("T", [2, 5, 40, 1000])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_an_untrained_models_loss_by_hand(name, T):
    """F = 0, v = 0 on N(0, 1): E KL_t = ½[log(1+e) + (g(1−ᾱ_t) − e)/(1+e)], g = c₀²/β̃, e = g(1−ᾱ_t)/2; within 10 %.

    Two more optimiser steps stay finite, at every T and with ᾱ_T = 0.
    """
    diffusion = GaussianDiffusion(make_schedule(name, T))
    model = build_model(NetworkConfig("mlp", (("depth", 1), ("width", 8))), diffusion)
    data = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0))
    bar = np.cumprod(1 - diffusion.schedule.betas.numpy())
    noise = diffusion.schedule.noise(torch.arange(1, T + 1)).numpy()
    gain = bar[:-1] * diffusion.schedule.betas.numpy()[1:] / (noise[:-1] * noise[1:])
    excess = gain * noise[1:] / 2
    wanted = 0.5 * (np.log1p(excess) + excess / (1 + excess)).sum()
    steps = list(train_steps(model, data, TrainConfig(steps=3, batch=4096)))
    assert steps[0].loss == pytest.approx(wanted, rel=0.1)
    assert all(math.isfinite(s.loss) and math.isfinite(s.gradient_norm) for s in steps)
    assert bool(torch.isfinite(weights(model)).all())


def test_simple_loss_value_and_gradient():
    """‖ε̂ − ε‖² averaged, plus 1e-3 (T−1) mean KL per dimension, whose gradient reaches the variance alone; written out by hand, 1e-9."""
    T = 6
    diffusion = GaussianDiffusion(make_schedule("cosine", T))
    model = ReverseModel(Table(T), diffusion).double()
    with torch.no_grad():
        model.network.a += torch.linspace(-0.5, 0.4, T + 1)
        model.network.b += torch.linspace(-1, 2, T + 1)
    draw = torch.Generator().manual_seed(0)
    t = torch.tensor([2, 3, 6, 6])
    x0, noise = torch.randn(2, 4, 2, generator=draw, dtype=torch.float64)
    simple_loss(model, x0, t, noise).mean().backward()
    got = [p.grad.clone() for p in model.parameters()]
    value = float(simple_loss(model, x0, t, noise).mean().detach())

    a, b = (p.detach().clone().requires_grad_() for p in (model.network.a, model.network.b))
    bar = torch.cumprod(1 - diffusion.schedule.betas, 0)[t - 1, None]
    xt = bar.sqrt() * x0 + (1 - bar).sqrt() * noise
    x0_hat = bar.sqrt() * xt + (1 - bar).sqrt() * a[t, None] * xt
    epsilon = (xt - bar.sqrt() * x0_hat) / (1 - bar).sqrt()
    q = diffusion.q_posterior(x0, xt, t)
    c0, _, variance = (c[:, None] for c in diffusion.posterior_coefficients(t))
    spread = (variance + c0**2 * (1 - bar) * torch.log1p(b[t, None].exp()) / math.log(2)).expand(4, 2)
    p = torch.distributions.Normal(diffusion.q_posterior(x0_hat.detach(), xt, t).mean, spread.sqrt())
    wanted = ((epsilon - noise) ** 2).mean() + 1e-3 * (T - 1) * kl_divergence(q, p).mean()
    wanted.backward()
    assert value == pytest.approx(float(wanted.detach()), rel=1e-9)
    for grad, reference in zip(got, (a.grad, b.grad)):
        torch.testing.assert_close(grad, reference, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.5])
@pytest.mark.parametrize("loss", ["bound", "simple"])
def test_training_reaches_the_gaussian_posterior(loss, scale):
    """Data of second moment m on a line: the linear mean of least error is √ᾱ m/(ᾱ m + 1 − ᾱ) x⁽ᵗ⁾, found to 3 %; the variance to 15 %.

    With m > 1 the variance exceeds 1−ᾱ_t, by 1.5 times at t = 2.
    """
    T = 4
    diffusion = GaussianDiffusion(make_schedule("paper", T))
    model = ReverseModel(Table(T), diffusion)
    data = scale * torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    m = float(data.square().mean())
    config = TrainConfig(loss=loss, steps=600, batch=512, learning_rate=0.04, ema=0.98, clip=100.0)
    average = last(train_steps(model, data, config)).average
    x = torch.tensor([[1.0]])
    for t in range(2, T + 1):
        bar = (T - t) / T
        mean, variance = average.x0_posterior(x, t)
        v = bar * m + 1 - bar
        # at t = T the data leaves no trace: the mean is 0 on the scale of √(1−ᾱ) F
        assert float(mean) == pytest.approx(math.sqrt(bar) * m / v, rel=0.03, abs=0.02)
        assert float(variance) == pytest.approx(m * (1 - bar) / v, rel=0.15)


def test_training_nears_the_best_chain():
    """Three blurred points, 500 steps: the average's gap to the exact kernel's K falls below 0.2 nats, from over 0.9."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", 8))
    data = from_points([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], noise=0.3)
    x = data.sample(4000, torch.Generator().manual_seed(0))

    def bound(kernel):
        return evaluate_bound(kernel, diffusion, data.sample(2000, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2))

    model = build_model(SMALL, diffusion)
    best, start = bound(data.exact_reverse(diffusion)).bound_nats, bound(model).bound_nats
    steps = list(train_steps(model, x, TrainConfig(steps=500, batch=256, ema=0.98)))
    assert best - start > 0.9
    assert -0.02 < best - bound(steps[-1].average).bound_nats < 0.2
    losses = [s.loss for s in steps]
    assert np.mean(losses[-50:]) < np.mean(losses[:50])


@pytest.mark.parametrize("loss", ["bound", "simple"])
def test_the_same_seed_gives_the_same_weights(loss):
    """Bit for bit, whatever the global generator does, which is left as it was; other seeds give other weights."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    data = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))

    def run(seed, config_seed):
        model = build_model(SMALL, diffusion, seed=seed)
        average = last(train_steps(model, data, TrainConfig(loss=loss, steps=4, batch=16, seed=config_seed))).average
        return weights(model), weights(average)

    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = run(0, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    for a, b in zip(first, run(0, 0)):
        assert torch.equal(a, b)
    for other in (run(1, 0), run(0, 1)):
        assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("T, n", [(2, 7), (5, 40), (5, 6), (40, 390), (40, 512), (40, 10), (1000, 64)])
def test_stratified_times_are_even(T, n, generator):
    """Each of 2..T gets n/(T−1) of the batch to within one, every time; and exactly that on average (5 standard errors)."""
    total = torch.zeros(T - 1)
    for _ in range(200):
        t = stratified_times(T, n, generator)
        assert len(t) == n and int(t.min()) >= 2 and int(t.max()) <= T
        counts = torch.bincount(t - 2, minlength=T - 1)
        share = n / (T - 1)
        assert bool(((counts >= math.floor(share) - 1) & (counts <= math.ceil(share) + 1)).all())
        total += counts
    fraction = n / (T - 1) % 1
    error = max(math.sqrt(fraction * (1 - fraction) / 200), 0.01)
    assert bool(((total / 200 - n / (T - 1)).abs() < 5 * error).all())


def test_the_learning_rate_falls_by_a_cosine_and_the_norm_is_clipped(monkeypatch):
    """Loss 3w: the gradient is always 3, Adam's step is the rate itself, ½(1 + cos π(k−1)/N) of the first; the norm told is 3."""
    monkeypatch.setitem(dpm_core.training.losses.LOSSES, "bound", lambda model, x0, t, noise: 3 * model.network.w)
    model = ReverseModel(Line(), GaussianDiffusion(make_schedule("paper", 5)))
    before = 0.0
    for k, step in enumerate(train_steps(model, torch.zeros(4, 2), TrainConfig(steps=8, batch=2, learning_rate=0.1)), 1):
        now = float(model.network.w.detach())
        assert before - now == pytest.approx(0.05 * (1 + math.cos(math.pi * (k - 1) / 8)), rel=1e-5)
        assert step.step == k and step.gradient_norm == pytest.approx(3.0)
        assert step.loss == pytest.approx(3 * before, abs=1e-6)
        before = now


def test_clipping_scales_the_gradient(monkeypatch):
    """Norms 30, then 0.003, clip 0.01: Adam's second step from gradients 0.01 and 0.003 by its own formula (β = 0.9, 0.999)."""
    slopes = iter([30.0, 0.003])
    monkeypatch.setitem(dpm_core.training.losses.LOSSES, "bound", lambda model, x0, t, noise: next(slopes) * model.network.w)
    model = ReverseModel(Line(), GaussianDiffusion(make_schedule("paper", 5)))
    run = train_steps(model, torch.zeros(4, 2), TrainConfig(steps=2, batch=2, learning_rate=0.1, clip=0.01))
    assert next(run).gradient_norm == pytest.approx(30.0)
    first = float(model.network.w.detach())
    assert next(run).gradient_norm == pytest.approx(0.003)
    m = (0.1 * 0.9 * 0.01 + 0.1 * 0.003) / (1 - 0.9**2)
    v = (0.001 * 0.999 * 0.01**2 + 0.001 * 0.003**2) / (1 - 0.999**2)
    assert first - float(model.network.w.detach()) == pytest.approx(0.05 * m / math.sqrt(v), rel=1e-3)


@pytest.mark.parametrize("ema", [0.0, 0.3, 0.999])
def test_the_average_follows_its_formula(ema):
    """avg ← d avg + (1−d) w with d = min(ema, (1+k)/(10+k)), from the starting weights; 1e-6."""
    model = build_model(SMALL, GaussianDiffusion(make_schedule("paper", 5)))
    data = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    average = weights(model).double()
    for k, step in enumerate(train_steps(model, data, TrainConfig(steps=6, batch=16, ema=ema)), 1):
        decay = min(ema, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * weights(model).double()
        torch.testing.assert_close(weights(step.average).double(), average, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ["bound", "simple"])
def test_a_loss_that_is_not_finite_stops_before_the_weights(loss):
    """Data that turn NaN after step 3: the error names step 3, and model and average are as step 3 left them."""
    model = build_model(SMALL, GaussianDiffusion(make_schedule("paper", 5)))
    data = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    run = train_steps(model, data, TrainConfig(loss=loss, steps=9, batch=16))
    for _ in range(3):
        step = next(run)
    kept, kept_average = weights(model), weights(step.average)
    data.fill_(math.nan)
    with pytest.raises(TrainingError, match="step 4; the weights of step 3 are unchanged") as caught:
        next(run)
    assert caught.value.step == 3
    assert torch.equal(weights(model), kept) and torch.equal(weights(step.average), kept_average)


def test_an_infinite_gradient_stops_training_too(monkeypatch):
    """√w at w = 0 is finite, its slope is not."""
    monkeypatch.setitem(dpm_core.training.losses.LOSSES, "bound", lambda model, x0, t, noise: model.network.w.abs().sqrt() + 1)
    model = ReverseModel(Line(), GaussianDiffusion(make_schedule("paper", 5)))
    with pytest.raises(TrainingError) as caught:
        next(train_steps(model, torch.zeros(4, 2), TrainConfig(steps=2, batch=2)))
    assert caught.value.step == 0 and float(model.network.w.detach()) == 0


def test_the_exact_kernel_cannot_be_beaten_by_its_own_loss(generator):
    """A Table set to the exact posterior of N(0, 0.6²): moving F or v by 0.2 either way raises the loss on the same draws."""
    T = 5
    diffusion = GaussianDiffusion(make_schedule("linear", T))
    model = ReverseModel(Table(T), diffusion).double()
    exact = EmpiricalReverse(torch.zeros(1, 1, dtype=torch.float64), diffusion, 0.6)
    one = torch.ones(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for t in range(2, T + 1):
            mean, variance = exact.x0_posterior(one, t)
            noise = diffusion.schedule.noise(t)
            model.network.a[t] = (float(mean) - float(diffusion.schedule.alpha_bar(t).sqrt())) / float(noise.sqrt())
            model.network.b[t] = torch.log(torch.expm1(variance / noise * math.log(2))).item()
    n = 40_000
    x0 = 0.6 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    t = stratified_times(T, n, generator)
    noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        base = float(bound_loss(model, x0, t, noise).mean())
        for parameter in model.parameters():
            for shift in (0.2, -0.2):
                parameter += shift
                assert float(bound_loss(model, x0, t, noise).mean()) > base
                parameter -= shift


def test_unknown_networks_and_parameters_are_refused():
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    for network in (
        NetworkConfig("cnn"),
        NetworkConfig("mlp", (("widht", 8),)),
        NetworkConfig("mlp", (("width", 100_000),)),
        NetworkConfig("mlp", (("depth", 0),)),
        NetworkConfig("mlp", (("dims", 3),)),
        NetworkConfig("rbf", (("units", 0),)),
    ):
        with pytest.raises(ValueError, match=r"\.$"):
            build_model(network, diffusion)
