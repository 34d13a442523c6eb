"""Paths and their flows: the continuity equation, one map for all paths, straightness, re-flow, and the loss of flow matching."""

from __future__ import annotations

import math

import pytest
import torch

from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data import toy2d
from dpm_core.paths import PATHS, diffusion_of, flow, straighten, straightness, velocity
from dpm_core.process import BinomialDiffusion, GaussianDiffusion, from_noise
from dpm_core.reverse import EmpiricalReverse, build_model
from dpm_core.schedules import make_schedule
from dpm_core.training.losses import LOSSES

ROLL = toy2d.make_dataset("swiss_roll").exact_reverse(GaussianDiffusion(make_schedule("log_snr", 10)))
ONE = torch.ones((), dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n, seed=0):
    return torch.randn(n, 2, generator=generator(seed), dtype=torch.float64)


def end(model, name, x, steps, second_order=True):
    *_, (t, x) = flow(model, name, x, steps, second_order)
    assert t == 0
    return x


@pytest.mark.parametrize("name", sorted(PATHS))
def test_coefficients_and_their_derivatives(name):
    s = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
    a, b, da, db = PATHS[name].coefficients(s)
    h = 1e-6
    above, below = (PATHS[name].coefficients(s + d) for d in (h, -h))
    for value, i in ((da, 0), (db, 1)):
        assert torch.allclose((above[i] - below[i]) / (2 * h), value, rtol=1e-4, atol=1e-6)
    assert bool((torch.diff(a / b) < 0).all()) and float(PATHS[name].coefficients(0 * ONE)[1]) == 0
    assert float(PATHS[name].coefficients(0 * ONE)[0]) == 1, "it starts at the data"


@pytest.mark.parametrize("name", sorted(PATHS))
def test_the_velocity_moves_the_density(name):
    """∂ log q/∂s = −∇·v − v·∇ log q for the exact density of the path, by central differences in s: to 1 %."""
    steps, t, h = 2000, 900, 1e-5
    kernel = ROLL.with_diffusion(diffusion_of(name, steps))

    def log_density(x, shift):
        """log q_s(x) with s moved by ``shift`` steps: the density of the diffusion for x/√(a² + b²)."""
        a, b, *_ = PATHS[name].coefficients(torch.tensor((t + shift) / steps, dtype=torch.float64))
        scale = (a.square() + b.square()).sqrt()
        return kernel.log_marginal(x / scale, t + shift) - 2 * scale.log()

    a, b, *_ = PATHS[name].coefficients(torch.tensor(t / steps, dtype=torch.float64))
    x = a * toy2d.make_dataset("swiss_roll").sample(200, generator(1)).double() + b * noise(200)
    change = (log_density(x, 1) - log_density(x, -1)) / 2 * steps
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(log_density(x, 0).sum(), x)
    x = x.detach()
    v = velocity(kernel, name, steps, x, t)
    divergence = sum(
        (velocity(kernel, name, steps, x + d, t) - velocity(kernel, name, steps, x - d, t))[:, i] / (2 * h)
        for i, d in enumerate(h * torch.eye(2, dtype=torch.float64))
    )
    expected = -divergence - (v * gradient).sum(1)
    assert torch.allclose(change, expected, rtol=0.01, atol=0.01 * float(change.abs().mean()))


def test_all_paths_map_the_same_noise_to_the_same_data():
    """They differ in scale and time alone, so their flows end in the same points: the median within 0.01 at 400 Heun steps."""
    x = noise(200)
    ends = [end(ROLL, name, x, 400) for name in PATHS]
    for other in ends[1:]:
        assert float((other - ends[0]).norm(dim=1).median()) < 0.01


def test_gaussian_data_are_mapped_by_the_closed_form():
    """N(m, σ²) on the straight line: x₀ = m + σ ε exactly, to 2e-3 with 400 Heun steps, and with fewer in proportion."""
    mean, spread = torch.tensor([[0.7, -0.2]], dtype=torch.float64), 0.4
    model = EmpiricalReverse(mean, GaussianDiffusion(make_schedule("log_snr", 10)), spread)
    x = noise(50)
    assert torch.allclose(end(model, "line", x, 400), mean + spread * x, atol=2e-3)
    errors = [float((end(model, "line", x, n) - mean - spread * x).norm(dim=1).mean()) for n in (20, 40, 80)]
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2]


def test_straightness():
    """0 for straight lines at constant speed; for a half circle with radius 1, ∫|π τ − (−2, 0)|²/4 = (π² − 4)/4."""
    s = torch.linspace(0, 1, 2001, dtype=torch.float64)
    line = [torch.tensor([[float(u), 2 * float(u)]], dtype=torch.float64) for u in s]
    assert straightness(line) < 1e-12
    circle = [torch.tensor([[math.cos(math.pi * u), math.sin(math.pi * u)]], dtype=torch.float64) for u in s.tolist()]
    assert straightness(circle) == pytest.approx((math.pi**2 - 4) / 4, rel=1e-3)
    with pytest.raises(ValueError, match="At least two states"):
        straightness(line[:1])


def test_reflow_makes_lines_straighter_and_needs_fewer_steps():
    """The two moons, one re-flow of 600 steps: straightness falls to less than half, and so does the error of two Euler steps."""
    data = toy2d.make_dataset("moons")
    exact = data.exact_reverse(GaussianDiffusion(make_schedule("log_snr", 10)))
    x = torch.randn(4000, 2, generator=generator())
    ends = end(exact, "line", x, 64)
    seen = []
    model = straighten(x, ends, 600, progress=seen.append)
    fresh = torch.randn(500, 2, generator=generator(9))
    bent = [state.x for state in flow(exact, "line", fresh, 32)]
    straight = [state.x for state in flow(model, "line", fresh, 32)]
    assert straightness(straight) < 0.5 * straightness(bent)
    goal = end(exact, "line", fresh, 128)
    assert float((end(model, "line", fresh, 2, False) - goal).norm(dim=1).median()) < 0.5 * float(
        (end(exact, "line", fresh, 2, False) - goal).norm(dim=1).median()
    )
    assert seen[-1] == 1 and seen == sorted(seen)
    with pytest.raises(ValueError, match="Every start needs its end"):
        straighten(x, ends[:3])


def test_the_loss_of_flow_matching_is_the_squared_error_of_the_velocity():
    """On the straight path: |(ε − x⁽⁰⁾) − v̂|² per dimension, apart from the small term that trains the variance."""
    diffusion = GaussianDiffusion(make_schedule("flow", 50))
    model = build_model(NetworkConfig("mlp", (("width", 16),)), diffusion, (2,), 1)
    x0, e, t = noise(30).float(), noise(30, 1).float(), torch.arange(2, 32)
    with torch.no_grad():
        loss = LOSSES["flow"](model, x0, t, e)
        s = (t / 50)[:, None]
        x = (1 - s) * x0 + s * e
        v = torch.cat([velocity(model, "line", 50, x[i : i + 1], int(t[i])) for i in range(30)])
        mean, variance = model.x0_posterior(xt := from_noise(diffusion.q_marginal(x0, t), e), t)
        kl = diffusion.posterior_kl_nats(x0, xt, mean, variance, t)
    assert torch.allclose(loss, (e - x0 - v).square().mean(1) + 1e-3 * 49 * kl / 2, rtol=1e-3)


def test_the_schedule_is_that_of_the_straight_path():
    schedule, path = make_schedule("flow", 40), diffusion_of("line", 40).schedule
    t = torch.arange(41)
    assert torch.allclose(schedule.alpha_bar(t), path.alpha_bar(t)) and float(schedule.alpha_bar(40)) == 0


def test_bits_have_no_flow():
    diffusion = BinomialDiffusion(make_schedule("paper", 10), 0.5)
    model = build_model(NetworkConfig("bit_mlp"), diffusion, (6,))
    x0 = torch.zeros(4, 6)
    with pytest.raises(ValueError, match="Flow matching is for Gaussian diffusion"):
        LOSSES["flow"](model, x0, torch.full((4,), 3), torch.rand(4, 6))
    assert TrainConfig(loss="flow").loss == "flow"


@pytest.mark.parametrize("call", [lambda: next(flow(ROLL, "spiral", noise(2), 5)), lambda: next(flow(ROLL, "line", noise(2), 1))])
def test_unknown_paths_and_too_few_steps_are_refused(call):
    with pytest.raises(ValueError, match=r"There is no path 'spiral'|at least two"):
        call()
