"""Random walks, autocorrelation, effective samples, energies on grids, and the current on three states."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from dpm_core.lab import hamiltonian
from dpm_core.lab.chains import circulation, markov_chains
from dpm_core.lab.chains.grid_energy import GridEnergy, potential


def gaussian(x):
    return 0.5 * x.square().sum(1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def linear_chain(rho=0.9, steps=4000, n=40):
    """x(s+1) = ρ x(s) + √(1−ρ²) noise, whose autocorrelation is ρᵏ and whose integrated time is (1+ρ)/(1−ρ)."""
    generator, x = seeded(0), torch.randn(n, 1, generator=seeded(1), dtype=torch.float64)
    out = []
    for _ in range(steps):
        x = rho * x + (1 - rho**2) ** 0.5 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
        out.append(x)
    return torch.stack(out)


def test_autocorrelation_of_a_linear_chain():
    found = markov_chains.autocorrelation(linear_chain(), [0, 1, 5, 20])
    expected = torch.tensor([1, 0.9, 0.9**5, 0.9**20], dtype=torch.float64)
    assert ((found.values - expected).abs() <= 4 * found.errors + 1e-3).all()
    assert 0 < float(found.errors[-1]) < 0.03


def test_effective_samples_of_a_linear_chain():
    found = markov_chains.effective_samples(linear_chain(), 10.0)
    assert abs(found.per_evaluation - 1 / 190) < 3 * found.error and 0 < found.error < 0.06 / 190
    assert found.time * found.per_evaluation == pytest.approx(0.1) and found.resolved


def test_a_run_that_is_too_short_gives_an_upper_limit():
    found = markov_chains.effective_samples(linear_chain(0.999, 300), 1.0)
    assert not found.resolved and found.per_evaluation > 1 / 1999


def test_errors_fit_the_spread_between_runs():
    """The standard error of the effective samples is that of independent repetitions, within a factor of two."""
    runs = [linear_chain(0.8, 1000)[:, i : i + 20] for i in (0, 20)]
    found = [markov_chains.effective_samples(run, 1.0) for run in runs]
    assert abs(found[0].per_evaluation - found[1].per_evaluation) < 4 * (found[0].error ** 2 + found[1].error ** 2) ** 0.5


def test_a_lag_needs_as_many_steps():
    with pytest.raises(ValueError, match="needs more than 5 steps"):
        markov_chains.autocorrelation(torch.zeros(5, 2, 1), [5])


def test_random_walk_keeps_the_distribution_and_counts_what_it_accepts():
    """Variance 1 within three standard errors, from a start in equilibrium; acceptance 2/π atan(2/σ) in one dimension."""
    x = torch.randn(2000, 1, generator=seeded(2), dtype=torch.float64)
    moves = list(islice(markov_chains.random_walk(gaussian, x, step_size=2.4, generator=seeded(3)), 60))
    moved = torch.stack([move.distance for move in moves]).double().mean()
    assert float(moved) == pytest.approx(2 / np.pi * np.arctan(2 / 2.4), abs=0.006)
    second = moves[-1].x.square()
    assert abs(float(second.mean()) - 1) < 3 * float(second.std()) / 2000**0.5
    with pytest.raises(ValueError, match="must be positive"):
        next(markov_chains.random_walk(gaussian, x, step_size=0.0))


def test_tuning_reaches_the_acceptance():
    x = torch.randn(500, 1, generator=seeded(2), dtype=torch.float64)

    def chain(step_size):
        return markov_chains.random_walk(gaussian, x, step_size=step_size, generator=seeded(4))

    step = markov_chains.tuned(chain, 0.44, 0.1)
    assert 2 / np.pi * np.arctan(2 / step) == pytest.approx(0.44, abs=0.04)


def test_langevin_is_one_leapfrog_step():
    """A proposal of MALA: x − ε²/2 ∇E + ε noise."""
    x = torch.randn(50, 2, generator=seeded(5), dtype=torch.float64)
    run = hamiltonian.moves(gaussian, x, step_size=0.5, leapfrog_steps=1, look_ahead=1, corruption=1.0, generator=seeded(6))
    move, generator = next(run), seeded(6)
    torch.randn(x.shape, generator=generator, dtype=x.dtype)  # the momentum of the start, which is replaced
    proposal = x - 0.125 * x + 0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    gone = move.distance == 1
    assert gone.any() and torch.allclose(move.x[gone], proposal[gone])


def test_ladder_has_the_probabilities_of_the_step():
    x = 3 * torch.randn(20000, 2, generator=seeded(7), dtype=torch.float64)
    x[:] = x[0]
    run = hamiltonian.moves(gaussian, x, step_size=1.6, leapfrog_steps=3, look_ahead=3, corruption=0.0, generator=seeded(8))
    v = torch.randn(x.shape, generator=seeded(8), dtype=x.dtype)[:1].expand_as(x)
    places, totals = hamiltonian.ladder(gaussian, x[:1], v[:1], step_size=1.6, leapfrog_steps=3, look_ahead=3)
    assert torch.equal(places[:, 0], x[:1]) and places.shape == (1, 4, 2)
    move = next(run)  # each chain has its own momentum: those that went one trajectory are where their own ladders say
    own, _ = hamiltonian.ladder(
        gaussian, x, torch.randn(x.shape, generator=seeded(8), dtype=x.dtype), step_size=1.6, leapfrog_steps=3, look_ahead=3
    )
    for a in range(4):
        assert torch.allclose(move.x[move.distance == a], own[move.distance == a, a])
    assert totals.shape == (1, 4)
    assert torch.allclose(totals[:, 0], gaussian(x[:1]) + gaussian(v[:1]))  # the kinetic energy is that of a unit mass
    one, two = (hamiltonian.ladder(gaussian, x[:1], v[:1], step_size=0.01, leapfrog_steps=n, look_ahead=1)[1] for n in (1, 100))
    assert torch.allclose(one, totals[:, :1].expand(1, 2), rtol=1e-4) and torch.allclose(two, one, rtol=1e-3)


AXIS = np.linspace(-3, 3, 61)


def test_spline_reproduces_a_cubic_polynomial_inside():
    """Values and gradients to 1e-8, away from the edges, where the mirror of the spline is not the polynomial."""
    a, b = np.meshgrid(AXIS, AXIS, indexing="ij")
    energy = GridEnergy(AXIS, a**3 - 2 * a * b + b**2)
    x = (3 * torch.rand(100, 2, generator=seeded(9), dtype=torch.float64) - 1.5).requires_grad_()
    value = energy(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    u, v = x.detach().T
    assert torch.allclose(value.detach(), u**3 - 2 * u * v + v**2, atol=1e-7)
    assert torch.allclose(slope, torch.stack([3 * u**2 - 2 * v, -2 * u + 2 * v], 1), atol=1e-6)


def test_spline_goes_through_the_values_and_rises_outside():
    values = np.random.default_rng(0).normal(size=(61, 61))
    energy = GridEnergy(AXIS, values)
    i, j = np.array([0, 60, 30, 7]), np.array([0, 13, 60, 22])
    at = torch.tensor(np.stack([AXIS[i], AXIS[j]], 1))
    assert np.allclose(energy(at).numpy(), values[i, j], atol=1e-10)
    beyond = torch.tensor([[3.5, 0.0]], dtype=torch.float64)
    assert float(energy(beyond)) == pytest.approx(values[60, 30] + 0.5 * 50 * 0.25)
    with pytest.raises(ValueError, match="finite values"):
        GridEnergy(AXIS, np.full((61, 61), np.nan))


def test_potential_of_a_gradient_is_the_energy():
    """−∇E of a Gaussian: E is found but for the error of differences, and nothing is left."""
    a, b = np.meshgrid(AXIS, AXIS, indexing="ij")
    field = np.stack([-(a - 0.5), -2 * b], -1)
    for weights in (None, np.exp(-0.5 * (a**2 + b**2))):
        found = potential(field, AXIS[1] - AXIS[0], weights)
        expected = 0.5 * (a - 0.5) ** 2 + b**2
        assert np.allclose(found.values, expected - expected.min(), atol=1e-6) and found.rest < 1e-12


def test_a_rotation_has_no_potential():
    """The field (−y, x) is orthogonal to all gradients that vanish at the edges of a disc; weighted by a Gaussian, all of it is left."""
    a, b = np.meshgrid(AXIS, AXIS, indexing="ij")
    weights = np.exp(-2 * (a**2 + b**2))
    found = potential(np.stack([-b, a], -1), AXIS[1] - AXIS[0], weights)
    assert found.rest > 0.999
    mixed = potential(np.stack([-a - 0.1 * b, -b + 0.1 * a], -1), AXIS[1] - AXIS[0], weights)
    assert mixed.rest == pytest.approx(0.01 / 1.01, rel=0.01)


P = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_distribution_is_stationary_with_and_without_a_current(share):
    Q = circulation.rates(P, share * circulation.largest_current(P))
    assert (Q @ P).abs().max() < 1e-15 and Q.sum(0).abs().max() < 1e-15 and (Q - torch.diag(Q.diagonal())).min() >= 0
    flow = Q * P  # detailed balance: the flow between two states is the same both ways
    assert torch.allclose(flow, flow.T) == (share == 0.0)


def test_spectral_gap_of_the_current_in_closed_form():
    """In the coordinates in which the reversible chain is symmetric the current is antisymmetric: λ = −(a+b)/2 ± √(((a−b)/2)² − φ²c²)."""
    a, b = (-torch.linalg.eigvals(circulation.rates(P)).real).sort().values[1:].tolist()
    gaps = []
    for share in np.linspace(0, 1, 21):
        phi = float(share) * circulation.largest_current(P)
        antisymmetric = phi**2 / float(P.prod())  # the square of the coupling of both modes: det of the antisymmetric part on them
        inner = ((a - b) / 2) ** 2 - antisymmetric
        expected = (a + b) / 2 - (inner**0.5 if inner > 0 else 0.0)
        gaps.append(circulation.spectral_gap(circulation.rates(P, phi)))
        assert gaps[-1] == pytest.approx(expected, abs=1e-6), share
    assert gaps[-1] > 1.05 * gaps[0] and min(np.diff(gaps)) > -1e-6


def test_evolution_conserves_probability_and_ends_in_the_stationary_distribution():
    Q, start = circulation.rates(P, circulation.largest_current(P)), torch.eye(3)
    path = circulation.evolved(Q, start, torch.tensor([0.0, 1e-4, 50.0]))
    assert torch.allclose(path[0], start.double()) and torch.allclose(path.sum(2), torch.ones(3, 3).double())
    assert torch.allclose(path[1], start.double() + 1e-4 * start.double() @ Q.T, atol=1e-6)
    assert torch.allclose(path[2], P.expand(3, 3), atol=1e-10)


def test_impossible_currents_are_refused():
    with pytest.raises(ValueError, match="current must lie between"):
        circulation.rates(P, 10.0)
    with pytest.raises(ValueError, match="positive probabilities"):
        circulation.largest_current(torch.tensor([1.0, 0.0, 0.0]))
