"""Minimum probability flow of the Ising model: against the sum written out, finite differences, and maximum likelihood by enumeration."""

from __future__ import annotations

import pytest
import torch

from dpm_core.lab.minimum_probability_flow import (
    all_states,
    fit_by_likelihood,
    fit_by_pseudolikelihood,
    fit_ising,
    flip_differences,
    ising_energy,
    ising_objective,
    sample_ising,
)


def couplings(d, scale=1.0, seed=0):
    J = scale * torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (J + J.T) / 2


def data(d, n, seed=1):
    return torch.randint(2, (n, d), generator=torch.Generator().manual_seed(seed)).double()


def test_energy_differences_of_every_flip():
    J, x = couplings(5), data(5, 20)
    for i in range(5):
        flipped = x.clone()
        flipped[:, i] = 1 - flipped[:, i]
        wanted = ising_energy(J, x) - ising_energy(J, flipped)
        assert torch.allclose(flip_differences(J, x)[:, i], wanted, atol=1e-12)


def test_the_objective_is_the_sum_over_flips():
    J, x = couplings(6), data(6, 40)
    total = 0.0
    for row in x:
        for i in range(6):
            other = row.clone()
            other[i] = 1 - other[i]
            total += float(((row @ J @ row - other @ J @ other) / 2).exp())
    assert float(ising_objective(J, x)[0]) == pytest.approx(total / 40, rel=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    """Of each element of J on its own, to 1e-8; of a coupling in both places, their sum."""
    J, x = couplings(5), data(5, 30)
    gradient = ising_objective(J, x)[1]
    assert torch.allclose(gradient, gradient.T)
    for i in range(5):
        for j in range(5):
            values = []
            for step in (1e-5, -1e-5):
                changed = J.clone()
                changed[i, j] += step
                values.append(float(ising_objective(changed, x)[0]))
            assert float(gradient[i, j]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_the_true_couplings_are_where_no_probability_flows():
    """With the exact distribution as data, the gradient at the true J is 0 to 1e-12: its flow is balanced."""
    J = couplings(6)
    states = all_states(6)
    weights = torch.softmax(-ising_energy(J, states), 0)
    gradient = torch.zeros_like(J)
    for share, x in zip(weights, states):
        gradient += share * ising_objective(J, x[None])[1]
    assert float(gradient.abs().max()) < 1e-12


def test_sixteen_spins_as_well_as_maximum_likelihood():
    """20,000 samples of a sparse model: the error of MPF is within 10 % of that of exact maximum likelihood; so is pseudolikelihood's."""
    d = 10
    J = couplings(d, 0.8, seed=4) * (torch.rand(d, d, generator=torch.Generator().manual_seed(5)) < 0.6)
    J = torch.triu(J) + torch.triu(J, 1).T
    x = sample_ising(J, 20_000, torch.Generator().manual_seed(6))

    def error(found):
        return float((found - J).square().mean().sqrt())

    flow, exact, pseudo = error(fit_ising(x)), error(fit_by_likelihood(x)), error(fit_by_pseudolikelihood(x))
    assert flow < 1.1 * exact and pseudo < 1.1 * exact and exact < 0.1


def test_a_fit_can_be_watched_and_ended():
    x, seen = data(8, 500), []
    found = fit_ising(x, watch=seen.append)
    assert torch.equal(seen[-1], found) and len(seen) > 2 and torch.equal(found, found.T)
    short = []
    fit_ising(x, seconds=0.0, watch=short.append)
    assert len(short) == 1


def test_samples_have_the_moments_of_the_model():
    """Listed states, and Gibbs chains where they cannot be listed: means to four standard errors."""
    J = couplings(6, 0.7)
    states = all_states(6)
    mean = torch.softmax(-ising_energy(J, states), 0) @ states
    exact = sample_ising(J, 4000, torch.Generator().manual_seed(0))
    assert float((exact.mean(0) - mean).abs().max()) < 4 * 0.5 / 4000**0.5
    wide = torch.block_diag(*[J] * 4)  # 24 spins in four independent groups
    gibbs = sample_ising(wide, 2000, torch.Generator().manual_seed(1), sweeps=60)
    assert float((gibbs.view(2000, 4, 6).mean((0, 1)) - mean).abs().max()) < 4 * 0.5 / 8000**0.5


def test_what_cannot_be_fitted_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="rows of 0 and 1"):
        fit_ising(torch.tensor([[0.0, 2.0]]))
    with pytest.raises(ValueError, match="must have the shape"):
        ising_objective(torch.zeros(3, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="too many states"):
        fit_by_likelihood(data(25, 10))
