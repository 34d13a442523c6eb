"""The mean field theory of random networks against adaptive quadrature, and against networks of width 1,000."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from dpm_core.lab.random_networks import (
    ACTIVATIONS,
    _slope_of_correlation,
    correlation_map,
    critical_sigma_w2,
    depth_scales,
    fixed_point,
    fixed_points,
    variance_map,
)

NUMPY = {
    "tanh": (np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2, ()),
    "erf": (np.vectorize(math.erf), lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2)), ()),
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.heaviside(x, 0.5), (0.0,)),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0, (-1.0, 1.0)),
}


def expectation(function, q, kinks):
    """E f(√q z) by adaptive quadrature between the kinks."""
    root = math.sqrt(q)
    edges = [-12.0, *sorted({k / root for k in kinks if abs(k / root) < 12} | {0.0}), 12.0]
    density = 1 / math.sqrt(2 * math.pi)
    return sum(
        quad(lambda z: float(function(root * z)) * density * math.exp(-z * z / 2), a, b, epsabs=1e-12, epsrel=1e-12, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    )


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(0.6, 0.05), (1.3, 0.3), (1.76, 0.05), (1.95, 0.01)])
def test_fixed_points_against_adaptive_quadrature(name, sigma_w2, sigma_b2):
    """q* = V(q*) and χ₁ to 1e-8."""
    function, slope, kinks = NUMPY[name]
    q, chi = fixed_point(name, sigma_w2, sigma_b2)
    assert sigma_w2 * expectation(lambda x: function(x) ** 2, q, kinks) + sigma_b2 == pytest.approx(q, abs=1e-8)
    assert sigma_w2 * expectation(lambda x: slope(x) ** 2, q, kinks) == pytest.approx(chi, abs=1e-8)


@pytest.mark.parametrize("sigma_w2", [4.0, 25.0, 100.0])
def test_tanh_far_in_the_chaotic_phase(sigma_w2):
    """Where tanh is almost a step the nodes still suffice: 1e-7, and 1e-5 for χ₁."""
    q, chi = fixed_point("tanh", sigma_w2, 0.1)
    function, slope, kinks = NUMPY["tanh"]
    assert sigma_w2 * expectation(lambda x: function(x) ** 2, q, kinks) + 0.1 == pytest.approx(q, rel=1e-7)
    assert sigma_w2 * expectation(lambda x: slope(x) ** 2, q, kinks) == pytest.approx(chi, rel=1e-5)


def test_the_edge_of_chaos_of_tanh():
    """σ_w² = 1.76 at σ_b² = 0.05 (Schoenholz et al. 2017), where χ₁ = 1; σ_w² = 1 without biases; ReLU at 2."""
    critical = critical_sigma_w2("tanh", 0.05)
    assert critical == pytest.approx(1.76, abs=0.002)
    assert fixed_point("tanh", critical, 0.05).chi_1 == pytest.approx(1, abs=1e-8)
    assert critical_sigma_w2("relu", 0.1) == pytest.approx(2, abs=1e-9)
    with pytest.raises(ValueError, match="does not cross 1"):
        critical_sigma_w2(lambda x: 0.0 * x, 0.05)


def test_signals_that_vanish_or_grow_without_limit():
    assert fixed_point("tanh", 0.5, 0.0) == (0.0, pytest.approx(0.5, abs=1e-12))
    assert fixed_point("tanh", 1.2, 0.0).q_star > 0.1
    q, chi = fixed_point("relu", 2.5, 0.1)
    assert q == math.inf and chi == pytest.approx(1.25)
    assert fixed_point("relu", 1.0, 0.3).q_star == pytest.approx(0.6, rel=1e-10)
    assert math.isnan(depth_scales("tanh", 0.5, 0.0).xi_c)


def test_any_function_of_tensors_is_an_activation():
    """A linear one has V(q) = σ_w² q + σ_b²; tanh given as a function is tanh."""
    q, chi = fixed_point(lambda x: x, 0.5, 0.2)
    assert q == pytest.approx(0.4, rel=1e-9) and chi == pytest.approx(0.5, rel=1e-9)
    assert fixed_point(torch.tanh, 2.0, 0.1) == pytest.approx(fixed_point("tanh", 2.0, 0.1))
    with pytest.raises(ValueError, match="choose one of tanh, erf, relu, hard_tanh"):
        fixed_point("sine", 1.0, 0.1)
    with pytest.raises(ValueError, match="at least 0"):
        fixed_point("tanh", -1.0, 0.1)


def test_a_whole_diagram_is_the_same_as_its_points():
    w, b = torch.meshgrid(torch.linspace(0.5, 4, 5), torch.linspace(0, 0.3, 4), indexing="ij")
    q, chi = fixed_points("tanh", w, b)
    assert q.shape == chi.shape == (5, 4)
    assert fixed_point("tanh", float(w[3, 2]), float(b[3, 2])) == pytest.approx((float(q[3, 2]), float(chi[3, 2])), rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_the_slope_of_the_correlation_at_one_is_chi(name):
    """C(1) = 1, and C'(1) = χ₁, by a difference: to 1 %."""
    sigma_w2, sigma_b2 = 1.4, 0.1
    q, chi = fixed_point(name, sigma_w2, sigma_b2)
    h = 1e-4
    one, below = correlation_map(name, torch.tensor([1.0, 1 - h]), q, sigma_w2, sigma_b2)
    assert float(one) == pytest.approx(1, abs=1e-6)
    assert float(one - below) / h == pytest.approx(chi, rel=0.01)


def test_the_correlation_of_rectified_networks_has_its_closed_form():
    """The arc-cosine kernel (Cho & Saul 2009): E[φ(u₁)φ(u₂)] = q (√(1−c²) + (π − arccos c) c)/(2π)."""
    c, sigma_w2, sigma_b2 = torch.linspace(-1, 1, 9, dtype=torch.float64), 1.0, 0.3
    q = fixed_point("relu", sigma_w2, sigma_b2).q_star
    kernel = q * ((1 - c**2).sqrt() + (math.pi - torch.arccos(c)) * c) / (2 * math.pi)
    assert torch.allclose(correlation_map("relu", c, q, sigma_w2, sigma_b2), (sigma_w2 * kernel + sigma_b2) / q, atol=1e-6)


@pytest.mark.parametrize("c", [-0.7, 0.2, 0.9])
def test_hard_tanh_against_nested_quadrature(c):
    """C, and the slope of the correlation map by the derivative, both with the kinks as ends of the inner integral."""
    sigma_w2, sigma_b2, q = 2.0, 0.1, 0.9
    rest, root = math.sqrt(1 - c**2), math.sqrt(q)

    def mean(f):
        def inner(z):
            ends = sorted(min(max((k / root - c * z) / rest, -9.0), 9.0) for k in (-1, 1))
            edges = [-9.0, *ends, 9.0]
            parts = (quad(lambda y: f(root * (c * z + rest * y)) * math.exp(-y * y / 2), a, b)[0] for a, b in itertools.pairwise(edges))
            return f(root * z) * math.exp(-z * z / 2) * sum(parts) / (2 * math.pi)

        return sum(quad(inner, a, b, epsabs=1e-9)[0] for a, b in itertools.pairwise((-9, -1 / root, 1 / root, 9)))

    product = mean(lambda x: min(max(x, -1), 1))
    found = float(correlation_map("hard_tanh", torch.tensor([c], dtype=torch.float64), q, sigma_w2, sigma_b2))
    assert found == pytest.approx((sigma_w2 * product + sigma_b2) / q, abs=1e-6)
    slope = sigma_w2 * mean(lambda x: float(abs(x) < 1))
    assert _slope_of_correlation("hard_tanh", c, q, sigma_w2) == pytest.approx(slope, abs=2e-3)
    near = correlation_map("hard_tanh", torch.tensor([c - 1e-4, c + 1e-4], dtype=torch.float64), q, sigma_w2, sigma_b2)
    assert float(near[1] - near[0]) / 2e-4 == pytest.approx(slope, abs=1e-3)


def test_linear_networks_have_their_closed_correlation():
    c = torch.linspace(-1, 1, 7, dtype=torch.float64)
    found = correlation_map(lambda x: x, c, 0.4, 0.5, 0.2)
    assert torch.allclose(found, (0.5 * 0.4 * c + 0.2) / 0.4, atol=1e-9)


def test_depth_scales_at_and_beside_the_edge():
    """ξ_c = −1/log χ₁ in the ordered phase, grows without limit at the edge, and c* < 1 beyond it."""
    ordered = depth_scales("tanh", 1.3, 0.05)
    assert ordered.c_star == 1 and ordered.xi_c == pytest.approx(-1 / math.log(fixed_point("tanh", 1.3, 0.05).chi_1))
    assert depth_scales("tanh", critical_sigma_w2("tanh", 0.05), 0.05).xi_c > 1e6
    chaotic = depth_scales("tanh", 3.0, 0.05)
    assert 0 < chaotic.c_star < 1 and 1 < chaotic.xi_c < 100
    assert chaotic.trainable_depth == 6 * chaotic.xi_c
    unbiased = depth_scales("tanh", 3.0, 0.0)  # then different inputs become independent
    assert unbiased.c_star == pytest.approx(0, abs=1e-9) and 1 < unbiased.xi_c < 100


@pytest.mark.parametrize("name", ["tanh", "relu", "hard_tanh"])
def test_networks_of_width_1000_follow_the_theory(name):
    """q and c of two inputs over 8 layers: means over 20 networks within three standard errors at every depth."""
    sigma_w2, sigma_b2, width, networks = 1.5, 0.2, 1000, 20
    generator = torch.Generator().manual_seed(3)
    phi = ACTIVATIONS[name].function
    q, c = torch.tensor([1.0], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    mix = torch.tensor([[1.0, 0.0], [0.3, math.sqrt(1 - 0.09)]])
    h = torch.randn(networks, width, 2, generator=generator)
    # two inputs whose first pre-activations have exactly mean square 1 and correlation 0.3
    h = torch.linalg.qr(h).Q * math.sqrt(width) @ mix.T
    w, b = torch.tensor([sigma_w2]), torch.tensor([sigma_b2])
    cross = c * q
    for _ in range(8):
        weights = torch.randn(networks, width, width, generator=generator) * math.sqrt(sigma_w2 / width)
        h = weights @ phi(h) + math.sqrt(sigma_b2) * torch.randn(networks, width, 1, generator=generator)
        # both inputs have the same q, so the map of the correlation holds layer by layer with q in the place of q*
        after = variance_map(name, q, w, b)
        cross = correlation_map(name, cross / q, float(q), sigma_w2, sigma_b2) * q
        q = after
        squares, products = h[..., 0].square().mean(1).double(), (h[..., 0] * h[..., 1]).mean(1).double()
        for found, wanted in ((squares, q), (products, cross)):
            assert abs(float(found.mean() - wanted)) < 3.5 * float(found.std()) / math.sqrt(networks)
