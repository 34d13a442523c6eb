"""Charts: the numbers in them are the numbers given."""

from __future__ import annotations

import numpy as np
import pytest

from dpm_core.figures.charts import kernel_figure, schedule_chart
from dpm_core.figures.palette import EXACT, MODEL, SCHEDULE_LOOKS


def test_rings_are_one_and_two_deviations():
    """Every vertex lies at Mahalanobis distance 1 or 2 from its mean; the shades are the density itself."""
    x, y = np.linspace(-2, 2, 9), np.linspace(-1, 3, 7)
    density = np.random.default_rng(0).random((7, 9))
    gaussians = {
        "exact": (np.array([0.3, 1.0]), np.array([0.5, 0.2]), "exact"),
        "model": (np.array([-0.4, 0.7]), np.array([0.1, 0.9]), "model"),
    }
    figure = kernel_figure(x, y, density, gaussians, (0.5, 2.0), dark=False)
    np.testing.assert_array_equal(figure.data[0].z, density)
    np.testing.assert_array_equal(figure.data[0].x, x)
    np.testing.assert_array_equal(figure.data[0].y, y)
    rings = figure.data[1:5]
    for i, ring in enumerate(rings):
        mean, deviation, _ = gaussians[ring.name]
        distance = np.hypot((ring.x - mean[0]) / deviation[0], (ring.y - mean[1]) / deviation[1])
        np.testing.assert_allclose(distance, 1 + i % 2, rtol=1e-12)
        assert ring.line.color == (EXACT if ring.name == "exact" else MODEL).light
    assert [r.name for r in rings] == ["exact", "exact", "model", "model"]
    assert (figure.data[5].x[0], figure.data[5].y[0]) == (0.5, 2.0)
    # a point outside the window is not drawn
    assert len(kernel_figure(x, y, density, gaussians, (9.0, 2.0), dark=True).data) == 5


def test_schedule_chart_leaves_out_only_what_cannot_be_drawn():
    """Value i belongs to t = i + 1; infinities, NaN and, on a log axis, zeros are left out, everything else kept exactly."""
    looks = dict(zip("ab", SCHEDULE_LOOKS))
    curves = {"a": np.array([np.inf, 0.5, 0.0, np.nan, 0.25]), "b": np.array([1.0, 2.0])}
    for log, t_a in ((False, [2, 3, 5]), (True, [2, 5])):
        rows = schedule_chart(curves, "β", looks, dark=False, log=log).data["values"]
        drawn = {name: [(row["t"], row["value"]) for row in rows if row["schedule"] == name] for name in curves}
        assert drawn["a"] == [(t, curves["a"][t - 1]) for t in t_a]
        assert drawn["b"] == [(1, 1.0), (2, 2.0)]


def test_schedule_chart_thins_long_curves_evenly():
    """1,000 values become 400, first and last among them, each beside its own t."""
    values = np.linspace(1, 5, 1000) ** 2
    rows = schedule_chart({"a": values}, "SNR", {"a": SCHEDULE_LOOKS[0]}, dark=True).data["values"]
    t = np.array([row["t"] for row in rows])
    assert len(t) == 400 and t[0] == 1 and t[-1] == 1000
    np.testing.assert_array_equal([row["value"] for row in rows], values[t - 1])
    assert set(np.diff(t)) <= {2, 3}


@pytest.mark.parametrize("dark", [False, True])
def test_every_schedule_keeps_its_colour_and_dash(dark):
    looks = dict(zip("cab", SCHEDULE_LOOKS))
    encoding = schedule_chart({"a": np.ones(3), "b": np.ones(3)}, "β", looks, dark=dark).to_dict()["encoding"]
    colours = dict(zip(encoding["color"]["scale"]["domain"], encoding["color"]["scale"]["range"]))
    dashes = dict(zip(encoding["strokeDash"]["scale"]["domain"], encoding["strokeDash"]["scale"]["range"]))
    for name, look in looks.items():
        assert colours[name] == (look.colour.dark if dark else look.colour.light) and dashes[name] == look.dash
    assert len({(look.colour, tuple(look.dash)) for look in SCHEDULE_LOOKS}) == len(SCHEDULE_LOOKS)
