"""The budget of bits: entropies against closed forms, the split against K by Monte Carlo, and every limit that is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from dpm_core import checkpoints
from dpm_core.data import toy2d
from dpm_core.measure.bound import NATS_PER_BIT, entropy_bounds, evaluate_bound
from dpm_core.measure.budget import Budget, budget, marginal_entropies_nats, marginal_entropy_nats, reverse_entropies_nats
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

NORMAL = math.log(2 * math.pi * math.e)  # h of N(0, I) in the plane


def diffusion(name="log_snr", T=40, **params):
    return GaussianDiffusion(make_schedule(name, T, **params))


def one_gaussian(process, noise=1.0, centre=(0.0, 0.0)):
    return EmpiricalReverse(torch.tensor([centre], dtype=torch.float64), process, noise)


@pytest.mark.parametrize("noise", [1.0, 0.1, 2.5])
def test_entropies_of_a_gaussian(noise):
    """log 2πe(ᾱσ² + 1 − ᾱ) at every t, to 1e-6; also where ᾱ_T = 0, and at t = 0."""
    process = diffusion("paper", 12)
    kernel = one_gaussian(process, noise, (0.7, -0.2))
    t = torch.arange(1, 13)
    wanted = NORMAL + (process.schedule.alpha_bar(t) * noise**2 + process.schedule.noise(t)).log()
    assert torch.allclose(marginal_entropies_nats(kernel), wanted, atol=1e-6)
    assert abs(marginal_entropy_nats(kernel, 0) - NORMAL - 2 * math.log(noise)) < 1e-6


@pytest.mark.parametrize("data", toy2d.DATASETS)
def test_the_entropy_of_the_data_is_their_own(data):
    """Two quadratures of one integral, an even grid and Gauss–Hermite about every point: to 1e-3 nats."""
    dataset = toy2d.DATASETS[data]
    assert abs(marginal_entropy_nats(dataset.exact_reverse(diffusion()), 0) - dataset.entropy()) < 1e-3


def test_between_the_nodes_the_spline_is_exact_enough():
    kernel = toy2d.DATASETS["swiss_roll"].exact_reverse(diffusion(T=1000))
    found = marginal_entropies_nats(kernel)
    assert max(abs(float(found[t - 1]) - marginal_entropy_nats(kernel, t)) for t in (2, 5, 50, 333, 600, 801, 977)) < 1e-4


@pytest.mark.parametrize("schedule, params", [("log_snr", {}), ("paper", {"beta_1": 1e-3}), ("cosine", {})])
@pytest.mark.parametrize("data", ["swiss_roll", "eight_gaussians", "checkerboard"])
def test_the_split_adds_up_to_the_bound_by_monte_carlo(data, schedule, params):
    """best_bits against Eq. 14 by plain Monte Carlo, within four standard errors; −h − K is the parts' sum to 0.01 bits."""
    process, dataset = diffusion(schedule, 20, **params), toy2d.DATASETS[data]
    kernel, x0 = dataset.exact_reverse(process), dataset.sample(4000, torch.Generator().manual_seed(1))
    found = budget(kernel, kernel, process, x0, torch.Generator().manual_seed(2))
    plain = evaluate_bound(kernel, process, x0, torch.Generator().manual_seed(3))
    error = math.hypot(found.errors_bits["discretisation"], plain.standard_error_bits)
    assert abs(found.best_bits - plain.bound_bits) < 4 * error and error < 0.06
    assert abs(-dataset.entropy() / NATS_PER_BIT - found.bound_bits - sum(found.parts_bits.values())) < 0.01
    assert float(found.learning.abs().max()) < 1e-6, "the exact kernel has nothing to learn"
    # term by term: irreducible + finite steps is the whole KL
    terms = (found.irreducible + found.discretisation - plain.kl_nats).abs() / (plain.kl_standard_error + found.discretisation_error)
    assert float(terms.max()) < 5
    assert float(found.irreducible.min()) > 0 and float((found.discretisation + 3 * found.discretisation_error).min()) > -1e-3


@pytest.mark.parametrize("scale", [0.6, 1.4])
def test_wide_and_narrow_gaussians_leave_a_gap_for_the_first_step_and_the_prior(scale):
    """N(0, σ² I), paper schedule: Gaussian steps are exact, so K = −h − KL of the first step − KL(q(x⁽ᵀ⁾) ‖ π), both in closed form.

    The first step is p(x⁽⁰⁾|x⁽¹⁾) = N(√α₁ x⁽¹⁾, β₁); x⁽⁰⁾ given x⁽¹⁾ is Gaussian too. K is below −h: the bound is one.
    """
    process, m = diffusion("paper", 20, beta_1=0.05), scale**2
    kernel = one_gaussian(process, scale)
    x0 = scale * torch.randn(40_000, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = budget(kernel, kernel, process, x0, torch.Generator().manual_seed(5))
    marginal = 0.95 * m + 0.05  # of x⁽¹⁾
    gain, spread = math.sqrt(0.95) * m / marginal, 0.05 * m / marginal  # of x⁽⁰⁾ given x⁽¹⁾
    first = math.log(0.05 / spread) + (spread + (gain - math.sqrt(0.95)) ** 2 * marginal) / 0.05 - 1  # in two dimensions
    assert found.first_step == pytest.approx(first, abs=1e-6) and first > 0
    assert found.prior_mismatch == pytest.approx(0, abs=1e-6), "no signal is left at T"
    plain = evaluate_bound(kernel, process, x0, torch.Generator().manual_seed(6))
    assert abs(plain.bound_nats + found.entropy + first) < 4 * plain.standard_error_nats < 0.03
    early = diffusion("log_snr", 3, start=4.0, end=-1.0)
    remains = float(early.schedule.alpha_bar(3)) * (m - 1)
    mismatch = remains - math.log1p(remains)
    assert budget(None, one_gaussian(early, scale), early, x0[:50]).prior_mismatch == pytest.approx(mismatch, abs=1e-6)


def test_errors_of_the_sums_over_t_know_that_terms_share_their_data():
    """Costs a_i + b_ti with deviations 1 and ½ at T−1 = 50 times: a sum has the variance 50² + 50/4, not 50 (1 + ¼)."""
    n, steps = 4000, 50
    draw = torch.Generator().manual_seed(0)
    shared, own = (torch.randn(size, n, generator=draw, dtype=torch.float64) for size in (1, steps))
    zero = {"entropy": 0.0, "first_step": 0.0, "prior_mismatch": 0.0, "null": 0.0}
    found = Budget.from_costs(shared + 0.5 * own, -shared + 0 * own, torch.zeros(steps, dtype=torch.float64), **zero)
    errors = {"discretisation": math.sqrt(steps**2 + steps / 4), "learning": steps, "both": math.sqrt(steps / 4)}
    for part, deviation in errors.items():
        assert found.total_errors[part] == pytest.approx(deviation / math.sqrt(n), rel=0.06)
    assert found.bound_error_bits == pytest.approx(found.total_errors["both"] / NATS_PER_BIT)


def test_the_irreducible_parts_add_up_to_what_the_ends_say():
    """Σ I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾) = I(X⁽¹⁾;X⁽⁰⁾) − I(X⁽ᵀ⁾;X⁽⁰⁾), to 1e-6 nats."""
    process = diffusion(T=30)
    kernel = toy2d.DATASETS["moons"].exact_reverse(process)
    found = budget(None, kernel, process, torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    left = [marginal_entropy_nats(kernel, t) - NORMAL - float(process.schedule.noise(t).log()) for t in (1, 30)]
    assert abs(float(found.irreducible.sum()) - left[0] + left[1]) < 1e-6


def test_gaussian_data_lose_nothing_but_what_is_irreducible():
    """N(0, I): a Gaussian step is exact, so finite steps, prior and first step are 0, each within its error or 1e-6."""
    process = diffusion(T=15)
    kernel = one_gaussian(process)
    found = budget(kernel, kernel, process, torch.randn(500, 2, generator=torch.Generator().manual_seed(4)))
    assert float((found.discretisation.abs() - found.discretisation_error).max()) < 1e-6 and float(found.learning.abs().max()) < 1e-9
    assert abs(found.prior_mismatch) < 1e-6 and abs(found.first_step) < 1e-6
    assert abs(found.bound_bits + NORMAL / NATS_PER_BIT) < 1e-5


def test_finite_steps_vanish_as_there_are_more_of_them():
    """Their cost halves, at least nearly, from T to 2T once steps are short; learning does not depend on it."""
    dataset, costs = toy2d.DATASETS["swiss_roll"], []
    for T in (20, 40, 80, 160):
        process = diffusion(T=T)
        x0 = dataset.sample(8000, torch.Generator().manual_seed(1))
        found = budget(None, dataset.exact_reverse(process), process, x0, torch.Generator().manual_seed(2))
        costs.append(found.parts_bits["discretisation"])
    assert all(1.4 < a / b < 3 for a, b in pairwise(costs)), costs


def test_a_worse_model_costs_what_its_bound_says():
    """The shipped RBF network: K by the budget and by Monte Carlo agree, and what it lost to learning is positive."""
    loaded = checkpoints.load("swiss_roll_rbf")
    x0 = loaded.dataset.sample(4000, torch.Generator().manual_seed(1))
    kernel = loaded.dataset.exact_reverse(loaded.diffusion)
    found = budget(loaded.model, kernel, loaded.diffusion, x0, torch.Generator().manual_seed(2))
    plain = evaluate_bound(loaded.model, loaded.diffusion, x0, torch.Generator().manual_seed(3))
    assert abs(found.bound_bits - plain.bound_bits) < 4 * plain.standard_error_bits
    assert found.parts_bits["learning"] > 10 * found.errors_bits["learning"]
    assert abs(found.null / NATS_PER_BIT - plain.null_bits) < 1e-4


PLANE_MODELS = sorted(f"{data}_mlp" for data in toy2d.DATASETS if f"{data}_mlp" in checkpoints.list_checkpoints())


@pytest.mark.parametrize("name", PLANE_MODELS)
def test_shipped_models_have_learned_nearly_all_there_is(name):
    """Learning gap of every shipped MLP at T = 40: at most 0.03 bits."""
    loaded = checkpoints.load(name)
    x0 = loaded.dataset.sample(2000, torch.Generator().manual_seed(1))
    kernel = loaded.dataset.exact_reverse(loaded.diffusion)
    found = budget(loaded.model, kernel, loaded.diffusion, x0, torch.Generator().manual_seed(2))
    assert loaded.diffusion.T == 40 and 0 < found.parts_bits["learning"] < 0.03


@pytest.mark.parametrize("scale, holds", [(0.5, True), (1.0, True), (4.0, False)])
def test_the_true_entropy_lies_between_its_bounds_unless_the_data_are_too_wide(scale, holds):
    """Eq. 24 on a scaled roll; above unit variance the upper bound fails at some t, the lower one never does."""
    process, dataset = diffusion(T=40), toy2d.DATASETS["swiss_roll"]
    kernel = EmpiricalReverse(dataset.points * scale, process, dataset.noise * scale, dataset.weights)
    lower, upper = entropy_bounds(process, 2)
    true = reverse_entropies_nats(kernel)
    assert float((true - lower).min()) > -1e-4
    assert bool(((upper - true) > -1e-4).all()) is holds


def test_the_true_entropy_of_gaussian_data_in_closed_form():
    """N(0, I): X⁽ᵗ⁻¹⁾ given X⁽ᵗ⁾ has the variance β_t, so it is the upper bound itself, to 1e-6."""
    process = diffusion(T=10)
    assert torch.allclose(reverse_entropies_nats(one_gaussian(process)), entropy_bounds(process, 2)[1], atol=1e-6)


def test_edges():
    process = diffusion(T=2)
    kernel = toy2d.DATASETS["moons"].exact_reverse(process)
    one = budget(kernel, kernel, process, torch.zeros(1, 2))
    assert math.isfinite(one.bound_bits) and len(one.learning) == 1
    same = EmpiricalReverse(torch.ones(5, 2, dtype=torch.float64), process, 0.05)
    assert math.isfinite(budget(same, same, process, torch.ones(4, 2)).bound_bits), "constant data"
    with pytest.raises(ValueError, match="with noise > 0"):
        marginal_entropy_nats(EmpiricalReverse(torch.zeros(3, 2), process), 0)
    with pytest.raises(ValueError, match="in the plane only"):
        marginal_entropy_nats(EmpiricalReverse(torch.zeros(3, 4), process, 0.1), 1)
