"""A schedule that learns: whatever the parameters it is one, its K is that of the budget, and it beats every fixed one."""

from __future__ import annotations

import pytest
import torch

from dpm_core.data import toy2d
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.budget import budget
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training.learned_schedule import LearnedSchedule, best_bound_nats, learn

FIXED = [(name, {"beta_1": 1e-3} if name == "paper" else {}) for name in SCHEDULES if name != "custom"]
ROLL = toy2d.DATASETS["swiss_roll"]


def kernel(schedule):
    return ROLL.exact_reverse(GaussianDiffusion(schedule))


def test_it_begins_as_the_schedule_it_is_given_and_stays_one():
    start = make_schedule("log_snr", 12)
    learned = LearnedSchedule(start)
    assert torch.allclose(learned.schedule().betas, start.betas, rtol=1e-5)
    for seed in range(5):
        with torch.no_grad():
            learned.raw.normal_(0, 30, generator=torch.Generator().manual_seed(seed))
        betas = learned.schedule().betas
        assert bool(((betas > 0) & (betas < 1)).all()) and torch.isclose(betas[0], start.betas[0])
    assert LearnedSchedule(make_schedule("paper", 5)).schedule().T == 5, "also from one that ends at exactly nothing"


def test_its_bound_is_that_of_the_budget():
    """On many points, by other noise: within four errors of budget's best_bits."""
    schedule, x0 = make_schedule("cosine", 8), ROLL.sample(3000, torch.Generator().manual_seed(1))
    noise = torch.randn(7, 3000, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    k = kernel(schedule)
    found = budget(None, k, k.diffusion, x0, torch.Generator().manual_seed(3))
    ours = float(best_bound_nats(k, x0.double(), noise)) / NATS_PER_BIT
    assert abs(ours - found.best_bits) < 6 * found.errors_bits["discretisation"]


def test_its_slope_is_that_of_finite_differences():
    learned = LearnedSchedule(make_schedule("log_snr", 6))
    x0 = ROLL.sample(40, torch.Generator().manual_seed(1)).double()
    noise = torch.randn(5, 40, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def value():
        return best_bound_nats(kernel(learned.schedule()), x0, noise)

    value().backward()
    slope, h = learned.raw.grad.clone(), 3e-3
    for i in range(5):
        with torch.no_grad():
            learned.raw[i] += h
            above = float(value())
            learned.raw[i] -= 2 * h
            below = float(value())
            learned.raw[i] += h
        assert abs(float(slope[i]) - (above - below) / (2 * h)) < 0.02 * float(slope.abs().max()) + 1e-3


@pytest.mark.parametrize("T", [5, 10])
def test_it_beats_every_fixed_one(T):
    """On points and noise that it never saw, by at least 0.1 bits."""
    x0, test = ROLL.sample(128, torch.Generator().manual_seed(1)), ROLL.sample(2000, torch.Generator().manual_seed(9))
    steps = list(learn(kernel(make_schedule("log_snr", T)), x0, 120, torch.Generator().manual_seed(2)))
    assert [found.step for found in steps] == list(range(121)) and steps[-1].bound_bits >= max(s.bound_bits for s in steps[:-1])

    def best(schedule):
        k = kernel(schedule)
        return budget(None, k, k.diffusion, test, torch.Generator().manual_seed(3)).best_bits

    fixed = {name: best(make_schedule(name, T, **params)) for name, params in FIXED}
    assert best(steps[-1].schedule) > max(fixed.values()) + 0.1, fixed
    assert torch.isclose(steps[-1].schedule.betas[0], steps[0].schedule.betas[0]), "β₁ stays"
