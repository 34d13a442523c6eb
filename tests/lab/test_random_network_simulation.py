"""Simulated random networks: derivatives against autograd, and signals against the mean field theory within their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dpm_core.lab.random_networks import ACTIVATIONS, fixed_point
from dpm_core.lab.signals import random_network_simulation as simulation
from dpm_core.lab.signals.random_network_simulation import (
    CORRELATIONS,
    SCALES,
    RandomNetwork,
    circle,
    layers,
    mean_and_error,
    measure,
    slope,
    theory,
)


def last(*args, **options):
    *_, (share, signals) = measure(*args, **options)
    assert share == 1
    return signals


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_against_differences(name):
    h = torch.linspace(-2.05, 2.05, 42, dtype=torch.float64)
    phi = ACTIVATIONS[name].function
    assert torch.allclose(slope(name, h), (phi(h + 1e-6) - phi(h - 1e-6)) / 2e-6, atol=1e-8)
    assert torch.allclose(slope(phi, h), slope(name, h), atol=1e-12), "a function of tensors, by autograd"


def test_inputs_have_their_mean_squares_and_correlations():
    network = RandomNetwork("tanh", 2.0, 0.1, 2, 50)
    found = last(network, networks=3)
    assert np.allclose(found.q[:, :, 0], np.array(SCALES) * network.start, rtol=1e-5)
    assert np.allclose(found.c[:, :, 0], CORRELATIONS, atol=1e-5)
    assert np.allclose(found.forward[:, 0], 1) and np.allclose(found.backward[:, -1], 1)


def test_norms_are_those_of_the_derivative(monkeypatch):
    """Of one small network: the Jacobian of every layer by autograd, times the same random directions."""
    network, kept = RandomNetwork("tanh", 2.0, 0.1, 4, 12), {}
    inputs, original = simulation._inputs, simulation.layers
    monkeypatch.setattr(simulation, "_inputs", lambda *a: kept.setdefault("h", inputs(*a)))
    monkeypatch.setattr(simulation, "layers", lambda *a: iter(kept.setdefault("layers", list(original(*a)))))
    found = last(network, networks=1, seed=5)
    generator = torch.Generator().manual_seed(5)
    inputs(network, generator, 1, SCALES, CORRELATIONS)
    v, g = (torch.randn(1, 12, 1, generator=generator)[0, :, 0].double() for _ in range(2))

    def upto(first, last_layer):
        def run(h):
            for w, b in kept["layers"][first:last_layer]:
                h = w[0].double() @ torch.tanh(h) + b[0, :, 0].double()
            return h

        return run

    h = kept["h"][0, :, 0].double()
    for layer in range(5):
        forward = torch.autograd.functional.jacobian(upto(0, layer), h) @ v
        backward = g @ torch.autograd.functional.jacobian(upto(layer, 4), upto(0, layer)(h))
        assert found.forward[0, layer] == pytest.approx(float(forward.square().sum() / v.square().sum()), rel=1e-4)
        assert found.backward[0, layer] == pytest.approx(float(backward.square().sum() / g.square().sum()), rel=1e-4)


@pytest.mark.parametrize(("name", "sigma_w2", "seed"), [("tanh", 1.3, 1), ("tanh", 2.5, 2), ("relu", 1.9, 1)])
def test_networks_of_width_1000_follow_the_theory(name, sigma_w2, seed):
    """q from three starts, c of three pairs, perturbations and gradients: within three standard errors of 20 networks at every depth."""
    network = RandomNetwork(name, sigma_w2, 0.05, 8, 1000)
    found, expected = last(network, seed=seed), theory(network)
    pairs = [(found.q, expected.q), (found.c, expected.c)]
    pairs += [(found.forward, expected.growth), (found.backward, expected.growth[-1] / expected.growth)]
    for measured, wanted in pairs:
        mean, error = mean_and_error(measured)
        assert np.all(np.abs(mean - wanted) < 3 * error + 1e-5)


def test_theory_at_the_fixed_point_grows_like_chi():
    network = RandomNetwork("tanh", 2.0, 0.1, 12)
    q, chi = fixed_point("tanh", 2.0, 0.1)
    found = theory(network)
    assert np.allclose(found.q[SCALES.index(1.0)], q, rtol=1e-9) and np.allclose(found.growth, chi ** np.arange(13), rtol=1e-8)
    assert np.allclose(theory(network, (1.0,), (1.0,)).c, 1, atol=1e-6)


def test_theory_away_from_the_fixed_point_has_its_closed_form():
    """A linear network: q ← σ_w² q + σ_b² and the product of two inputs likewise, whatever q is."""
    network = RandomNetwork(lambda x: x, 0.5, 0.2, 6)
    found = theory(network, (4.0,), (0.3,))
    q, product = 4 * 0.4, 0.3 * 0.4
    for layer in range(7):
        assert found.q[0, layer] == pytest.approx(q, rel=1e-9) and found.c[0, layer] == pytest.approx(product / 0.4, rel=1e-7)
        q, product = 0.5 * q + 0.2, 0.5 * product + 0.2
    assert np.allclose(found.growth, 0.5 ** np.arange(7), rtol=1e-9)


def test_theory_follows_inputs_whose_mean_square_changes():
    """Correlations where q grows (linear), and the product of χ(q⁽ˡ⁾) where q falls (erf, from its closed forms)."""
    found, q, product = theory(RandomNetwork(lambda x: x, 1.5, 0.2, 6), (1.0,), (0.3,)), 1.0, 0.3
    for layer in range(7):
        assert found.c[0, layer] == pytest.approx(product / q, rel=1e-7)
        q, product = 1.5 * q + 0.2, 1.5 * product + 0.2
    falling, q, growth = theory(RandomNetwork("erf", 0.5, 0.0, 5)), 1.0, 1.0
    for layer in range(6):
        assert falling.growth[layer] == pytest.approx(growth, rel=1e-9)
        growth *= 0.5 * (4 / math.pi) / math.sqrt(1 + 4 * q)
        q = 0.5 * (2 / math.pi) * math.asin(2 * q / (1 + 2 * q))


def test_the_standard_error_is_that_of_the_mean():
    mean, error = mean_and_error(np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0], [7.0, 2.0]]))
    assert mean.tolist() == [4, 2] and error == pytest.approx([math.sqrt(20 / 3) / 2, 0])


def test_signals_without_limit_or_without_a_fixed_point_are_followed():
    grown = theory(RandomNetwork("relu", 4.0, 0.0, 60, 20))
    assert np.isfinite(grown.q).all() and np.isfinite(grown.growth).all()
    for network in (RandomNetwork("relu", 4.0, 0.0, 60, 20), RandomNetwork("tanh", 0.5, 0.0, 60, 20)):
        assert network.start == 1
        for values in (*last(network, networks=3), *circle(network, points=12)):
            assert np.isfinite(values).all()


def test_memory_is_bounded_and_networks_come_in_parts(monkeypatch):
    network = RandomNetwork("tanh", 2.0, 0.1, 5, 20)
    monkeypatch.setattr(simulation, "MOST_NUMBERS", 3 * 5 * 400)
    shares = [share for share, _ in measure(network, networks=7)]
    assert shares == pytest.approx([3 / 7, 6 / 7, 1])


def test_the_circle_stays_one_in_a_linear_network_and_does_not_flip():
    """An isotropic circle keeps its plane: 100 % of the variance; the film of the layers turns each to fit the one before."""
    found = circle(RandomNetwork(lambda x: x, 1.0, 0.0, 6, 400), seed=1, points=60)
    assert np.allclose(found.share, 1, atol=1e-9) and np.allclose((found.plane**2).sum(2).mean(1), 1)
    angle = np.arange(60) * 2 * math.pi / 60
    assert np.allclose(found.plane[0], np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-5)
    chaotic = circle(RandomNetwork("tanh", 3.0, 0.05, 20, 200), seed=1)
    for before, after in zip(chaotic.plane, chaotic.plane[1:]):
        turns = np.linalg.svd(before.T @ after, compute_uv=False).sum()
        assert np.trace(before.T @ after) == pytest.approx(turns, rel=1e-9), "no rotation or reflection fits better"


def test_the_share_in_the_plane_is_that_of_principal_components():
    """Against the singular values of the pre-activations themselves, after one layer."""
    network = RandomNetwork("tanh", 3.0, 0.05, 1, 60)
    found = circle(network, seed=2, points=30)
    generator = torch.Generator().manual_seed(2)
    basis = torch.linalg.qr(torch.randn(60, 2, generator=generator)).Q * math.sqrt(60 * network.start)
    angle = torch.arange(30) * (2 * math.pi / 30)
    ((w, b),) = layers(network, generator)
    h = (w[0] @ torch.tanh(basis @ torch.stack([angle.cos(), angle.sin()])) + b[0]).double()
    s2 = torch.linalg.svdvals(h - h.mean(1, keepdim=True)).square()
    assert found.share[1] == pytest.approx(float(s2[:2].sum() / s2.sum()), rel=1e-5)
    assert found.q[1] == pytest.approx(float(h.square().mean()), rel=1e-5)
    assert found.spread[1] == pytest.approx(math.sqrt(float(s2.sum()) / 30 / 60 / found.q[1]), rel=1e-5)
    neighbours = torch.nn.functional.cosine_similarity(h, h.roll(-1, 1), dim=0)
    assert found.c[1] == pytest.approx(float(neighbours.mean()), rel=1e-5)


def test_a_collapsed_circle_keeps_its_last_shape():
    found = circle(RandomNetwork("tanh", 0.5, 0.4, 60, 50))
    assert found.spread[-1] < simulation.COLLAPSED and np.array_equal(found.plane[-1], found.plane[-2])
