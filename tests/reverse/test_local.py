"""The local kernel against the exact kernel of whole images, and against the sum over patches written out."""

from __future__ import annotations

import pytest
import torch

from dpm_core.measure.locality import fit_sides, sides_for, squared_correlation
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, LocalReverse
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("cosine", 20))


def images(n, channels=1, height=6, width=5, seed=0):
    return torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("t", [3, 12, 20])
def test_patches_that_cover_the_image_give_the_exact_kernel(channels, t):
    """Mean and variance to 1e-9; the time is one number or the same for every datum."""
    data = images(40, channels)
    x = DIFFUSION.q_sample(images(7, channels, seed=1), t, torch.Generator().manual_seed(2))
    local, exact = LocalReverse(data, DIFFUSION, {10: 13}), EmpiricalReverse(data, DIFFUSION)
    for ours, wanted in zip(local.x0_posterior(x, torch.full((7,), t)), exact.x0_posterior(x, t)):
        assert torch.allclose(ours, wanted, atol=1e-9)


def by_hand(data, x, t, side, shift):
    """The mean of the centres of all candidates, patch by patch; beyond the edges a patch has no values."""
    a, noise = float(DIFFUSION.schedule.alpha_bar(t)) ** 0.5, float(DIFFUSION.schedule.noise(t))
    n, _, height, width = x.shape
    reach, out = side // 2, torch.zeros_like(x)

    def patch(image, i, j):
        return {
            (u, v): image[:, i + u, j + v]
            for u in range(-reach, reach + 1)
            for v in range(-reach, reach + 1)
            if 0 <= i + u < height and 0 <= j + v < width
        }

    for k in range(n):
        for i in range(height):
            for j in range(width):
                mine, logits, centres = patch(x[k], i, j), [], []
                for y in data:
                    for di in range(-shift, shift + 1):
                        for dj in range(-shift, shift + 1):
                            if not (0 <= i + di < height and 0 <= j + dj < width):
                                continue
                            theirs = patch(y, i + di, j + dj)
                            if theirs.keys() != mine.keys():
                                continue
                            logits.append(-sum(float((mine[p] - a * theirs[p]).square().sum()) for p in mine) / (2 * noise))
                            centres.append(y[:, i + di, j + dj])
                weights = torch.softmax(torch.tensor(logits, dtype=torch.float64), 0)
                out[k, :, i, j] = weights @ torch.stack(centres)
    return out


@pytest.mark.parametrize(("side", "shift", "channels"), [(1, 0, 1), (3, 0, 3), (3, 1, 1), (5, 2, 2)])
def test_the_sum_over_patches(side, shift, channels):
    """Every candidate and only those: to 1e-9, at the edges and corners as well."""
    data = images(4, channels)
    x = DIFFUSION.q_sample(images(2, channels, seed=1), 8, torch.Generator().manual_seed(2))
    found = LocalReverse(data, DIFFUSION, {8: side}, shift).x0_posterior(x, 8)[0]
    assert torch.allclose(found, by_hand(data, x, 8, side, shift), atol=1e-9)


def test_blocks_do_not_change_the_answer(monkeypatch):
    data, x = images(50), images(3, seed=1)
    kernel = LocalReverse(data, DIFFUSION, {8: 3}, 1)
    whole = kernel.x0_posterior(x, 8)
    monkeypatch.setattr("dpm_core.reverse.empirical_local.BLOCK_ELEMENTS", 400)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(whole, kernel.x0_posterior(x, 8)))


def test_the_side_of_the_nearest_time_is_used():
    kernel = LocalReverse(images(2), DIFFUSION, {2: 1, 10: 3, 18: 7})
    assert [kernel.side(t) for t in (1, 5, 7, 13, 20)] == [1, 1, 3, 3, 7]


@pytest.mark.parametrize(
    ("data", "sides", "shift", "sentence"),
    [
        (torch.zeros(3, 2), {1: 3}, 0, "needs images"),
        (images(2), {1: 4}, 0, "must be odd"),
        (images(2), {}, 0, "must be odd"),
        (images(2), {1: 3}, -1, "0 pixels or more"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(data, sides, shift, sentence):
    with pytest.raises(ValueError, match=sentence):
        LocalReverse(data, DIFFUSION, sides, shift)


def test_the_fit_finds_the_patches_of_a_local_kernel():
    """A "network" that is itself a local kernel is found at its own side, with error 0."""
    data, held_out = images(30), images(3, seed=5)
    network = LocalReverse(data, DIFFUSION, {3: 3, 12: 5})

    def make(sides):
        return LocalReverse(data, DIFFUSION, sides)

    found = list(fit_sides(network, DIFFUSION, make, held_out, [3, 12], [1, 3, 5, 9], torch.Generator().manual_seed(0)))
    assert [(t, side) for t, side, _ in found] == [(3, 3), (12, 5)]
    assert found[0][2][1] == pytest.approx(0, abs=1e-12) and min(found[0][2][0], found[0][2][2]) > 1e-6


def test_squared_correlation():
    """As NumPy has it; 1 for a multiple with an offset, 0 for a constant."""
    a, b = images(4), images(4, seed=9)
    wanted = [float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) ** 2 for x, y in zip(a, b)]
    assert torch.allclose(squared_correlation(a, b), torch.tensor(wanted, dtype=torch.float64))
    assert torch.allclose(squared_correlation(a, 3 - 2 * a), torch.ones(4, dtype=torch.float64))
    assert torch.equal(squared_correlation(a, torch.ones_like(a)), torch.zeros(4, dtype=torch.float64))


def test_sides_reach_from_a_pixel_to_the_whole_image():
    assert sides_for((8, 8)) == [1, 3, 5, 9, 13, 17] and sides_for((28, 28))[-1] == 33
    assert sides_for((8, 8), inside=True) == [1, 3, 5, 7] and sides_for((28, 28), inside=True)[-1] == 25
    assert all(side % 2 for side in sides_for((32, 20)))
