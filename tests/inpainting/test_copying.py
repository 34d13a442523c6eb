"""Copying detail: from the right places, from many, coherently; and joined as the least squares solution joins it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dpm_core.inpainting.blending import CONTRADICTION, LIMIT, PULL, blend
from dpm_core.inpainting.copying import CopyConfig, copy_finer, nearest_sources
from dpm_core.inpainting.patches import PatchError, whole_windows


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiled(H, W, period=6, channels=2):
    """Noise that repeats itself every ``period`` pixels."""
    tile = noise(channels, period, period)
    return tile.repeat(1, -(-H // period), -(-W // period))[:, :H, :W]


def box(H, W, top, left, height, width):
    missing = torch.zeros(H, W, dtype=torch.bool)
    missing[top : top + height, left : left + width] = True
    return missing


def moved(hole, offsets):
    """Flat places of the sources of the missing pixels."""
    i, j = hole.nonzero(as_tuple=True)
    return (i + offsets[0][hole]) * hole.shape[1] + j + offsets[1][hole]


@pytest.mark.parametrize("place", [(10, 12, 7, 9), (0, 0, 8, 8), (25, 20, 7, 16)])  # in the middle, in two corners
def test_a_repeating_pattern_is_copied_from_its_repetitions(place):
    """With the true pattern in the hole, every source holds the very same pixels and is known."""
    image, hole = tiled(32, 36), box(32, 36, *place)
    offsets = nearest_sources(image * ~hole, hole, image)
    assert torch.equal(offsets % 6, torch.zeros_like(offsets)) and not offsets[:, ~hole].any()
    places = moved(hole, offsets)
    assert not hole.flatten()[places].any()
    assert torch.equal(image.flatten(1)[:, places], image[:, hole])


def test_nearest_sources_are_the_nearest_by_brute_force():
    """One round without a price, without sweeps, all candidates: the nearest of all known windows of 3 × 3."""
    image, hole, filled = noise(1, 14, 15), box(14, 15, 5, 6, 4, 4), noise(1, 14, 15, seed=1)
    offsets = nearest_sources(image, hole, filled, CopyConfig(side=3, reuse=0.0, sweeps=0))
    whole = torch.where(hole, filled, image)[0]
    corners = [divmod(int(c), 15) for c in whole_windows(hole, 3)]
    for i, j in hole.nonzero().tolist():
        own = whole[i - 1 : i + 2, j - 1 : j + 2]
        best = min(corners, key=lambda c: float((image[0, c[0] : c[0] + 3, c[1] : c[1] + 3] - own).square().sum()))
        assert (int(offsets[0, i, j]), int(offsets[1, i, j])) == (best[0] + 1 - i, best[1] + 1 - j)


def test_a_window_that_many_want_becomes_expensive():
    """Noise with one smooth window, and a smooth hole: without a price half of the hole comes from that window, with one a few pixels."""
    image, hole = noise(1, 48, 48), box(48, 48, 20, 20, 12, 12)
    image[:, 3:8, 3:8] *= 0.2
    uses = []
    for reuse in (0.0, 1.0):
        config = CopyConfig(side=5, reuse=reuse, sweeps=0, nearest=500)
        places = moved(hole, nearest_sources(image, hole, 0.1 * noise(1, 48, 48, seed=3), config))
        uses.append(int(torch.bincount(places).max()))
    assert uses[0] > 60 and uses[1] < 15


def test_sweeps_make_neighbours_copy_from_neighbours():
    """Pairs of neighbours that share an offset become many more, and no window gets further away than coherence allows."""
    image, hole, filled = noise(3, 40, 40), box(40, 40, 14, 14, 12, 12), noise(3, 40, 40, seed=2)

    def pairs(offsets):
        inside = offsets[:, 14:26, 14:26]
        return int((inside[:, 1:] == inside[:, :-1]).all(0).sum() + (inside[:, :, 1:] == inside[:, :, :-1]).all(0).sum())

    before, after = (pairs(nearest_sources(image, hole, filled, CopyConfig(reuse=0.0, sweeps=k))) for k in (0, 4))
    assert after > before + 60
    strict = pairs(nearest_sources(image, hole, filled, CopyConfig(reuse=0.0, sweeps=4, coherence=0.0)))
    assert strict < after


@pytest.mark.parametrize("size", [(48, 60), (47, 59)])
def test_a_finer_level_gets_its_detail_from_the_picture(size):
    """A pattern of period 12 whose coarse version has period 6: the finer completion is the pattern itself, and what is known stays."""
    H, W = size
    fine, hole = tiled(H, W, 12), box(H, W, 18, 20, 14, 16)
    shrink = torch.nn.functional.interpolate
    coarse = shrink(fine[None], size=[(H + 1) // 2, (W + 1) // 2], mode="area")
    coarse_hole = shrink(hole[None, None].float(), size=list(coarse.shape[2:]), mode="area")[0, 0] > 0
    given = fine * ~hole + 99 * hole  # what is under the hole must not matter
    out = copy_finer(coarse[0] * ~coarse_hole, coarse_hole, given, hole, coarse)
    assert torch.equal(out[0][:, ~hole], fine[:, ~hole])
    error = (out[0] - fine)[:, hole].square().mean().sqrt()
    assert float(error) < (1e-2 if size == (48, 60) else 0.35)  # an odd picture has no exact coarse version


def test_without_a_known_window_there_is_nothing_to_copy():
    image, hole = noise(1, 9, 9), torch.ones(9, 9, dtype=torch.bool)
    hole[:2] = False
    with pytest.raises(PatchError, match="No window of 3 × 3 pixels is fully known"):
        nearest_sources(image, hole, image)


def reference(image, hole, offsets, start):
    """The same minimisation, edge by edge, by NumPy's least squares."""
    picture, known, begin = image.numpy().astype(float), ~hole.numpy(), start.numpy().astype(float)
    H, W = known.shape
    cells = [tuple(c) for c in np.argwhere(~known)]
    order = {c: k for k, c in enumerate(cells)}

    def pixel(i, j):
        return picture[:, i, j] if 0 <= i < H and 0 <= j < W and known[i, j] else None

    source = {c: (c[0] + int(offsets[0][c]), c[1] + int(offsets[1][c])) for c in cells}
    copied = {c: (begin[:, c[0], c[1]] if pixel(*source[c]) is None else pixel(*source[c])) for c in cells}

    def step(p, down, across):
        """The gradient x_p − x_q in the source of p, or None."""
        a, b = pixel(*source[p]), pixel(source[p][0] + down, source[p][1] + across)
        return None if a is None or b is None else a - b

    rows, right = [], []

    def equation(weight, entries, value):
        row = np.zeros(len(cells))
        for cell, sign in entries:
            row[order[cell]] = sign
        rows.append(np.sqrt(weight) * row)
        right.append(np.sqrt(weight) * value)

    for p in cells:
        equation(PULL, [(p, 1)], copied[p])
        for down, across in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            q = (p[0] + down, p[1] + across)
            mine = step(p, down, across)
            if q in order:
                if (down, across) in ((0, -1), (-1, 0)):
                    continue  # every pair once
                back = step(q, -down, -across)
                theirs = None if back is None else -back
                options = [g for g in (mine, theirs) if g is not None] or [copied[p] - copied[q]]
                a, b = options[0], options[-1]
                mean = (a + b) / 2
                length = np.sqrt((np.square(a).sum() + np.square(b).sum()) / 2) / (np.sqrt(np.square(mean).sum()) + 1e-9)
                equation(1 / (1 + np.square(a - b).mean() / CONTRADICTION**2), [(p, 1), (q, -1)], mean * min(length, LIMIT))
            elif pixel(*q) is not None and mine is not None:
                contradiction = pixel(*q) - (copied[p] - mine)
                equation(1 / (1 + np.square(contradiction).mean() / CONTRADICTION**2), [(p, 1)], pixel(*q) + mine)
    found = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return cells, found


@pytest.mark.parametrize("place", [(3, 4, 4, 3), (0, 0, 3, 5)])
def test_blending_is_the_least_squares_solution(place):
    """Random offsets, some of which lead outside or into the hole: equal to an independent solution to 1e-5."""
    image, hole, start = noise(2, 10, 12), box(10, 12, *place), noise(2, 10, 12, seed=4)
    generator = torch.Generator().manual_seed(5)
    offsets = torch.randint(-5, 6, (2, 10, 12), generator=generator) * hole
    out = blend(image * ~hole, hole, offsets, start)
    cells, found = reference(image, hole, offsets, start)
    assert torch.equal(out[:, ~hole], image[:, ~hole])
    ours = np.array([out[:, i, j].numpy() for i, j in cells])
    assert np.abs(ours - found).max() < 1e-5


def test_a_slope_goes_on_through_the_hole():
    """Texture on a slope, copied from 18 pixels away where it is 0.9 brighter: the gradients are right, and so is the result."""
    W = 48
    image = 0.3 * tiled(24, W, 6, 1) + 0.05 * torch.arange(W)
    hole, offsets = box(24, W, 8, 10, 8, 8), torch.zeros(2, 24, W, dtype=torch.long)
    offsets[1][hole] = 18
    plain = image.clone()
    plain[:, hole] = image.roll(-18, 2)[:, hole]
    errors = [float((x - image)[:, hole].abs().max()) for x in (plain, blend(image, hole, offsets, image))]
    assert errors[0] == pytest.approx(0.9, abs=1e-4) and errors[1] < 0.06  # what PULL leaves of it


def test_one_objects_colour_does_not_flow_into_another():
    """Dark copies beside a bright wall of three standard deviations: most of the hole stays dark."""
    image = torch.zeros(1, 20, 20)
    image[:, :, 12:] = 30.0
    hole, offsets = box(20, 20, 7, 6, 6, 6), torch.zeros(2, 20, 20, dtype=torch.long)
    offsets[1][hole] = -6
    assert float(blend(image, hole, offsets, image)[:, hole].max()) < 1.0


def test_every_pair_of_sources_is_symmetric():
    """Turning the picture turns the result: no direction is preferred."""
    image, hole = noise(1, 12, 12), box(12, 12, 4, 4, 4, 4)
    offsets = torch.randint(-4, 5, (2, 12, 12), generator=torch.Generator().manual_seed(7)) * hole
    plain = blend(image, hole, offsets, image)
    turned = blend(image.flip(1, 2), hole.flip(0, 1), -offsets.flip(1, 2), image.flip(1, 2)).flip(1, 2)
    assert torch.allclose(plain, turned, atol=1e-6)


def test_a_dense_texture_stays_sharp():
    """Noise of one pixel: what is copied keeps most of the gradient, where an average of windows would lose it."""
    from dpm_core.inpainting.patch_filling import fill_by_patches

    picture = np.random.default_rng(0).integers(60, 196, (96, 96)).astype(np.uint8)
    missing = np.zeros((96, 96), bool)
    missing[30:62, 30:62] = True
    *_, end = fill_by_patches(np.where(missing, 0, picture).astype(np.uint8), missing, seed=1)
    steps = [np.abs(np.diff(p.astype(float), axis=a))[31:60, 31:60].mean() for p, a in itertools.product((end.guess[0], picture), (0, 1))]
    assert steps[0] > 0.8 * steps[2] and steps[1] > 0.8 * steps[3]
