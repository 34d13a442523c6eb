"""Speciation and collapse against closed forms of Gaussian data, and against what the exact kernel of N points does."""

from __future__ import annotations

import math

import pytest
import torch

from dpm_core.data import toy2d
from dpm_core.measure.memorisation import (
    collapse_time,
    copies,
    information_nats,
    nearest_distance,
    participation,
    speciation_time,
)
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 161))  # log-SNR from 8 to −8 in steps of 0.1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(spread):
    return EmpiricalReverse(torch.zeros(1, 2, dtype=torch.float64), DIFFUSION, spread)


def time_of(log_snr):
    return 1 + (8 - log_snr) / 0.1


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_gaussian_data_have_closed_forms(spread):
    """I = log(1 + σ² SNR) in two dimensions; collapse at SNR = (N − 1)/σ², speciation at SNR = 1/σ²."""
    kernel = gaussian(spread)
    snr = DIFFUSION.schedule.snr(torch.arange(1, 162))
    assert torch.allclose(information_nats(kernel), torch.log1p(spread**2 * snr), atol=2e-3)
    for points in (2, 10, 200):
        assert collapse_time(kernel, points) == pytest.approx(time_of(math.log((points - 1) / spread**2)), abs=0.1)
    assert speciation_time(kernel) == pytest.approx(time_of(-2 * math.log(spread)), abs=1e-6)


def test_more_points_collapse_later():
    """Later in the reverse process, at smaller t; beyond what the chain resolves at 0."""
    kernel = toy2d.make_dataset("moons").exact_reverse(DIFFUSION)
    times = [collapse_time(kernel, n) for n in (2, 20, 200, 10**9)]
    assert times[0] > times[1] > times[2] > times[3] == 0


def test_speciation_of_two_clusters_is_that_of_their_distance():
    """Two points at ±2: Λ = 4, signal and noise are equal at SNR = 1/4."""
    two = EmpiricalReverse(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), DIFFUSION, 0.0)
    assert speciation_time(two) == pytest.approx(time_of(-math.log(4)), abs=1e-6)
    uneven = EmpiricalReverse(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), DIFFUSION, 0.0, torch.tensor([3.0, 1.0]))
    assert speciation_time(uneven) == pytest.approx(time_of(-math.log(3)), abs=1e-6)


def test_weights_of_points_are_bayes_rule():
    y, x, t = torch.randn(5, 2, generator=generator()), torch.randn(3, 2, generator=generator(1)), 80
    kernel = EmpiricalReverse(y, DIFFUSION, 0.2)
    bar = float(DIFFUSION.schedule.alpha_bar(t))
    distances = (x[:, None] - math.sqrt(bar) * y).square().sum(2)
    expected = torch.softmax(-0.5 * distances / (bar * 0.04 + 1 - bar), 1)
    assert torch.allclose(kernel.point_weights(x, t).float(), expected, atol=1e-5)
    assert torch.allclose(participation(kernel, x, t).float(), expected.square().sum(1), atol=1e-5)


def test_around_the_collapse_one_point_gains_the_weight():
    """100 points of the roll: a long time before the collapse many share the weight, long after it one has it."""
    data = toy2d.make_dataset("swiss_roll")
    points = data.sample(100, generator(3))
    t_c = collapse_time(data.exact_reverse(DIFFUSION), 100)
    kernel = EmpiricalReverse(points, DIFFUSION, 0.0)

    def shared(t):
        return float(participation(kernel, DIFFUSION.q_sample(points, t, generator(4)), t).mean())

    assert shared(round(t_c + 30)) < 0.25 < 0.5 < shared(max(1, round(t_c - 30)))


def test_the_exact_kernel_of_n_points_only_remembers():
    data = toy2d.make_dataset("swiss_roll")
    points = data.sample(60, generator(5))
    kernel = EmpiricalReverse(points, DIFFUSION, 0.0)
    *_, (_, x) = ancestral(kernel, DIFFUSION, torch.randn(300, 2, generator=generator(6)), generator=generator(7))
    fresh = data.sample(300, generator(8))
    assert copies(x, points) > 0.8 and nearest_distance(x, points) < 0.01
    assert copies(fresh, points) < 0.6 and nearest_distance(fresh, points) > 0.05


def test_copies():
    training = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert copies(torch.tensor([[0.1, 0.0], [1.5, 0.0], [2.9, 0.1], [1.0, 0.0]]), training) == 0.5
    with pytest.raises(ValueError, match="At least two training points"):
        copies(training, training[:1])
