"""The paper's figure 2: exact starts, curves that can be read off, and look-ahead HMC ahead of HMC."""

from __future__ import annotations

import math

import pytest
import torch

from dpm_core.lab.chains import look_ahead_figure
from dpm_core.lab.chains.look_ahead_figure import Curve


def test_starts_are_exact_samples():
    """Moments of the Gaussians; of the rough well E[cos(2πx/4)] = −I₁(1)/I₀(1), as the well is wide against its ripples."""
    n, noise = 40_000, torch.Generator().manual_seed(0)
    x = look_ahead_figure.equilibrium("gaussian_2", n, noise)
    assert torch.allclose(x.var(0), torch.tensor([1.0, 1e6], dtype=torch.float64), rtol=0.03)
    x = look_ahead_figure.equilibrium("rough_well", n, noise)
    assert float(x.square().mean()) == pytest.approx(1e4, rel=0.03)
    cosine = torch.cos(2 * math.pi * x / 4)
    one = torch.ones(())
    expected = -float(torch.special.i1(one) / torch.special.i0(one))
    assert abs(float(cosine.mean()) - expected) < 4 * float(cosine.std()) / (2 * n) ** 0.5


def test_a_curve_is_read_off_between_its_points():
    curve = Curve("rough_well", "hmc", [0.0, 10.0, 20.0], [1.0, 0.5, 0.1], [0.0, 0.1, 0.3])
    assert curve.at(5) == pytest.approx((0.75, 0.05)) and curve.at(20) == pytest.approx((0.1, 0.3))
    with pytest.raises(ValueError, match="ends at 20 gradients, before 21"):
        curve.at(21)


def test_look_ahead_forgets_faster_on_the_rough_well():
    """After 300 gradients, by more than four standard errors."""
    found = {name: look_ahead_figure.curve("rough_well", name, 1200) for name in look_ahead_figure.LOOK_AHEAD}
    (ahead, a), (plain, b) = (found[name].at(300) for name in ("look_ahead", "hmc"))
    assert plain - ahead > 4 * math.hypot(a, b)
    assert found["hmc"].values[0] == pytest.approx(1) and found["hmc"].gradients[0] == 0
