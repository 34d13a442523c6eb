"""Look-ahead HMC: the distribution is stationary by enumeration on a ladder, and by moments on the targets of the paper."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from dpm_core.lab.hamiltonian import (
    ill_conditioned_gaussian,
    look_ahead_hmc,
    moves,
    rough_well,
    transition_probabilities,
)

PAPER = {"step_size": 1.0, "leapfrog_steps": 10, "corruption": 0.1}


def gaussian(x):
    return 0.5 * x.square().sum(1)


@pytest.mark.parametrize("look_ahead", [1, 2, 3, 4, 6])
def test_the_ladder_is_stationary(look_ahead):
    """On a closed ladder of 12 states with momentum, random energies: every probability is valid and p M = p to 1e-12.

    L moves one rung up for one sign of the momentum and one down for the other, as F L F = L⁻¹ requires.
    """
    rungs = 12
    energies = 3 * torch.rand(rungs, generator=torch.Generator().manual_seed(look_ahead), dtype=torch.float64)
    p = torch.softmax(-energies.repeat(2), 0)  # (rung, momentum) and (rung, −momentum) are equally likely
    matrix = torch.zeros(2 * rungs, 2 * rungs, dtype=torch.float64)
    for sign, step in ((0, 1), (1, -1)):
        for i in range(rungs):
            path = [(i + step * a) % rungs for a in range(look_ahead + 1)]
            share = transition_probabilities(energies[path][None])[0]
            assert bool((share >= -1e-15).all()) and float(share.sum()) <= 1 + 1e-12
            for a, probability in enumerate(share, 1):
                matrix[sign * rungs + i, sign * rungs + path[a]] += probability
            matrix[sign * rungs + i, (1 - sign) * rungs + i] += 1 - share.sum()
    assert torch.allclose(matrix.sum(1), torch.ones(2 * rungs, dtype=torch.float64), atol=1e-12)
    assert float((p @ matrix - p).abs().max()) <= 1e-12
    flux = p[:, None] * matrix
    assert float((flux - flux.T).abs().max()) > 1e-3, "detailed balance does not hold"


def test_one_trajectory_is_the_rule_of_metropolis():
    """π₁ = min(1, exp(H(ζ) − H(Lζ))), and a trajectory that diverged is never taken."""
    total = torch.tensor([[1.0, 0.5], [1.0, 3.0], [0.0, math.inf], [0.0, math.nan]], dtype=torch.float64)
    found = transition_probabilities(total)[:, 0]
    assert torch.allclose(found, torch.tensor([1.0, math.exp(-2), 0.0, 0.0], dtype=torch.float64))


def test_looking_ahead_turns_less_often():
    """The momentum turns with probability 1 − Σ π_a, which falls with the number of trajectories that may be tried."""
    total = 2 * torch.rand(500, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = [1 - transition_probabilities(total[:, : K + 1]).sum(1) for K in (1, 2, 3, 5)]
    assert all(bool((b <= a + 1e-12).all()) for a, b in itertools.pairwise(turned))
    assert float(turned[-1].mean()) < 0.6 * float(turned[0].mean())


@pytest.mark.parametrize("look_ahead", [1, 4])
@pytest.mark.parametrize("target", ["rough", "gaussian 2", "gaussian 100"])
def test_moments_of_the_papers_targets(target, look_ahead):
    """Started from the target, 1,000 chains keep its second moments: the mean of x²/variance within three standard errors over chains."""
    generator = torch.Generator().manual_seed(5)
    if target == "rough":
        energy, variances = rough_well, torch.full((2,), 100.0**2, dtype=torch.float64)
        grid = torch.arange(-600, 600, 0.01, dtype=torch.float64)[:, None]
        weights = torch.softmax(-rough_well(grid), 0)
        variances = torch.full((2,), float(weights @ grid[:, 0].square()), dtype=torch.float64)
        chosen = torch.multinomial(weights, 2000, replacement=True, generator=generator)
        x = grid[chosen, 0].view(1000, 2)
    else:
        energy, variances = ill_conditioned_gaussian(int(target.split()[1]))
        x = torch.randn(1000, len(variances), generator=generator, dtype=torch.float64) * variances.sqrt()
    run = look_ahead_hmc(energy, x, look_ahead=look_ahead, generator=generator, **PAPER)
    states = torch.stack([state for _, state in zip(range(30), run)])
    each = (states.square() / variances).mean((0, 2))  # of each chain
    assert abs(float(each.mean()) - 1) < 3 * float(each.std()) / 1000**0.5
    assert bool(states.isfinite().all())


def test_the_distribution_is_reached_from_afar():
    """1,000 chains from x = 4 in two dimensions end with the variance and the fourth moment of a Gaussian, within four standard errors."""
    run = look_ahead_hmc(
        gaussian, torch.full((1000, 2), 4.0, dtype=torch.float64), step_size=0.9, leapfrog_steps=3, look_ahead=3, corruption=0.3,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    x = [state for _, state in zip(range(80), run)][-1].flatten()
    assert abs(float(x.square().mean()) - 1) < 4 * math.sqrt(2 / 2000)
    assert abs(float(x.pow(4).mean()) - 3) < 4 * math.sqrt(96 / 2000)


def test_chains_count_their_gradients_and_turn_their_momentum():
    """A chain that goes a trajectories takes a times the leapfrog steps; one that turns, all of them, and stays where it was."""
    x = 3 * torch.randn(400, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    run = moves(gaussian, x, step_size=1.7, leapfrog_steps=4, look_ahead=3, corruption=0.5, generator=torch.Generator().manual_seed(2))
    before = x
    for _, move in zip(range(5), run):
        stayed = move.distance == 0
        assert torch.equal(move.gradients, 4 * torch.where(stayed, torch.tensor(3), move.distance))
        assert torch.equal(move.x[stayed], before[stayed]) and bool((move.x[~stayed] != before[~stayed]).any(1).all())
        before = move.x
    assert 0 < int(stayed.sum()) < 400


@pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"leapfrog_steps": 0}, {"look_ahead": 0}, {"corruption": 1.5}])
def test_what_cannot_run_is_said_in_a_sentence(wrong):
    settings = {"step_size": 0.1, "leapfrog_steps": 2, "look_ahead": 2, "corruption": 0.1} | wrong
    with pytest.raises(ValueError, match="cannot run with"):
        next(look_ahead_hmc(gaussian, torch.zeros(2, 2), **settings))
