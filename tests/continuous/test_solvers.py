"""The reverse equations against closed forms of Gaussian data, and their solvers against orders of convergence."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from dpm_core.continuous import SOLVERS, Field, clock, convergence, fine_grid, integrate, solve_reference, time_grid
from dpm_core.data import toy2d
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import ddim, timesteps
from dpm_core.schedules import SCHEDULES, make_schedule

LIMIT = GaussianDiffusion(make_schedule("log_snr", 4096))
MEAN, SPREAD = torch.tensor([[0.8, -0.5]], dtype=torch.float64), 0.3
GAUSSIAN = EmpiricalReverse(MEAN, LIMIT, SPREAD)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def moments(t):
    """Mean and standard deviation of x⁽ᵗ⁾ for the Gaussian data."""
    bar = float(LIMIT.schedule.alpha_bar(t))
    return math.sqrt(bar) * MEAN, math.sqrt(bar * SPREAD**2 + 1 - bar)


def start(n, seed=0):
    """Exact draws at the first time, so that only what the solver does is seen."""
    mean, spread = moments(fine_grid(LIMIT)[0])
    return mean + spread * torch.randn(n, 2, generator=generator(seed), dtype=torch.float64)


def end(x, steps, method, **options):
    *_, (t, x) = integrate(GAUSSIAN, LIMIT, x, time_grid(LIMIT, steps), method, **options)
    assert t == 1
    return x


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_the_grid_has_signal_at_its_start_and_ends_at_1(name):
    diffusion = GaussianDiffusion(make_schedule(name, 512))
    fine = fine_grid(diffusion)
    assert fine[-1] == 1 and float(diffusion.schedule.alpha_bar(fine[0])) >= 1e-4
    assert fine[0] == 512 or float(diffusion.schedule.alpha_bar(fine[0] + 1)) < 1e-4
    for steps in (1, 7, len(fine) - 1):
        times = time_grid(diffusion, steps)
        assert (times[0], times[-1], len(times)) == (fine[0], 1, steps + 1) and all(a > b for a, b in pairwise(times))
    for steps in (0, len(fine)):
        with pytest.raises(ValueError, match="The number of steps must lie between 1 and"):
            time_grid(diffusion, steps)


def test_the_clock_of_constant_beta_runs_evenly():
    """β = 1 − e^(−8/T) at every step: τ_t = 8 t/T."""
    schedule = make_schedule("constant", 100)
    assert torch.allclose(clock(schedule, torch.arange(101)), torch.arange(101, dtype=torch.float64) * 0.08, atol=1e-12)


@pytest.mark.parametrize("t", [1, 400, 2000, 4000])
def test_the_score_is_the_gradient_of_the_log_density(t):
    kernel = toy2d.make_dataset("swiss_roll").exact_reverse(LIMIT)
    x = torch.randn(50, 2, generator=generator(), dtype=torch.float64).requires_grad_(True)
    (gradient,) = torch.autograd.grad(kernel.log_marginal(x, t).sum(), x)
    found = Field(kernel, LIMIT).score(x.detach(), t)
    assert torch.allclose(found, gradient, rtol=1e-6, atol=1e-8 / float(LIMIT.schedule.noise(t)))


def test_the_ode_maps_gaussians_as_the_closed_form_says():
    """x_1 = mean_1 + (x − mean_T) · spread_1/spread_T, to 1e-4 with 512 Heun steps."""
    times, x = time_grid(LIMIT, 512), start(20)
    (first, wide), (last, narrow) = moments(times[0]), moments(1)
    assert torch.allclose(end(x, 512, "heun"), last + (x - first) * narrow / wide, atol=1e-4)


@pytest.mark.parametrize("method", sorted(SOLVERS))
@pytest.mark.parametrize("noise_level", [0.0, 0.5, 1.0, 2.0])
def test_every_noise_level_has_the_same_marginals(method, noise_level):
    """20,000 particles, 256 steps: mean and spread at the end within four standard errors and what 256 steps of first order allow."""
    n = 20_000
    x = end(start(n, 3), 256, method, noise_level=noise_level, generator=generator(4))
    mean, spread = moments(1)
    allowed = 0.02 if SOLVERS[method].order == 1 or noise_level > 1 else 0.006
    assert float((x.mean(0) - mean).abs().max()) < 4 * spread / math.sqrt(n) + allowed * spread
    assert float((x.std(0) / spread - 1).abs().max()) < 4 / math.sqrt(2 * n) + allowed


@pytest.mark.parametrize("method", sorted(SOLVERS))
def test_the_order_of_convergence_of_the_ode(method):
    """Gaussian data: slopes within 0.15 of the order, and the swiss roll: within 0.2."""
    reference = solve_reference(GAUSSIAN, LIMIT, start(20), 1024)
    for measured, error in convergence(reference, method, (16, 32, 64, 128)).slopes:
        assert measured == pytest.approx(-SOLVERS[method].order, abs=0.15) and error < 0.1
    roll = toy2d.make_dataset("swiss_roll").exact_reverse(LIMIT)
    particles = torch.randn(150, 2, generator=generator(1), dtype=torch.float64)
    found = convergence(solve_reference(roll, LIMIT, particles, 512), method, (16, 32, 64, 128))
    assert found.slopes[0][0] == pytest.approx(-SOLVERS[method].order, abs=0.2)
    assert found.calls == [count * SOLVERS[method].calls for count in (16, 32, 64, 128)]


@pytest.mark.parametrize("method", [name for name, solver in SOLVERS.items() if solver.follows_noise])
def test_with_noise_paths_converge_to_those_of_the_same_brownian_motion(method):
    """Strong order 1, as the noise does not depend on x. With other noise they would not come nearer at all."""
    reference = solve_reference(GAUSSIAN, LIMIT, start(200), 512, noise_level=1.0, generator=generator(2))
    found = convergence(reference, method, (16, 32, 64, 128))
    assert found.slopes[0][0] == pytest.approx(-1, abs=0.25)


def test_ddim_is_the_exponential_solver_without_noise():
    """On the steps of the sampler itself, down to t = 1: equal to 1e-6."""
    diffusion = GaussianDiffusion(make_schedule("cosine", 200))
    kernel = toy2d.make_dataset("moons").exact_reverse(diffusion)
    times, x = timesteps(200, 20), torch.randn(30, 2, generator=generator(), dtype=torch.float64)
    theirs = {step.t: step.x for step in ddim(kernel, diffusion, x, steps=20)}
    for t, ours in integrate(kernel, diffusion, x, times[:-1], "exponential"):
        assert torch.allclose(ours, theirs[t], atol=1e-6)


def test_at_noise_level_1_it_is_the_posterior_with_the_estimate_in_place_of_x0():
    x, z = start(40), torch.randn(40, 2, generator=generator(5), dtype=torch.float64)
    for t, s in ((4000, 3000), (2000, 1990), (300, 1)):
        found = SOLVERS["exponential"].step(Field(GAUSSIAN, LIMIT), x, t, s, 1.0, z)
        q = LIMIT.q_posterior(GAUSSIAN.x0_posterior(x, t)[0], x, t, s)
        assert torch.allclose(found, q.mean + q.stddev * z, atol=1e-9)


@pytest.mark.parametrize("noise_level", [0.0, 1.0, 2.0])
def test_for_one_point_the_exponential_solver_is_exact_in_one_step(noise_level):
    """x̂⁽⁰⁾ is the point itself, whatever x is: mean and spread are exact however long the step."""
    point = EmpiricalReverse(MEAN, LIMIT, 0.0)
    t, s, n = fine_grid(LIMIT)[0], 900, 40_000
    a, b = (LIMIT.q_marginal(MEAN.expand(n, 2), at) for at in (t, s))
    x = a.mean + a.stddev * torch.randn(n, 2, generator=generator(), dtype=torch.float64)
    *_, (_, x) = integrate(point, LIMIT, x, [t, s], "exponential", noise_level=noise_level, generator=generator(1))
    assert torch.allclose(x.mean(0), b.mean[0], atol=4 * float(b.stddev[0, 0]) / math.sqrt(n))
    assert torch.allclose(x.std(0), b.stddev[0], rtol=4 / math.sqrt(2 * n))


@pytest.mark.parametrize("noise_level", [0.5, 1.0, 2.0])
def test_churn_adds_so_much_of_the_variance_that_the_step_removes(noise_level):
    """For one point the step is linear: z arrives with √(high² − here²) there/high, high² = here² + κ² (here² − there²), to 1 %."""
    point, (t, s) = EmpiricalReverse(MEAN, LIMIT, 0.0), (2000, 1700)
    ends = [SOLVERS["edm"].step(Field(point, LIMIT), MEAN, t, s, noise_level, torch.full_like(MEAN, z)) for z in (0.0, 1.0)]
    here, there = (math.exp(-0.5 * float(LIMIT.schedule.log_snr(at))) for at in (t, s))
    high = math.sqrt(here**2 + noise_level**2 * (here**2 - there**2))
    expected = math.sqrt(high**2 - here**2) * there / high * float(LIMIT.schedule.alpha_bar(s).sqrt())
    assert torch.allclose(ends[1] - ends[0], torch.full_like(MEAN, expected), rtol=0.01)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: next(integrate(GAUSSIAN, LIMIT, start(2), [9, 1], "rk9")), "There is no solver 'rk9'; choose one of euler, heun"),
        (lambda: next(integrate(GAUSSIAN, LIMIT, start(2), [9, 1], noise_level=-1.0)), "noise level must be at least 0, not -1"),
        (lambda: next(integrate(GAUSSIAN, LIMIT, start(2), [9, 9])), "times must fall at every step"),
        (lambda: next(integrate(GAUSSIAN, LIMIT, start(2), [9, 0])), "end at 1 or before"),
        (lambda: convergence(solve_reference(GAUSSIAN, LIMIT, start(2), 16), "heun", [3]), "3 steps do not divide the 16"),
        (lambda: convergence(solve_reference(GAUSSIAN, LIMIT, start(2), 16, noise_level=1.0), "edm", [4]), "draws noise of its own"),
    ],
)
def test_errors_are_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
