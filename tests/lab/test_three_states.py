"""Three states: stationary distribution, the flow's expansion, and K as a derivative of the divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpm_core.lab.flow import three_states as lab

E = torch.tensor([0.3, -0.9, 0.5], dtype=torch.float64)
G = torch.tensor([[0, 1.5, 0.2], [1.5, 0, 0.7], [0.2, 0.7, 0]], dtype=torch.float64)


@pytest.mark.parametrize("g", [None, G])
def test_the_model_is_stationary_and_balanced(g):
    gamma, p = lab.rates(E, g), lab.boltzmann(E)
    assert float((gamma @ p).abs().max()) < 1e-12 and float(gamma.sum(0).abs().max()) < 1e-12
    flow = gamma * p
    assert float((flow - flow.T).abs().max()) < 1e-12, "detailed balance"
    for start in torch.eye(3, dtype=torch.float64):
        assert float((lab.evolve(start, gamma, 200.0) - p).abs().max()) < 1e-12


def test_rates_are_written_out():
    gamma = lab.rates(E, G)
    assert float(gamma[2, 1]) == pytest.approx(0.7 * np.exp(-0.7), rel=1e-14)
    assert lab.rates(torch.stack([E, 2 * E])).shape == (2, 3, 3)
    assert lab.spectral_gap(E) == pytest.approx(-np.sort(np.linalg.eigvals(lab.rates(E).numpy()).real)[-2], rel=1e-10)


def test_the_initial_flow_is_the_first_order_of_the_dynamics():
    p, gamma = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64), lab.rates(E)
    errors = [float((lab.initial_flow(p, gamma, eps) - lab.evolve(p, gamma, eps)).abs().max()) for eps in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize("p", [[1.0, 0, 0], [0.7, 0.3, 0], [0, 0.2, 0.8]])
def test_k_is_the_slope_of_the_divergence(p):
    """One-sided differences of KL(p⁽⁰⁾ ‖ p⁽ᵗ⁾) at 0, extrapolated, to 1e-6; all neighbours: more where data jump to data."""
    p, gamma = torch.tensor(p, dtype=torch.float64), lab.rates(E)
    slopes = [float(lab.divergence(p, lab.evolve(p, gamma, t)) / t) for t in (1e-4, 5e-5)]
    K = float(lab.flow_out_of_the_data(p, gamma))
    assert 2 * slopes[1] - slopes[0] == pytest.approx(K, abs=1e-6)
    everything = float(lab.flow_to_all_neighbours(p, gamma))
    assert everything == pytest.approx(K, rel=1e-14) if (p > 0).sum() == 1 else everything > K + 0.1


def test_with_data_in_all_states_the_slope_is_zero_and_the_sum_over_all_neighbours_still_finds_the_truth():
    p = lab.boltzmann(E)
    for energies in (E, -E):
        gamma = lab.rates(energies)
        assert float(lab.flow_out_of_the_data(p, gamma)) == 0
        assert float(lab.divergence(p, lab.evolve(p, gamma, 1e-6)) / 1e-6) < 1e-4
    at = E.clone().requires_grad_()
    lab.flow_to_all_neighbours(p, lab.rates(at)).backward()
    assert float(at.grad.abs().max()) < 1e-12


def test_walkers_follow_the_distribution():
    """Shares of 20,000 walkers within five standard errors of p⁽ᵗ⁾ at every time."""
    p, gamma = torch.tensor([1.0, 0, 0], dtype=torch.float64), lab.rates(E)
    times = [0.0, 0.1, 0.5, 3.0]
    states = lab.walkers(p, gamma, times, 20_000, torch.Generator().manual_seed(0))
    for t, state in zip(times, states):
        found = torch.bincount(state, minlength=3) / 20_000
        assert float((found - lab.evolve(p, gamma, t)).abs().max()) < 5 * 0.5 / 20_000**0.5


def test_the_triangle_has_equal_sides():
    corners = lab.in_the_triangle(torch.eye(3))
    assert [np.linalg.norm(corners[i] - corners[i - 1]) for i in range(3)] == pytest.approx([2, 2, 2])
    assert lab.in_the_triangle(torch.full((3,), 1 / 3)) == pytest.approx([0, 0], abs=1e-7)
