"""Sets of bits: heartbeats and spins against their own definitions, files that people bring, and the budget of bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from dpm_core.config import NetworkConfig
from dpm_core.data import uploads
from dpm_core.data.bits import BIT_SETS, RATES, from_patterns, ising, make_bits
from dpm_core.data.errors import DataError
from dpm_core.data.sources import make, usual_run
from dpm_core.factors import BitOdds, Inpaint
from dpm_core.measure.bit_budget import bit_budget, information_nats
from dpm_core.measure.bound import evaluate_bound
from dpm_core.posterior import tilted
from dpm_core.process import BinomialDiffusion, make_diffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule


def test_the_papers_heartbeat():
    """20 bits, a 1 every fifth, five phases alike: log₂ q = −log₂ 5, nothing else is possible."""
    beat = make_bits("heartbeat")
    wanted = {tuple(int(i % 5 == phase) for i in range(20)) for phase in range(5)}
    assert {tuple(row.tolist()) for row in beat.patterns} == wanted and beat.rate == 0.2
    assert beat.entropy() == pytest.approx(math.log(5))
    torch.testing.assert_close(beat.log_prob(beat.patterns.float()), torch.full((5,), -math.log(5), dtype=torch.float64))
    assert float(beat.log_prob(torch.zeros(1, 20))) == -math.inf
    draws = beat.sample(5000, torch.Generator().manual_seed(0))
    counts = draws[:, :5].sum(0)
    assert bool((draws.sum(1) == 4).all()) and float(((counts - 1000) ** 2 / 1000).sum()) < 18.5  # χ²₄ at 0.001


@pytest.mark.parametrize("length, period, jitter", [(12, 4, 1), (9, 3, 1), (20, 5, 1), (7, 7, 3)])
def test_jitter_by_counting(length, period, jitter):
    """Every beat of a phase moved by every shift, alike: probabilities counted by hand, beats beyond the ends lost."""
    counted: dict[tuple, float] = {}
    for phase in range(period):
        beats = [p for p in range(phase - 10 * period, length + 10 * period, period) if p + jitter >= 0 and p - jitter < length]
        for moved in itertools.product(range(-jitter, jitter + 1), repeat=len(beats)):
            row = [0] * length
            for p, m in zip(beats, moved):
                if 0 <= p + m < length:
                    row[p + m] = 1
            counted[tuple(row)] = counted.get(tuple(row), 0.0) + 1 / period / (2 * jitter + 1) ** len(beats)
    found = make_bits("heartbeat", (("length", length), ("period", period), ("jitter", jitter)))
    assert {tuple(row.tolist()): pytest.approx(float(w)) for row, w in zip(found.patterns, found.weights)} == counted
    assert float(found.weights.sum()) == pytest.approx(1)


def test_spins_are_boltzmanns():
    """2 × 2 and 3 × 3 on a torus: weights ∝ exp(Σ s s'/T) with every bond written out; the free case T → ∞ is uniform."""
    for size in (2, 3):
        rows, weights = ising.lattices(size, 1.7)
        energies = []
        for row in rows[:, 0]:
            s = 2 * row.astype(int) - 1
            bonds = [(i, j, (i + 1) % size, j) for i in range(size) for j in range(size)]
            bonds += [(i, j, i, (j + 1) % size) for i in range(size) for j in range(size)]
            energies.append(sum(s[a, b] * s[c, d] for a, b, c, d in bonds))
        wanted = np.exp(np.array(energies) / 1.7)
        np.testing.assert_allclose(weights, wanted / wanted.sum(), atol=1e-12)
    assert make_bits("ising", (("size", 3), ("temperature", 100.0))).entropy() == pytest.approx(9 * math.log(2), abs=2e-3)


def test_large_lattices_are_sampled_as_small_ones_are_listed(monkeypatch):
    """Gibbs at 4 × 4 against the list: mean bond and its spread within 5 standard errors."""
    rows, weights = ising.lattices(4, 2.5)
    bond = lambda x: (lambda s: (s * (np.roll(s, 1, -1) + np.roll(s, 1, -2))).sum((-1, -2, -3)))(2.0 * x - 1)  # noqa: E731
    mean = weights @ bond(rows)
    spread = math.sqrt(weights @ (bond(rows) - mean) ** 2)
    drawn = bond(ising._gibbs(4, 2.5, np.random.default_rng(3)))
    assert abs(drawn.mean() - mean) < 5 * spread / math.sqrt(len(drawn))
    assert abs(drawn.std() / spread - 1) < 0.08
    large = make_bits("ising", (("size", 8),))
    assert large.shape == (1, 8, 8) and not large.listed and 0.4 < float(large.sample(500).mean()) < 0.6
    with pytest.raises(DataError, match="are not known"):
        large.entropy()


def test_digits_in_black_and_white():
    digits = make_bits("binary_digits")
    assert digits.shape == (1, 8, 8) and set(digits.patterns.unique().tolist()) == {0, 1} and not digits.listed
    assert abs(float(digits.patterns.float().mean()) - digits.rate) < 1e-4
    assert digits.sample_held_out(7).shape == (7, 1, 8, 8)


@pytest.mark.parametrize(
    "name, params, sentence",
    [
        ("heartbeat", {"period": 1}, "period from 2"),
        ("heartbeat", {"jitter": 3}, "less than half a period"),
        ("heartbeat", {"length": 60, "jitter": 2}, "choose less of either"),
        ("heartbeat", {"length": 20.5}, "whole number"),
        ("heartbeat", {"pace": 3}, "no parameter 'pace'"),
        ("ising", {"size": 5}, "even number"),
        ("ising", {"temperature": 0.0}, "between 0.2 and 100"),
        ("patterns", {}, "upload or paint"),
        ("morse", {}, "Unknown set of bits"),
    ],
)
def test_bad_parameters_are_said_in_a_sentence(name, params, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        make_bits(name, tuple(params.items()))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_own_patterns():
    """The same row twice counts twice; rates stay where bits flip both ways; nonsense is refused."""
    own = from_patterns("patterns", "mine", np.array([[0, 1, 1], [0, 1, 1], [1, 0, 0]]))
    assert own.patterns.tolist() == [[0, 1, 1], [1, 0, 0]] and own.weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert (
        from_patterns("patterns", "", np.zeros((2, 4))).rate == RATES[0] and from_patterns("patterns", "", np.ones((2, 4))).rate == RATES[1]
    )
    for rows, sentence in ((np.zeros((0, 3)), "no patterns"), (np.array([[0, 2]]), "0 and 1 only")):
        with pytest.raises(DataError, match=sentence):
            from_patterns("patterns", "", rows)


@pytest.mark.parametrize("text", ["010\n111\n", "0,1,0\r\n1,1,1", "0;1;0\n1;1;1", "0\t1\t0\n\n1\t1\t1\n", "0 1 0\n1 1 1"])
def test_files_of_bits(text):
    assert uploads.looks_like_bits(text.encode())
    assert uploads.read_bits(text.encode()).tolist() == [[0, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("0,1,2\n", "Row 1 holds '2'"),
        ("010\n01\n", "Row 2 has 2 values and the first row 3"),
        ("", "no patterns"),
        ("0\n1\n", "2 to 256 bits"),
        ("0,1,x\n", "holds 'x'"),
        ("0,,1\n0,1,1\n", "Row 2 has 3 values and the first row 2"),
        ("1" * 300, "2 to 256 bits"),
        ("\xff\xfe".encode("latin1").decode("latin1"), "0 or 1|text file"),
    ],
)
def test_bad_files_of_bits(text, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        uploads.read_bits(text.encode())
    assert str(caught.value).endswith(".")


def test_a_table_of_points_is_not_taken_for_bits(tmp_path):
    assert (
        not uploads.looks_like_bits(b"0.5,1.25\n1,2\n")
        and not uploads.looks_like_bits(b"x,y\n0,1\n")
        and not uploads.looks_like_bits(b"0,1\n1,1\n")
    )
    path = tmp_path / "beats.csv"
    path.write_text("0,1,0,1\n1,0,1,0\n")
    data, config = make(str(path))
    assert config.name == "patterns" and data.shape == (4,) and usual_run(data, config).diffusion.kind == "binomial"


@pytest.mark.parametrize("name", [name for name in BIT_SETS if name not in ("patterns", "binary_mnist")])
def test_every_set_has_a_run_that_can_be_built(name):
    data = make_bits(name)
    run = usual_run(data, make(name)[1])
    model = build_model(run.network, make_diffusion(run), data.shape)
    x = data.sample(3)
    assert model.diffusion.rate == data.rate and model.reverse(x, 5).probs.shape == x.shape


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_the_split_adds_up(rate):
    """−H − K of the parts is K by the paper's formula, within 4 standard errors; a model's learning is never negative."""
    beat = make_bits("heartbeat", (("length", 8), ("period", 4)))
    d = BinomialDiffusion(make_schedule("paper", 30, beta_1=1e-3), 0.25 if rate != 0.5 else 0.5)
    kernel, x0 = beat.exact_reverse(d), beat.sample(3000, torch.Generator().manual_seed(0))
    model = build_model(NetworkConfig("bit_mlp"), d, (8,)).requires_grad_(False)
    found = bit_budget(model, kernel, d, x0, torch.Generator().manual_seed(1))
    bits = found.entropy / math.log(2)
    assert found.bound_bits == pytest.approx(-bits - sum(found.parts_bits.values()), abs=1e-9) and bits == pytest.approx(2)
    for who, value in ((model, found.bound_bits), (kernel, found.best_bits)):
        whole = evaluate_bound(who, d, x0, torch.Generator().manual_seed(2))
        error = math.hypot(whole.standard_error_bits, *found.errors_bits.values())
        assert abs(whole.bound_bits - value) < 4 * error < 0.3
    assert bool((found.learning >= -1e-9).all()) and found.prior_mismatch == pytest.approx(0, abs=1e-6) and found.first_step >= -1e-3


def test_information_by_enumeration():
    """I(X⁽⁰⁾;X⁽ᵗ⁾) of two-bit patterns, all 4 states summed, within 5 standard errors; at t = 0 it is H."""
    data = from_patterns("patterns", "", np.array([[0, 1], [1, 0], [1, 1]]), np.array([0.5, 0.3, 0.2]))
    d = BinomialDiffusion(make_schedule("paper", 10), 0.4)
    kernel, states = data.exact_reverse(d), torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64)
    x0 = data.sample(40_000, torch.Generator().manual_seed(0))
    for t in (2, 6, 9):
        joint = 0.0
        for w, y in zip(data.weights, data.patterns.double()):
            p = d.q_marginal(y.expand(4, 2), t).log_prob(states).sum(1)
            joint += float(w * (p.exp() * (p - kernel.log_marginal(states, t))).sum())
        draws = information_nats(kernel, x0, t, torch.Generator().manual_seed(t))
        assert abs(float(draws.mean()) - joint) < 5 * float(draws.std()) / 200
    assert float(information_nats(kernel, x0, 0).mean()) == pytest.approx(data.entropy(), abs=0.01)


def test_tilted_patterns_are_reweighed():
    """Known bits and odds multiply the weights; bits that no pattern has are refused in one sentence."""
    data = from_patterns("patterns", "", np.array([[0, 1, 1], [1, 1, 0], [1, 0, 1]]), np.array([0.2, 0.5, 0.3]))
    kernel = data.exact_reverse(BinomialDiffusion(make_schedule("paper", 8), 0.5))
    held = tilted(kernel, Inpaint(torch.tensor([False, True, True]), torch.tensor([1.0, 0, 0])))
    assert sorted(map(tuple, held.data.tolist())) == [(1, 0, 1), (1, 1, 0)] and sorted(held.weights.tolist()) == pytest.approx(
        [3 / 8, 5 / 8]
    )
    odds = tilted(kernel, BitOdds(torch.tensor([0.9, 0.5, 0.5])))
    r = np.array([0.1 if row[0] == 0 else 0.9 for row in data.patterns.tolist()]) * data.weights.numpy()
    assert odds.weights.tolist() == pytest.approx((r / r.sum()).tolist())
    with pytest.raises(ValueError, match="No pattern in the data agrees with the known bits"):
        tilted(kernel, Inpaint(torch.tensor([False, False, False]), torch.zeros(3)))
