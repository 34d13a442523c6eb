"""The phase diagram: its critical line against a root search, and the depth that can be trained."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dpm_core.lab.random_networks import ACTIVATIONS, critical_sigma_w2, depth_scales, fixed_point
from dpm_core.lab.signals.phase_diagram import diagram, phase, trainable_depths

W = np.linspace(0.5, 4, 36)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_critical_line_is_where_chi_crosses_one(name):
    found = diagram(name, W, [0.02, 0.05, 0.3])
    for sigma_b2, critical in zip(found.sigma_b2, found.critical):
        assert critical == pytest.approx(critical_sigma_w2(name, float(sigma_b2)), abs=1e-6)
    assert found.chi_1[1, 10] == pytest.approx(fixed_point(name, float(W[10]), 0.05).chi_1, rel=1e-9)
    assert found.chi_1.shape == found.q_star.shape == (3, 36)


def test_without_a_crossing_there_is_no_line():
    assert np.isnan(diagram("relu", [0.5, 1.0, 1.5], [0.1]).critical).all()


@pytest.mark.parametrize(("chi", "name"), [(0.5, "ordered"), (0.99, "ordered"), (1.0, "critical"), (1.2, "chaotic")])
def test_phases(chi, name):
    assert phase(chi, 1.0) == name
    assert phase(chi, math.inf) == name.replace("chaotic", "unbounded")


def test_trainable_depths():
    found = trainable_depths("tanh", [1.2, 1.7], 0.05)
    assert found[0] == pytest.approx(-6 / math.log(fixed_point("tanh", 1.2, 0.05).chi_1))
    assert found[1] == depth_scales("tanh", 1.7, 0.05).trainable_depth > 2 * found[0]


@pytest.mark.parametrize("name", ["tanh", "hard_tanh"])
def test_the_trainable_depth_falls_on_both_sides_of_the_edge(name):
    """Also of an activation with kinks, whose integrals are taken in closed form on one side."""
    edge = critical_sigma_w2(name, 0.05)
    for side in (-1, 1):
        depths = trainable_depths(name, edge + side * np.linspace(0.02, 0.6, 12), 0.05)
        assert (np.diff(depths) < 0).all()
