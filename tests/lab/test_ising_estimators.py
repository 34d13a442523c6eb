"""Estimators of Ising couplings: gradients against finite differences, exact distributions as data, closed forms, one sweep of CD-1."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from dpm_core.lab.flow import ising_objectives as objectives
from dpm_core.lab.flow.ising_estimators import ESTIMATORS, as_bits, estimates, mean_field, sweep, tap, up_field
from dpm_core.lab.flow.ising_models import all_states, ising_energy, make_ising, sample_by_chains, sample_ising, to_spins
from dpm_core.lab.flow.quasi_newton import Stage, minimise, product_of_covariances, sum_of_rows
from dpm_core.lab.minimum_probability_flow import fit_by_likelihood, fit_by_pseudolikelihood, fit_ising, ising_objective

SEARCHES = [name for name, one in ESTIMATORS.items() if not one.direct and name != "contrastive"]


def theta_of(model):
    return model.couplings + torch.diag(model.fields)


def random_theta(d, seed=0, scale=0.4):
    theta = scale * torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (theta + theta.T) / 2


def random_bits(d=5, n=12, seed=1):
    return torch.randint(2, (n, d), generator=torch.Generator().manual_seed(seed)).double()


def values(data, theta):
    """Every objective on the same data."""
    outside = (~objectives.flips_into_data(data)).double()
    return {
        "flow": objectives.flow(data),
        "outside": objectives.flow(data, outside),
        "all flips": objectives.flow(data, all_flip=True),
        "matched": objectives.flow(data, objectives.matched_connectivity(theta, data)),
        "pseudolikelihood": objectives.pseudolikelihood(data),
        "likelihood": objectives.likelihood(data),
    }


def exact_data(model):
    """The distribution of the model itself as data."""
    x = all_states(len(model.fields))
    p = torch.softmax(-ising_energy(model.J, x), 0)
    data = objectives.read_spins(x)
    order = torch.from_numpy(np.argsort(x.numpy().astype(np.int64) @ data.steps))
    mean = p @ (2 * x - 1)
    s = data.s - mean
    return data._replace(shares=p[order], mean=mean, covariance=s.T @ (p[order][:, None] * s))


@pytest.mark.parametrize("name", ["flow", "outside", "all flips", "matched", "pseudolikelihood", "likelihood"])
def test_gradients_are_those_of_finite_differences(name):
    """Each field, and each pair in both places, to 1e-8."""
    data, theta = objectives.read_spins(random_bits()), random_theta(5)
    value = values(data, random_theta(5, 7))[name]
    gradient = value(theta)[1]
    assert torch.equal(gradient, gradient.T)
    for i in range(5):
        for j in range(i + 1):
            found = []
            for step in (1e-5, -1e-5):
                changed = theta.clone()
                changed[i, j] += step
                changed[j, i] = changed[i, j]
                found.append(value(changed)[0])
            assert float(gradient[i, j]) == pytest.approx((found[0] - found[1]) / 2e-5, abs=1e-8)


def test_the_flow_is_that_of_the_contract():
    """The same number as the objective for bits, E(x) = xᵀ J x, to 1e-12."""
    x, theta = random_bits(6, 40), random_theta(6)
    assert objectives.flow(objectives.read_spins(x))(theta)[0] == pytest.approx(float(ising_objective(as_bits(theta), x)[0]), rel=1e-12)


def test_neighbours_are_written_out():
    """Sums over the neighbours one by one: those outside the data, the all-bits flip, matched connectivities that are symmetric."""
    x, theta, pilot = random_bits(4, 9), random_theta(4), random_theta(4, 3)
    data, J, J_pilot = objectives.read_spins(x), as_bits(theta), as_bits(pilot)
    rows = {tuple(row) for row in x.tolist()}
    outside = all_flips = matched = 0.0

    def energy(at, row):
        row = torch.tensor(row, dtype=torch.float64)
        return float(row @ at @ row)

    for row in map(tuple, x.tolist()):
        flipped = [tuple(1 - v if i == j else v for j, v in enumerate(row)) for i in range(4)]
        for other in flipped:
            rate = np.exp((energy(J, row) - energy(J, other)) / 2) / len(x)
            outside += rate * (other not in rows)
            all_flips += rate
            matched += rate / np.cosh((energy(J_pilot, row) - energy(J_pilot, other)) / 2)
        all_flips += np.exp((energy(J, row) - energy(J, tuple(1 - v for v in row))) / 2) / len(x)
    found = values(data, pilot)
    assert found["outside"](theta)[0] == pytest.approx(outside, rel=1e-12)
    assert found["all flips"](theta)[0] == pytest.approx(all_flips, rel=1e-12)
    assert found["matched"](theta)[0] == pytest.approx(matched, rel=1e-12)
    wide = objectives.read_spins(random_bits(70, 30)), objectives.read_spins(torch.eye(70))
    assert not objectives.flips_into_data(wide[0]).any() and not objectives.flips_into_data(wide[1]).any()
    near = objectives.read_spins(torch.tensor([[0.0] * 70, [1.0] + [0.0] * 69]))
    assert objectives.flips_into_data(near).sum(0).tolist() == [2] + [0] * 69, "patterns above 62 spins are told apart, too"


def test_the_likelihood_is_the_sum_over_states():
    x, theta = random_bits(7, 50), random_theta(7)
    J = as_bits(theta)
    s = all_states(7)
    wanted = float(ising_energy(J, x).mean() + torch.logsumexp(-ising_energy(J, s), 0))
    assert objectives.likelihood(objectives.read_spins(x))(theta)[0] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["flow", "all flips", "matched", "pseudolikelihood", "likelihood"])
def test_with_the_model_as_data_the_truth_is_the_minimum(name):
    """Gradient 0 to 1e-12: these estimators are consistent."""
    model = make_ising("sparse", 6, 0.9, seed=4)
    data = exact_data(model)
    assert float(values(data, random_theta(6, 5))[name](theta_of(model))[1].abs().max()) < 1e-12


def test_without_neighbours_in_the_data_nothing_is_left_to_learn_from():
    """All states are data, so no flow leaves the data: the papers' K is 0 for every θ."""
    data = exact_data(make_ising("full", 5, 1.0))
    value, gradient, _ = values(data, random_theta(5))["outside"](random_theta(5))
    assert value == 0 and not gradient.any()


def test_matched_flow_has_the_gradient_of_the_pseudolikelihood_at_its_pilot():
    data, theta = objectives.read_spins(random_bits(6, 60)), random_theta(6)
    found = values(data, theta)
    assert torch.allclose(found["matched"](theta)[1], found["pseudolikelihood"](theta)[1], atol=1e-13)


def test_searches_end_at_a_minimum_that_scipy_finds_too():
    """Flow, pseudolikelihood and likelihood against the functions that use SciPy or the gradient of the contract."""
    x = sample_ising(make_ising("lattice", 9, 1.5, seed=1).J, 3000, torch.Generator().manual_seed(0))
    ends = {name: list(estimates(name, x))[-1].J for name in SEARCHES}
    assert float(ising_objective(ends["flow"], x)[1].abs().max()) < 1e-5 and torch.equal(fit_ising(x), ends["flow"])
    assert torch.allclose(ends["pseudolikelihood"], fit_by_pseudolikelihood(x), atol=5e-3)
    assert torch.allclose(ends["likelihood"], fit_by_likelihood(x), atol=5e-3)
    for J in ends.values():
        assert torch.equal(J, J.T)


@pytest.mark.parametrize("solve, name", [(sum_of_rows, "flow"), (product_of_covariances, "likelihood")])
def test_the_first_guess_of_the_hessian_is_exact_for_independent_spins(solve, name):
    """Near the truth of independent spins one step of the guess undoes a small change of θ, up to its square.

    For the likelihood with fields, too; for the flow only without, as fields make its weights differ between spins.
    """
    fields = torch.tensor([0.5, -0.8, 0.3, 1.0], dtype=torch.float64) * (name == "likelihood")
    model = make_ising("full", 4, 1.0)._replace(couplings=torch.zeros(4, 4, dtype=torch.float64), fields=fields)
    data = exact_data(model)
    value = values(data, theta_of(model))[name]
    change = 1e-5 * random_theta(4)
    _, gradient, weight = value(theta_of(model) + change)
    assert torch.allclose(solve(data.covariance, data.mean)(gradient, weight), change, atol=1e-9)


def test_a_search_never_goes_up():
    x = random_bits(6, 200)
    data = objectives.read_spins(x)
    run = minimise([Stage(lambda _: objectives.flow(data), 1e-12)], data.independent, sum_of_rows(data.covariance, data.mean))
    found = [step.value for step in run]
    assert len(found) > 3 and all(b <= a for a, b in pairwise(found))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_reports_seconds_and_ends(name):
    x = sample_ising(make_ising("full", 9, 2.0, seed=1).J, 2000, torch.Generator().manual_seed(0))
    model = make_ising("full", 9, 2.0, seed=1)
    found = list(estimates(name, x, 0.2))
    assert [one.seconds for one in found] == sorted(one.seconds for one in found) and 0 < found[-1].seconds < 1
    error = float((to_spins(found[-1].J)[0] - model.couplings).abs().max())
    assert error < (1.0 if name == "outside" else 0.15)
    assert (len(found) == 1) == ESTIMATORS[name].direct


def test_mean_field_is_exact_to_first_order_and_tap_to_second():
    """Weak couplings, exact moments: the error of the couplings falls as their square, with TAP as their third power."""
    errors = []
    for scale in (0.1, 0.05):
        model = make_ising("full", 4, 1.0, seed=2)
        model = model._replace(couplings=scale * model.couplings, fields=torch.tensor([0.4, -0.3, 0.6, 0.5], dtype=torch.float64))
        data = exact_data(model)
        naive, thouless = mean_field(data.mean, data.covariance), tap(data.mean, data.covariance)
        errors.append([float((found[0] - model.couplings).abs().max()) for found in (naive, thouless)])
        errors[-1] += [float((found[1] - model.fields).abs().max()) for found in (naive, thouless)]
    ratios = np.array(errors[0]) / np.array(errors[1])
    assert ratios[0] == pytest.approx(4, rel=0.15) and ratios[1] > 6.5
    assert ratios[2] == pytest.approx(4, rel=0.3) and ratios[3] > 6.5
    assert errors[1][1] < errors[1][0] / 5


def test_tap_solves_its_equation():
    """−K − 2 K² m m' = C⁻¹ beside the diagonal to 1e-10, wherever a solution is real."""
    x = sample_ising(make_ising("lattice", 9, 2.5, seed=1).J, 4000, torch.Generator().manual_seed(0))
    s = 2 * x - 1
    mean, covariance = s.mean(0), torch.cov(s.T, correction=0)
    couplings, _, unsolved = tap(mean, covariance)
    inverse = torch.linalg.inv(covariance)
    left = -couplings - 2 * couplings.square() * torch.outer(mean, mean) - (inverse - torch.diag(inverse.diagonal()))
    assert unsolved == 0 and float(left.abs().max()) < 1e-10 and not couplings.diagonal().any()


def test_contrastive_divergence_stays_at_the_truth():
    """Its expected change at the true model, by the matrix of one sweep over all states, is 0 to 1e-12; elsewhere it is not."""
    model = make_ising("full", 4, 0.7, seed=3)
    s = (2 * all_states(4) - 1).numpy()
    p = torch.softmax(-ising_energy(model.J, all_states(4)), 0).numpy()

    def expected(theta):
        after = p.copy()
        for i in range(4):
            up = 1 / (1 + np.exp(-2 * up_field(theta, s.T, i)))
            flipped = [int(np.where((s == np.where(np.arange(4) == i, -row, row)).all(1))[0][0]) for row in s]
            total = after + after[flipped]
            after = np.where(s[:, i] > 0, up, 1 - up) * total
        pairs = s.T @ ((p - after)[:, None] * s)
        return pairs - np.diag(pairs.diagonal()) + np.diag((p - after) @ s)

    theta = theta_of(model).numpy()
    assert np.abs(expected(theta)).max() < 1e-12 and np.abs(expected(0.5 * theta)).max() > 0.01
    start = np.ascontiguousarray(s.T[:, np.random.default_rng(0).choice(16, 40_000, p=p)]).astype(np.float32)
    end = sweep(theta.astype(np.float32), start, np.random.default_rng(1))
    assert np.abs((end @ end.T - start @ start.T) / 40_000).max() < 5 * 2**0.5 / 40_000**0.5, "a sweep leaves the model as it is"
    weak = sweep(0.5 * theta.astype(np.float32), start, np.random.default_rng(1))
    measured = (start @ start.T - weak @ weak.T) / 40_000
    off = ~np.eye(4, dtype=bool)
    assert np.abs(measured - expected(0.5 * theta))[off].max() < 5 * 2**0.5 / 40_000**0.5, "the sweep has the probabilities of the matrix"


def test_thirty_spins_are_recovered():
    """Beyond enumeration: all searches within twice the error of the best, 5,000 samples."""
    model = make_ising("sparse", 30, 2.0, seed=2)
    x = sample_by_chains(model.J, 5000, seed=1)
    errors = {}
    for name in ("flow", "matched", "pseudolikelihood"):
        couplings, _ = to_spins(list(estimates(name, x))[-1].J)
        errors[name] = float((couplings - model.couplings).square().mean().sqrt())
    assert max(errors.values()) < 2 * min(errors.values()) < 0.1


def test_what_cannot_be_estimated_is_said_in_a_sentence():
    same = torch.ones(50, 3)
    for name in ("mean_field", "tap"):
        with pytest.raises(ValueError, match="covariance of the spins is singular"):
            list(estimates(name, same))
    assert np.isfinite(list(estimates("flow", same))[-1].J.numpy()).all(), "searches end even so"
    with pytest.raises(ValueError, match="too many states"):
        list(estimates("likelihood", random_bits(21, 5)))
    with pytest.raises(ValueError, match="choose one of"):
        estimates("guessing", same)
    with pytest.raises(ValueError, match="rows of 0 and 1"):
        list(estimates("flow", 2 * same))


def test_tap_without_a_real_solution_is_the_real_part_of_the_complex_one():
    """The root of 2 m_i m_j K² + K + (C⁻¹)_ij = 0 that is −(C⁻¹)_ij for m = 0."""
    mean, covariance = torch.tensor([0.8, 0.8], dtype=torch.float64), torch.tensor([[0.36, -0.2], [-0.2, 0.36]], dtype=torch.float64)
    inverse = complex(torch.linalg.inv(covariance)[0, 1])
    root = -2 * inverse / (1 + (1 - 8 * 0.64 * inverse) ** 0.5)
    couplings, _, count = tap(mean, covariance)
    assert count == 1 and float(couplings[0, 1]) == pytest.approx(root.real)


@pytest.mark.parametrize("name", ["tap", "mean_field", "contrastive", "flow"])
def test_data_that_are_not_spins_are_refused(name):
    for x in (torch.randn(5, 3), torch.zeros(0, 3)):
        with pytest.raises(ValueError, match="rows of 0 and 1"):
            next(estimates(name, x))
