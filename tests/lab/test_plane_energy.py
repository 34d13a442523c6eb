"""Energies of diffused data: the density itself, and what a network's score says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpm_core import checkpoints
from dpm_core.data import toy2d
from dpm_core.lab.chains.grid_energy import GridEnergy
from dpm_core.lab.chains.plane_energy import AXIS, density_of, exact_energy, learned_energy, sample, time_of
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule


def test_exact_energy_is_minus_the_log_density_and_its_slope_the_score():
    data, diffusion = toy2d.make_dataset("moons"), GaussianDiffusion(make_schedule("log_snr", 40))
    exact, t = data.exact_reverse(diffusion), time_of(diffusion, 0.3)
    x = data.sample(200, torch.Generator().manual_seed(0)).double().requires_grad_()
    value = exact_energy(exact, t)(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    at = x.detach().clone().requires_grad_()
    log_density = exact.log_marginal(at, t)
    (score,) = torch.autograd.grad(log_density.sum(), at)
    assert torch.allclose(value.detach(), -log_density.detach(), atol=2e-3)
    assert (slope + score).norm() < 0.01 * score.norm()


def test_time_of_a_noise_level():
    diffusion = GaussianDiffusion(make_schedule("log_snr", 40))
    times = [time_of(diffusion, level) for level in (1e-9, 0.2, 0.5, 2.0)]
    assert times[0] == 1 and times[-1] == 40 and times == sorted(times)
    assert float(diffusion.schedule.noise(times[2])) ** 0.5 == pytest.approx(0.5, abs=0.06)


def test_energy_of_a_network_is_near_that_of_its_data():
    """Differences of energy between data points agree; a small share of the score is no gradient."""
    loaded = checkpoints.load("swiss_roll_mlp")
    exact = loaded.dataset.exact_reverse(loaded.diffusion)
    t = time_of(loaded.diffusion, 0.3)
    learned = learned_energy(loaded.model, exact, t)
    x = loaded.diffusion.q_sample(
        loaded.dataset.sample(500, torch.Generator().manual_seed(0)), t, torch.Generator().manual_seed(1)
    ).double()
    difference = learned.energy(x) - exact_energy(exact, t)(x)
    assert float(difference.std()) < 0.2 and 0 < learned.rest < 0.05


def test_the_exact_score_is_a_gradient():
    """Fitted in the same way, the score of the exact kernel gives back the exact energy but for the grid's differences."""
    data, diffusion = toy2d.make_dataset("moons"), GaussianDiffusion(make_schedule("log_snr", 40))
    exact, t = data.exact_reverse(diffusion), time_of(diffusion, 0.3)
    found = learned_energy(exact, exact, t)
    x = diffusion.q_sample(data.sample(500, torch.Generator().manual_seed(0)), t, torch.Generator().manual_seed(1)).double()
    difference = found.energy(x) - exact_energy(exact, t)(x)
    assert float(difference.std()) < 0.02 and found.rest < 1e-3


def test_samples_of_an_energy_have_its_moments():
    """Of a Gaussian with standard deviations 0.5 and 1, within four standard errors."""
    a, b = np.meshgrid(AXIS, AXIS, indexing="ij")
    energy = GridEnergy(AXIS, 2 * a**2 + 0.5 * b**2)
    assert density_of(energy).sum() == pytest.approx(1)
    x = sample(energy, 20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(x.var(0), torch.tensor([0.25, 1.0], dtype=torch.float64), rtol=0.04)
    assert x.mean(0).abs().max() < 0.03
