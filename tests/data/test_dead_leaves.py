"""Dead leaves: the law of the radii, the exact law of two pixels, levels, seeds, and a picture by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from dpm_core.data.errors import DataError
from dpm_core.data.images import dead_leaves
from dpm_core.data.images.dead_leaves import canvas, make, radii


def lens(r, d):
    """Area common to two discs of radius r whose centres are d apart."""
    d = np.minimum(d, 2 * r)
    return 2 * r**2 * np.arccos(d / (2 * r)) - d / 2 * np.sqrt(4 * r**2 - d**2)


def same_leaf(d, r_min, r_max):
    """P(one leaf is frontmost at both of two points d apart) = E|D ∩ (D + d)|/E|D ∪ (D + d)|, by quadrature over r.

    The first leaf that covers either decides, and it covers both in that share of the cases (Matheron).
    """
    r = np.geomspace(r_min, r_max, 20_001)
    p = r**-3
    common, area = (np.trapezoid(p * f, r) for f in (lens(r, d), math.pi * r**2))
    return common / (2 * area - common)


@pytest.mark.parametrize("r_min, r_max", [(1, 32), (4, 32), (0.5, 512), (3, 3.5)])
def test_radii_follow_the_inverse_cube(r_min, r_max):
    """Kolmogorov–Smirnov of 20,000 draws with P(R ≤ r) = (r_min⁻² − r⁻²)/(r_min⁻² − r_max⁻²), at the 0.1 % level."""
    r = np.sort(radii(20_000, r_min, r_max, np.random.default_rng(0)))
    assert r[0] >= r_min and r[-1] <= r_max
    steps = np.arange(20_001) / 20_000

    def distance(power):
        """From the law p(r) ∝ r^(−power − 1)."""
        cdf = (r_min**-power - r**-power) / (r_min**-power - r_max**-power)
        return max((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())

    assert distance(2.0) < 1.95 / math.sqrt(20_000)
    assert r_max < 2 * r_min or distance(1.0) > 10 / math.sqrt(20_000) < distance(3.0)  # neighbouring powers are told apart


@pytest.mark.parametrize("r_min, r_max, d", [(4, 32, 1), (4, 32, 5), (4, 32, 20), (2, 8, 3), (1, 64, 2)])
def test_two_pixels_share_a_leaf_as_often_as_they_should(r_min, r_max, d):
    """Share of equal pixels d apart = P + (1 − P)/256, over canvases, within 4.5 standard errors of their scatter.

    This is the model itself: it fails for discs laid out to the wrong radius, missing at the border, or in the wrong order.
    """
    pictures = [canvas(128, r_min, r_max, np.random.default_rng([1, i])) for i in range(60)]
    anywhere = [((p[:, d:] == p[:, :-d]).mean() + (p[d:] == p[:-d]).mean()) / 2 for p in pictures]
    at_the_border = [np.mean([q[0] == q[d] for turn in range(4) for q in [np.rot90(p, turn)]]) for p in pictures]
    wanted = same_leaf(d, r_min, r_max)
    for shares in (anywhere, at_the_border):
        error = np.std(shares, ddof=1) / math.sqrt(len(shares))
        assert error < 0.02
        assert abs(np.mean(shares) - (wanted + (1 - wanted) / 256)) < 4.5 * error


def test_a_leaf_covers_the_pixels_whose_centres_it_holds():
    """Three leaves of given places on 12 × 12: against a loop over pixels and leaves, front first."""
    centre = np.array([[3.2, 4.1], [6.0, 6.0], [11.7, -0.4]])
    radius = np.array([2.5, 5.0, 3.0])
    owner = np.full(144, 99)
    dead_leaves._cover(owner, 12, centre, radius, first=7)
    wanted = np.full((12, 12), 99)
    for leaf in (2, 1, 0):
        for y in range(12):
            for x in range(12):
                if math.hypot(y + 0.5 - centre[leaf, 0], x + 0.5 - centre[leaf, 1]) <= radius[leaf]:
                    wanted[y, x] = 7 + leaf
    assert set(np.unique(wanted)) == {7, 8, 9, 99}
    np.testing.assert_array_equal(owner.reshape(12, 12), wanted)


def test_many_leaves_agree_with_painting_from_the_back():
    """500 leaves of all sizes, each painted whole over those behind it."""
    rng = np.random.default_rng(3)
    centre, radius = rng.uniform(-20, 84, (500, 2)), radii(500, 0.5, 20, rng)
    owner = np.full(64 * 64, 500)
    dead_leaves._cover(owner, 64, centre, radius, first=0)
    y, x = np.mgrid[:64, :64] + 0.5
    painted = np.full((64, 64), 500)
    for leaf in range(499, -1, -1):
        painted[(y - centre[leaf, 0]) ** 2 + (x - centre[leaf, 1]) ** 2 <= radius[leaf] ** 2] = leaf
    np.testing.assert_array_equal(owner.reshape(64, 64), painted)


def test_levels_are_uniform_and_the_same_everywhere():
    """Mean 127.5 and deviation √((256² − 1)/12) over canvases within 4.5 standard errors; border like the middle."""
    train, held_out = make(16, seed=5)
    pictures = np.concatenate([train, held_out]).astype(float)
    for part in (pictures, pictures[:, :8], pictures[:, :, -8:], pictures[:, 124:132, 124:132]):
        means = part.mean((1, 2))
        squares = ((part - 127.5) ** 2).mean((1, 2))
        for values, wanted in ((means, 127.5), (squares, (256**2 - 1) / 12)):
            assert abs(values.mean() - wanted) < 4.5 * values.std(ddof=1) / math.sqrt(len(values))


def test_the_seed_decides(monkeypatch):
    """The same seed, the same pictures; another, others; no two canvases alike, so none held out is trained on; no global state."""
    monkeypatch.setattr(dead_leaves, "TRAINING", 4)
    monkeypatch.setattr(dead_leaves, "HELD_OUT", 2)
    before = np.random.get_state()[1].copy()
    train, held_out = make(16, seed=1)
    again = make(16, seed=1)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(held_out, again[1])
    assert (make(16, seed=2)[0] != train).mean() > 0.9
    pictures = [p.tobytes() for p in (*train, *held_out)]
    assert len(set(pictures)) == len(pictures)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("size", [8, 33, 128])
def test_every_size_in_time(size):
    """CPU seconds of this thread, not of a busy machine."""
    start = time.thread_time()
    train, held_out = make(size)
    assert time.thread_time() - start < 8  # 1 to 2 s on an idle core
    assert train.dtype == held_out.dtype == np.uint8
    assert min(train.shape[1:]) >= 4 * size and min(held_out.shape[1:]) >= 4 * size


@pytest.mark.parametrize(
    "arguments",
    [{"r_min": 0.4}, {"r_min": 32.0}, {"r_max": 3.0}, {"r_max": 513.0}, {"seed": -1}, {"r_min": math.nan}],
)
def test_what_cannot_be_made_is_said(arguments):
    with pytest.raises(DataError, match=r"\.$"):
        make(**arguments)


def test_extreme_radii_end():
    """The smallest leaves over the largest range: 256² pixels all covered."""
    assert canvas(256, 0.5, 512.0, np.random.default_rng(0)).shape == (256, 256)
