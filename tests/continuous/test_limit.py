"""The limit of many steps: paths of the forward process, and the bound that depends on its ends alone."""

from __future__ import annotations

import math

import pytest
import torch

from dpm_core.continuous import between_ends, bound_of_steps, forward_paths
from dpm_core.continuous.convergence import slope
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import ScheduleError, make_schedule

NAMES = ("log_snr", "linear", "cosine", "paper")


def standard_normal(diffusion):
    return EmpiricalReverse(torch.zeros(1, 2, dtype=torch.float64), diffusion, 1.0)


def draws(n, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_ends_are_as_asked_and_the_way_is_the_schedules_own(name):
    fine = make_schedule(name, 4096)
    schedule = between_ends(fine, 6.0, -5.0, 100)
    log_snr = schedule.log_snr(torch.arange(1, 102))
    assert (schedule.T, float(log_snr[0]), float(log_snr[-1])) == (101, pytest.approx(6), pytest.approx(-5))
    own = fine.log_snr(torch.arange(1, 4096))
    inside = ((own < 6) & (own > -5)).nonzero().flatten()
    for share in (0.25, 0.5, 0.75):  # the same log-SNR at the same share of the time
        t = int(inside[0]) + share * (len(inside) - 1)
        assert float(log_snr[round(100 * share)]) == pytest.approx(float(own[round(t)]), abs=0.02)


def test_ends_must_fall_and_be_reached():
    fine = make_schedule("log_snr", 200)
    with pytest.raises(ScheduleError, match="log-SNR must fall; it was to go from -1 to 2"):
        between_ends(fine, -1.0, 2.0, 10)
    with pytest.raises(ScheduleError, match="goes from 8 to -8 nats of log-SNR and does not reach 9 and -2"):
        between_ends(fine, 9.0, -2.0, 10)


@pytest.mark.parametrize("T", [5, 40, 400])
def test_the_bound_of_standard_normal_data_is_known_at_every_number_of_steps(T):
    """E|x⁽⁰⁾ − x̂⁽⁰⁾|² = 1/(1 + SNR) per dimension: the sum exactly, within four standard errors of 3,000 draws."""
    diffusion = GaussianDiffusion(between_ends(make_schedule("cosine", 4096), 6.0, -6.0, T))
    snr = diffusion.schedule.snr(torch.arange(1, T + 2))
    exact = float(((snr[:-1] - snr[1:]) / (1 + snr[1:])).sum())  # two dimensions of half as much
    found = bound_of_steps(standard_normal(diffusion), diffusion, draws(3000), torch.Generator().manual_seed(1))
    assert float(found.mean()) == pytest.approx(exact, abs=4 * float(found.std()) / math.sqrt(3000))


def test_in_the_limit_only_the_ends_matter():
    """Four schedules, 2,000 steps: within 2 % of log[(1 + SNR_1)/(1 + SNR_T)], and with 10 steps more than 10 % apart."""
    limit = math.log((1 + math.exp(6)) / (1 + math.exp(-6)))
    many, few = [], []
    for name in NAMES:
        for T, found in ((2000, many), (10, few)):
            snr = between_ends(make_schedule(name, 4096), 6.0, -6.0, T).snr(torch.arange(1, T + 2))
            found.append(float(((snr[:-1] - snr[1:]) / (1 + snr[1:])).sum()))
    assert many == pytest.approx([limit] * 4, rel=0.02)
    assert max(few) > 1.1 * min(few) > 1.1 * limit
    diffusion = GaussianDiffusion(between_ends(make_schedule("paper", 4096), 6.0, -6.0, 2000))
    measured = bound_of_steps(standard_normal(diffusion), diffusion, draws(400), torch.Generator().manual_seed(1))
    assert float(measured.mean()) == pytest.approx(limit, abs=4 * float(measured.std()) / 20)


def test_paths_of_the_same_chain_are_the_same():
    diffusion = GaussianDiffusion(make_schedule("linear", 50))
    small, large = forward_paths(diffusion, diffusion, draws(7), torch.Generator().manual_seed(3))
    assert small.shape == (51, 7, 2) and torch.allclose(small, large)


@pytest.mark.parametrize("name", ["constant", "log_snr", "paper"])
def test_paths_of_chains_approach_those_of_the_equation(name):
    """From 8 to 128 steps, first half of the time: the distance falls with a slope of at most −0.7; the marginals are right throughout."""
    fine, x0 = GaussianDiffusion(make_schedule(name, 1024)), torch.zeros(4000, 2, dtype=torch.float64)
    counts, gaps = (8, 16, 32, 64, 128), []
    for T in counts:
        coarse = GaussianDiffusion(make_schedule(name, T))
        small, large = forward_paths(fine, coarse, x0, torch.Generator().manual_seed(4))
        half = T // 2
        gaps.append(float((small[:: 1024 // T][half] - large[half]).square().mean().sqrt()))
        spread = float(coarse.schedule.noise(T).sqrt())
        assert float(large[-1].std()) == pytest.approx(spread, rel=4 / math.sqrt(16_000))
    assert slope(counts, gaps)[0] < -0.7


def test_paths_need_a_number_of_steps_that_divides():
    fine, coarse = (GaussianDiffusion(make_schedule("linear", T)) for T in (100, 30))
    with pytest.raises(ScheduleError, match="The 100 fine steps cannot be grouped into 30"):
        forward_paths(fine, coarse, draws(2))
