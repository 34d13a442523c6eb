"""The binomial diffusion against enumeration: every probability is rebuilt here from β and ρ alone, bit by bit and pattern by pattern."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli

from dpm_core.config import NetworkConfig
from dpm_core.data.bits import from_patterns, make_bits
from dpm_core.factors import Annealed, BitOdds, FactorError, GaussianObservation, Inpaint, Potential, Product, condition
from dpm_core.measure.bound import bound_terms, estimate_bound, evaluate_bound, step_kl_nats
from dpm_core.measure.estimators import jarzynski
from dpm_core.process import BinomialDiffusion, GaussianDiffusion, draw
from dpm_core.reverse import EmpiricalBits, EmpiricalReverse, ReverseModel, build_model, empirical_reverse
from dpm_core.samplers import ancestral, ddim, probability_flow
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training.losses import simple_loss

PATTERNS = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
RATES = (0.5, 0.2, 0.93)


def every(length: int) -> torch.Tensor:
    """All patterns of a length, float64 ``[2^L, L]``."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=length)), dtype=torch.float64)


def flip_matrix(beta: float, rate: float) -> np.ndarray:
    """P(after | before) of one bit, ``[before, after]``."""
    return (1 - beta) * np.eye(2) + beta * np.array([[1 - rate, rate]] * 2)


def matrices(diffusion: BinomialDiffusion) -> list[np.ndarray]:
    """P(x⁽ᵗ⁾ | x⁽⁰⁾) of one bit for t = 0..T, by multiplying the steps."""
    out = [np.eye(2)]
    for beta in diffusion.schedule.betas.tolist():
        out.append(out[-1] @ flip_matrix(beta, diffusion.rate))
    return out


def chance(matrix: np.ndarray, before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """∏ over bits of P(after | before), ``[n, m]`` for n patterns before and m after."""
    b, a = before.int().numpy(), after.int().numpy()
    return matrix[b[:, None, :], a[None, :, :]].prod(-1)


def process(name: str = "paper", T: int = 6, rate: float = 0.2, **params) -> BinomialDiffusion:
    return BinomialDiffusion(make_schedule(name, T, **params), rate)


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("rate", RATES)
def test_kernels_are_the_products_of_their_steps(name, rate):
    """q_step, q_jump and q_marginal, 1e-12, every s < t ≤ 6, β_T = 1 among them."""
    d = process(name, 6, rate)
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    betas = d.schedule.betas.tolist()
    for t in range(1, 7):
        np.testing.assert_allclose(d.q_step(x, t).probs[:, 0], flip_matrix(betas[t - 1], rate)[:, 1], atol=1e-12)
        np.testing.assert_allclose(d.q_marginal(x, t).probs[:, 0], matrices(d)[t][:, 1], atol=1e-12)
        for s in range(t):
            jump = np.linalg.multi_dot([np.eye(2), *(flip_matrix(beta, rate) for beta in betas[s:t])])
            np.testing.assert_allclose(d.q_jump(x, s, t).probs[:, 0], jump[:, 1], atol=1e-12)
    assert float(d.q_marginal(x, 0).probs[1]) == 1.0 and float(d.q_marginal(x, 0).probs[0]) == 0.0


@pytest.mark.parametrize("name", ["paper", "cosine", "linear"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_the_posterior_is_bayes(name, rate, dtype, tolerance):
    """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) of every s < t and all four pairs of bits; batches of different t as one t at a time."""
    d = process(name, 6, rate)
    x0, xt = (v.to(dtype)[:, None] for v in every(2).T)
    m, betas = matrices(d), d.schedule.betas.tolist()
    for t in range(1, 7):
        for s in range(t):
            then = np.linalg.multi_dot([np.eye(2), *(flip_matrix(beta, rate) for beta in betas[s:t])])
            for row in range(4):
                a, b = int(x0[row]), int(xt[row])
                joint = m[s][a] * then[:, b]
                got = d.q_posterior(x0, xt, t, s).probs[row]
                assert float(got) == pytest.approx(joint[1] / joint.sum(), abs=tolerance)
                if s == t - 1:
                    assert float(d.q_posterior(x0, xt, t).probs[row]) == pytest.approx(joint[1] / joint.sum(), abs=tolerance)
    t = torch.tensor([1, 3, 5, 6])
    apart = torch.stack([d.q_posterior(x0[i : i + 1], xt[i : i + 1], int(t[i])).probs[0] for i in range(4)])
    torch.testing.assert_close(d.q_posterior(x0, xt, t).probs, apart)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [3, 8])
def test_the_exact_reverse_is_enumeration(rate, length, generator):
    """P(x⁽ˢ⁾_i = 1|x⁽ᵗ⁾) summed over all 2^L states and patterns: 1e-6 for length 8 in float32, 1e-10 in float64; also log q(x⁽ᵗ⁾)."""
    patterns = every(length)[torch.randperm(2**length, generator=generator)[:5]]
    weights = torch.rand(5, generator=generator, dtype=torch.float64) + 0.1
    weights /= weights.sum()
    d = process("paper", 5, rate)
    kernel, states = empirical_reverse(patterns, d, weights=weights), every(length)
    m, betas = matrices(d), d.schedule.betas.tolist()
    for t in (2, 4, 5):
        xt = states[::7]
        joint0 = weights.numpy()[:, None] * chance(m[t], patterns, xt)  # [pattern, xt]
        np.testing.assert_allclose(kernel.log_marginal(xt, t), np.log(joint0.sum(0)), atol=1e-10)
        for s in range(t):
            then = np.linalg.multi_dot([np.eye(2), *(flip_matrix(beta, rate) for beta in betas[s:t])])
            joint = weights.numpy() @ chance(m[s], patterns, states)  # q(x⁽ˢ⁾) of every state
            joint = joint[:, None] * chance(then, states, xt)
            wanted = (joint / joint.sum(0)).T @ states.numpy()
            np.testing.assert_allclose(kernel.reverse(xt, t, s).probs, wanted, atol=1e-10)
            np.testing.assert_allclose(kernel.reverse(xt.float(), t, s).probs, wanted, atol=1e-6)


def test_the_exact_kernel_at_t_0_knows_its_patterns():
    kernel = empirical_reverse(PATTERNS, process(), weights=WEIGHTS)
    np.testing.assert_allclose(kernel.log_marginal(PATTERNS.float(), 0), WEIGHTS.log(), atol=1e-6)
    assert float(kernel.log_marginal(torch.ones(1, 4), 0)) == -math.inf
    with pytest.raises(ValueError, match="only 0 and 1"):
        empirical_reverse(PATTERNS + 0.5, process())
    with pytest.raises(ValueError, match="must be 0, not"):
        empirical_reverse(PATTERNS, process(), 0.1)
    with pytest.raises(TypeError):
        kernel.marginal_on_grid(torch.zeros(3), 1)
    assert type(empirical_reverse(PATTERNS, GaussianDiffusion(make_schedule("paper", 6)))) is EmpiricalReverse


@pytest.mark.parametrize("name", ["paper", "cosine"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_kl_terms_are_those_of_bernoullis(name, rate, dtype, tolerance):
    """Σ_i KL(B(posterior)‖B(f_b)) written out, for beliefs from certain to certain, every t; one t each as in a batch."""
    d = process(name, 6, rate)
    x0, xt = every(4).to(dtype), every(4).flip(0).roll(3, 0).to(dtype)
    for p in (0.0, 1e-3, 0.4, 0.999):
        for t in range(2, 7):
            belief = (x0 * (1 - p) + (1 - x0) * p).to(dtype)  # wrong by p
            a = d.q_posterior(x0.double(), xt.double(), t).probs.numpy()
            f = d.q_posterior(belief.double(), xt.double(), t).probs.numpy()
            wanted = (a * np.log(a / f) + (1 - a) * np.log((1 - a) / (1 - f))).sum(1)
            got = d.posterior_kl_nats(x0, xt, belief, belief * (1 - belief), t)
            np.testing.assert_allclose(got, wanted, rtol=1e-5 if dtype == torch.float32 else 1e-7, atol=tolerance)  # of a rounded belief
            times = torch.full((len(x0),), t)
            torch.testing.assert_close(d.posterior_kl_nats(x0, xt, belief, belief, times), got)


def test_the_bound_is_its_terms_enumerated():
    """K of the exact kernel with every x⁽⁰⁾ and x⁽ᵗ⁾ summed over, 1e-5, entropies and L_null too; Monte Carlo agrees within its error."""
    d = process("paper", 5, 0.3)
    kernel, states, m = empirical_reverse(PATTERNS, d, weights=WEIGHTS), every(4), matrices(d)

    def h(p):
        p = np.array([p, 1 - p])
        return -(p * np.log(p)).sum()

    def entropy(t):  # H_q(X⁽ᵗ⁾|X⁽⁰⁾)
        return sum(w * sum(h(m[t][int(bit)][1]) for bit in row) for w, row in zip(WEIGHTS.tolist(), PATTERNS))

    terms = []
    for t in range(2, 6):
        q = chance(m[t], PATTERNS, states)
        term = 0.0
        for j, (w, y) in enumerate(zip(WEIGHTS.tolist(), PATTERNS)):
            kl = step_kl_nats(kernel, d, y.expand(16, 4).float(), states.float(), t).double().numpy()
            a = d.q_posterior(y.expand(16, 4), states, t).probs.numpy()
            f = kernel.reverse(states, t).probs.numpy()
            np.testing.assert_allclose(kl, (a * np.log(a / f) + (1 - a) * np.log((1 - a) / (1 - f))).sum(1), atol=1e-5)
            term += w * (q[j] * kl).sum()
        terms.append(term)
    log_pi = np.log([0.7, 0.3])
    cost = {t: sum(w * sum(m[t][int(bit)] @ log_pi for bit in row) for w, row in zip(WEIGHTS.tolist(), PATTERNS)) for t in (0, 1, 5)}
    prior = cost[1] - cost[0] - cost[5]
    wanted = -sum(terms) + entropy(5) - entropy(1) - prior
    x0 = PATTERNS[torch.multinomial(WEIGHTS, 40_000, replacement=True, generator=torch.Generator().manual_seed(0))].float()
    bound = evaluate_bound(kernel, d, x0, torch.Generator().manual_seed(1))
    assert abs(bound.bound_nats - wanted) < 4 * bound.standard_error_nats < 0.03
    np.testing.assert_allclose(bound.kl_nats, terms, atol=5 * float(bound.kl_standard_error.max()))
    null = float(sum(w * Bernoulli(torch.tensor(0.3)).log_prob(y).sum() for w, y in zip(WEIGHTS, PATTERNS)))
    assert bound.null_nats == pytest.approx(null, abs=0.02) and bound.h_prior == pytest.approx(prior, abs=0.02)
    exact = torch.multinomial(WEIGHTS, 50_000, replacement=True, generator=torch.Generator().manual_seed(2))
    estimate = estimate_bound(kernel, d, PATTERNS[exact].float(), torch.Generator().manual_seed(3))
    assert abs(estimate.bound_bits - bound.bound_bits) < 5 * estimate.standard_error_bits < 0.1
    assert bound.bound_nats < -float(torch.special.entr(WEIGHTS).sum()), "K is a bound of −H(q)"


class FixedAtOne(EmpiricalBits):
    """The exact kernel with the first step of a model: q's own (App. B.2)."""

    def reverse(self, xt, t, s=None):
        return self.diffusion.q_step(xt, 1) if t == 1 else super().reverse(xt, t, s)


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("name", ["paper", "constant"])
def test_K_is_the_mean_of_the_trajectories_log_weights_for_any_rate(rate, name):
    """E log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) by trajectories, where nothing of the bound's algebra is used, within 4 standard errors."""
    beat = make_bits("heartbeat", (("length", 10), ("period", 5)))
    d = process(name, 20, rate, **({"beta": 0.05} if name == "constant" else {}))
    kernel = FixedAtOne(beat.patterns, d, weights=beat.weights)
    x0 = beat.sample(3000, torch.Generator().manual_seed(0))
    bound = evaluate_bound(kernel, d, x0, torch.Generator().manual_seed(1))
    weights = jarzynski(kernel, d, x0.double(), 4, torch.Generator().manual_seed(2)).log_weights
    error = math.hypot(bound.standard_error_nats, float(weights.mean(1).std()) / math.sqrt(len(weights)))
    assert abs(bound.bound_nats - float(weights.mean())) < 4 * error
    assert bound.bound_nats < -beat.entropy() + 4 * error, "a bound"


def test_the_bound_of_one_bit_is_exact():
    """One bit has no others to be correlated with: K of the exact kernel loses only what the fixed first step does."""
    d = process("paper", 400, 0.4, beta_1=1e-7)
    data = from_patterns("patterns", "", np.array([[0], [1]]), np.array([0.7, 0.3]))
    bound = evaluate_bound(data.exact_reverse(d), d, data.sample(4000), torch.Generator().manual_seed(0))
    assert bound.bound_nats == pytest.approx(-data.entropy(), abs=5 * bound.standard_error_nats)


@pytest.mark.parametrize("network", ["bit_mlp", "sigmoid"])
def test_an_untrained_network_says_only_what_the_bit_itself_does(network, generator):
    """F = 0 is even odds before x⁽ᵗ⁾ is seen: Bayes by hand; finite at ᾱ_T = 0; the step t = 1 is q's own kernel."""
    d = process("paper", 6, 0.2)
    model = build_model(NetworkConfig(network), d, (4,))
    x = every(4).float()
    with torch.no_grad():
        for t in range(1, 7):
            m = matrices(d)[t]
            p, variance = model.x0_posterior(x, t)
            wanted = torch.where(x > 0.5, m[1, 1] / (m[1, 1] + m[0, 1]), m[1, 0] / (m[1, 0] + m[0, 0]))
            torch.testing.assert_close(p, wanted.float(), atol=1e-6, rtol=0)
            torch.testing.assert_close(variance, p * (1 - p))
        torch.testing.assert_close(model.reverse(x, 1).probs, d.q_step(x, 1).probs)
        times = torch.tensor([1, 2] * 8)
        mixed = model.reverse(x, times).probs
        torch.testing.assert_close(mixed[::2], d.q_step(x, 1).probs[::2])
        torch.testing.assert_close(mixed[1::2], model.reverse(x, 2).probs[1::2])


def test_the_simple_loss_of_bits_is_their_cross_entropy():
    """−log of the probability given to each bit of x⁽⁰⁾, averaged over bits, at x⁽ᵗ⁾ made from the given noise; by hand."""
    d = process("paper", 6, 0.3)
    model = build_model(NetworkConfig("bit_mlp", (("width", 8),)), d, (4,))
    torch.nn.init.normal_(model.network.outputs.weight, generator=torch.Generator().manual_seed(0))
    x0, t = PATTERNS.float(), torch.tensor([2, 4, 6])
    noise = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    xt = (noise < d.q_marginal(x0, t).probs).float()
    p = model.x0_posterior(xt, t)[0]
    wanted = -torch.where(x0 == 1, p, 1 - p).log().mean(1)
    torch.testing.assert_close(simple_loss(model, x0, t, noise), wanted)


def test_detailed_balance():
    """q(x⁽¹⁾|x⁽⁰⁾) π(x⁽⁰⁾)/π(x⁽¹⁾) is q's own kernel at x⁽¹⁾, which is why the first step may be fixed to it."""
    d = process("paper", 6, 0.2)
    flip, pi = flip_matrix(float(d.schedule.beta(1)), 0.2), np.array([0.8, 0.2])
    wanted = flip * pi[:, None] / pi[None, :]  # [x0, x1]
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    np.testing.assert_allclose(d.q_step(x, 1).probs[:, 0], wanted[1], atol=1e-12)


def test_the_forward_chain_has_its_marginals(generator):
    """20,000 runs: activity within 5 standard errors at every t, and at T exactly that of π."""
    d = process("paper", 8, 0.3)
    x0 = PATTERNS[1].float().expand(20_000, 4)
    path = d.forward_trajectory(x0, generator)
    assert set(path.unique().tolist()) == {0.0, 1.0}
    for t in range(9):
        p = d.q_marginal(x0[:1], t).probs[0]
        assert bool(((path[t].mean(0) - p).abs() <= 5 * (p * (1 - p) / 20_000).sqrt() + 1e-9).all())
    assert torch.allclose(d.q_marginal(x0[:1], 8).probs, torch.tensor(0.3))
    assert d.start((3, 4), generator).shape == (3, 4)


def test_ancestral_samples_are_the_data(generator):
    """Exact kernel, T = 200: 98 of 100 are patterns of the data (single bits go apart in the others), each as often as it should be."""
    d = process("paper", 200, 0.5, beta_1=1e-6)
    kernel = empirical_reverse(PATTERNS, d, weights=WEIGHTS)
    *_, last = ancestral(kernel, d, (20_000, 4), generator=generator)
    hits = (last.x[:, None, :] == PATTERNS.float()).all(-1)
    assert float(hits.any(1).float().mean()) > 0.98
    share = hits.float().sum(0) / hits.sum()
    assert float((20_000 * (share - WEIGHTS).square() / WEIGHTS).sum()) < 13.8  # χ²₂ at 0.001
    with pytest.raises(ValueError, match="ancestral"):
        next(ddim(kernel, d, (3, 4)))
    with pytest.raises(ValueError, match="ancestral"):
        next(probability_flow(kernel, d, (3, 4)))


def test_perturbed_flip_rates_are_products():
    """c·d/(c·d + (1−c)(1−d)) bit by bit; certain bits stay; powers, products and annealing; what excludes each other is said."""
    c, d = torch.tensor([[0.2, 0.7, 0.0, 1.0]]), torch.tensor([0.9, 0.5, 0.3, 0.3])
    got = condition(Bernoulli(c), BitOdds(d), 1).probs
    np.testing.assert_allclose(got[0], [0.18 / 0.26, 0.7, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(BitOdds(d).power(2).d[0], 0.81 / 0.82, atol=1e-6)
    assert torch.equal(condition(Bernoulli(c), Annealed(BitOdds(d), 4), 4).probs, c)
    both = condition(Bernoulli(c), Product([BitOdds(d), Inpaint(torch.tensor([False, True, True, True]), torch.ones(4))]), 1)
    assert both.probs[0].tolist() == [1.0, pytest.approx(0.7), 0.0, 1.0]
    x = every(4)
    logs = BitOdds(d).log_prob(x)
    assert float(logs.exp().sum()) == pytest.approx(1.0)
    with pytest.raises(FactorError, match="probability 0 under the model"):
        condition(Bernoulli(c), BitOdds(torch.tensor([1.0, 1.0, 1.0, 1.0])), 1)
    with pytest.raises(FactorError, match="probabilities"):
        BitOdds(torch.tensor([1.2]))
    with pytest.raises(FactorError, match="BitOdds"):
        condition(Bernoulli(c), GaussianObservation(torch.zeros(4), 1.0), 1)
    slope = torch.tensor([0.5, -1.0, 2.0, 0.0])
    shifted = condition(Bernoulli(c[:, :2]), Potential(lambda x: x @ slope[:2]), 1).probs  # log r linear: exactly the odds e^slope
    exact = condition(Bernoulli(c[:, :2]), BitOdds(torch.sigmoid(slope[:2])), 1).probs
    torch.testing.assert_close(shifted, exact)


def test_clamped_bits_complete_a_sequence(generator):
    """Two bits held, exact kernel: what comes out are the patterns that fit, as often as Bayes says."""
    d = process("paper", 200, 0.5, beta_1=1e-6)
    kernel = empirical_reverse(PATTERNS, d, weights=WEIGHTS)
    known = torch.tensor([1.0, 0.0, 0.0, 0.0])
    factor = Inpaint(torch.tensor([False, True, True, True]), known, d)  # the first bit is a 1: the second or third pattern
    *_, last = ancestral(kernel, d, (8000, 4), factor=factor, generator=generator)
    hits = (last.x[:, None, :] == PATTERNS.float()).all(-1)
    assert bool((last.x[:, 0] == 1).all()) and float(hits[:, 1:].any(1).float().mean()) > 0.9
    share = float(hits[:, 1].sum() / hits[:, 1:].sum())
    assert share == pytest.approx(0.5 / 0.8, abs=0.06), "noised clamping is an approximation, of a few hundredths here"


def test_draws_are_reproducible_and_honest_at_the_ends(generator):
    p = Bernoulli(torch.tensor([0.0, 1.0]).repeat(50_000, 1))
    x = draw(p, generator)
    assert float(x[:, 0].sum()) == 0 and float(x[:, 1].mean()) == 1
    assert torch.equal(draw(p, torch.Generator().manual_seed(3)), draw(p, torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_that_never_flips_is_refused(rate):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        BinomialDiffusion(make_schedule("paper", 5), rate)


def test_a_belief_that_is_wrong_for_certain_costs_a_finite_amount():
    """Float32 rounds sigmoid(20) to 1; the KL stays finite, and so does its slope."""
    d = process("paper", 2000, 0.2, beta_1=1e-5)
    x0, xt = torch.zeros(1, 1), torch.ones(1, 1)
    F = torch.full((1, 1), 40.0, requires_grad=True)
    kl = d.posterior_kl_nats(x0, xt, *d.x0_posterior_from_network(xt, 2, F, F), 2)
    kl.sum().backward()
    assert math.isfinite(kl.item()) and bool(F.grad.isfinite().all())


def test_model_is_the_gaussian_ones_class():
    model = build_model(NetworkConfig("unet", (("width", 8),)), process(), (1, 8, 8))
    assert isinstance(model, ReverseModel)
    x = (torch.rand(3, 1, 8, 8) < 0.5).float()
    assert model.reverse(x, 3).probs.shape == x.shape
    terms = bound_terms(model.eval(), model.diffusion, x, torch.Generator().manual_seed(0))
    assert terms.shape == (3, 5) and bool((terms >= -1e-6).all())


def test_heartbeats_limit():
    """The data's −H is log₂(1/5), L_null −14.44, so that the paper's K − L_null = 12.024 belongs to its K = −2.414."""
    beat = make_bits("heartbeat")
    d = process("paper", 50, beat.rate)
    bound = evaluate_bound(beat.exact_reverse(d), d, beat.sample(200), torch.Generator().manual_seed(0))
    assert -beat.entropy() / math.log(2) == pytest.approx(-math.log2(5))
    assert bound.null_bits == pytest.approx(-2.414 - 12.024, abs=1e-3)
