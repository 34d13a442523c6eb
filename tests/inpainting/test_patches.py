"""The exact kernel of an image's own patches: brute force, its limits, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from dpm_core.inpainting.patches import LocalPatchReverse, PatchError, nearest_patch_distance, whole_windows
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 40))


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hole(H, W, rows, columns):
    missing = torch.zeros(H, W, dtype=torch.bool)
    missing[rows, columns] = True
    return missing


def brute(images, xt, t, missing, side, trust=None, tolerance=0.0):
    """Every missing pixel by itself: all wholly known windows, their likelihoods, the weighted mean and variance."""
    a, v = DIFFUSION.schedule.alpha_bar(t).sqrt(), DIFFUSION.schedule.noise(t)
    (n, _, H, W), mean = xt.shape, images[:1].expand_as(xt).clone()
    variance = torch.zeros_like(mean)
    corners = [(i, j) for i in range(H - side + 1) for j in range(W - side + 1)]
    known = [y[:, i : i + side, j : j + side] for y in images for i, j in corners if not missing[i : i + side, j : j + side].any()]
    for k in range(n):
        for i, j in missing.nonzero().tolist():
            top, left = min(max(i - side // 2, 0), H - side), min(max(j - side // 2, 0), W - side)
            seen = xt[k, :, top : top + side, left : left + side]
            logits = torch.stack([-0.5 * (seen - a * y).square().sum() / v for y in known])
            if trust is not None:
                noisy = missing[top : top + side, left : left + side]
                there = images[0, :, top : top + side, left : left + side]
                certain = trust**2 * v / a**2 + tolerance**2
                apart = [((seen - a * y).square() / v * noisy).sum() + ((there - y).square() / certain * ~noisy).sum() for y in known]
                logits = -0.5 * torch.stack(apart)
            weights = torch.softmax(logits, 0)
            values = torch.stack([y[:, i - top, j - left] for y in known])
            mean[k, :, i, j] = weights @ values
            variance[k, :, i, j] = weights @ values.square() - (weights @ values).square()
    return mean, variance


@pytest.mark.parametrize("t", [1, 15, 40])
@pytest.mark.parametrize("colours, side", [(1, 3), (3, 3), (2, 5)])
def test_the_moments_are_those_of_all_windows(colours, side, t):
    """Two draws, holes inside and at the border, to 1e-9; not so with a window of another size."""
    images, xt = noise(1, colours, 9, 8), noise(2, colours, 9, 8, seed=1)
    missing = hole(9, 8, slice(0, 2), slice(0, 2)) | hole(9, 8, 7, 3)
    mean, variance = LocalPatchReverse(images, DIFFUSION, missing, patch=side).x0_posterior(xt, t)
    wanted = brute(images, xt, t, missing, side)
    assert torch.allclose(mean, wanted[0], atol=1e-9) and torch.allclose(variance, wanted[1].clamp(min=0), atol=1e-9)
    if t == 15:
        other = LocalPatchReverse(images, DIFFUSION, missing, patch=side - 2 or 1).x0_posterior(xt, t)[0]
        assert not torch.allclose(other, wanted[0], atol=1e-2)


@pytest.mark.parametrize("t", [10, 40])
def test_what_is_known_may_count_as_it_is(t):
    """Known pixels of a window compared noise-free with a variance of their own, by brute force to 1e-9."""
    images, xt = 0.2 * noise(1, 2, 9, 8), 0.5 * noise(2, 2, 9, 8, seed=1)
    missing = hole(9, 8, slice(3, 5), slice(3, 6))
    kernel = LocalPatchReverse(images, DIFFUSION, missing, patch=3, trust=0.5, tolerance=0.3)
    for found, wanted in zip(kernel.x0_posterior(xt, t), brute(images, xt, t, missing, 3, 0.5, 0.3)):
        assert torch.allclose(found, wanted, atol=1e-9)
    if t == 10:
        assert not torch.allclose(kernel.x0_posterior(xt, t)[0], brute(images, xt, t, missing, 3, 1.0, 0.3)[0], atol=1e-4)


@pytest.mark.parametrize("t", [1, 20, 40])
def test_a_window_as_large_as_the_image_is_the_empirical_kernel(t):
    """Six images, nothing known beforehand: mean and variance to 1e-9."""
    images, xt = noise(6, 2, 5, 5), 0.5 * noise(3, 2, 5, 5, seed=1)
    mean, variance = LocalPatchReverse(images, DIFFUSION, patch=5).x0_posterior(xt, t)
    wanted = EmpiricalReverse(images, DIFFUSION).x0_posterior(xt, t)
    assert torch.allclose(mean, wanted[0], atol=1e-9) and torch.allclose(variance, wanted[1], atol=1e-9)


def test_all_principal_components_are_exact_and_few_are_near():
    """25 numbers to a window: 25 components give the same means; 12 nearly, in an image that is smooth."""
    ramp = torch.linspace(0, 3, 14, dtype=torch.float64)
    images = (torch.sin(2 * ramp)[:, None] + torch.cos(3 * ramp))[None, None]
    missing, xt = hole(14, 14, slice(5, 9), slice(6, 9)), images + 0.3 * noise(1, 1, 14, 14)

    def means(**options):
        return LocalPatchReverse(images, DIFFUSION, missing, patch=5, **options).x0_posterior(xt, 12)[0]

    assert torch.allclose(means(rank=25), means(), atol=1e-9)
    assert float((means(rank=12) - means()).abs().max()) < 0.05 < float((means(rank=1) - means()).abs().max())


def test_candidates_are_drawn_once_by_the_generator():
    images, missing, xt = noise(1, 1, 20, 20), hole(20, 20, slice(8, 11), slice(8, 11)), noise(1, 1, 20, 20, seed=2)

    def means(seed):
        kernel = LocalPatchReverse(images, DIFFUSION, missing, 3, candidates=50, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(kernel.x0_posterior(xt, 10)[0], kernel.x0_posterior(xt, 10)[0])
        return kernel.x0_posterior(xt, 10)[0]

    assert torch.equal(means(1), means(1)) and not torch.equal(means(1), means(2))


def test_known_pixels_are_certain():
    images, missing = noise(1, 3, 12, 12), hole(12, 12, slice(4, 7), slice(4, 7))
    kernel = LocalPatchReverse(images, DIFFUSION, missing, 3)
    mean, variance = kernel.x0_posterior(noise(2, 3, 12, 12, seed=1), 30)
    assert torch.equal(mean[:, :, ~missing], images.expand(2, -1, -1, -1)[:, :, ~missing])
    assert float(variance[:, :, ~missing].abs().max()) == 0 < float(variance[:, :, missing].min()) and kernel.calls == 1
    assert torch.equal(kernel.last_x0_mean, mean)


def test_blocks_change_nothing(monkeypatch):
    """Seven weights at a time or all of them: the same to rounding."""
    images, missing, xt = noise(1, 1, 12, 12), hole(12, 12, slice(2, 7), slice(3, 8)), noise(1, 1, 12, 12, seed=1)
    whole = LocalPatchReverse(images, DIFFUSION, missing, 3).x0_posterior(xt, 20)
    monkeypatch.setattr("dpm_core.inpainting.patches.BLOCK_ELEMENTS", 7)
    for a, b in zip(whole, LocalPatchReverse(images, DIFFUSION, missing, 3).x0_posterior(xt, 20)):
        assert torch.allclose(a, b, atol=1e-12)


def test_the_window_may_depend_on_the_time():
    images, missing, xt = noise(1, 1, 11, 11), hole(11, 11, 5, 5), noise(1, 1, 11, 11, seed=1)
    kernel = LocalPatchReverse(images, DIFFUSION, missing, patch=lambda t: 5 if t > 20 else 3)
    for t, side in ((30, 5), (10, 3)):
        assert torch.equal(kernel.x0_posterior(xt, t)[0], LocalPatchReverse(images, DIFFUSION, missing, side).x0_posterior(xt, t)[0])


def test_whole_windows():
    missing = hole(5, 6, 2, 4)
    for side in (1, 2, 3, 5):
        wanted = [i * 6 + j for i in range(6 - side) for j in range(7 - side) if not missing[i : i + side, j : j + side].any()]
        assert whole_windows(missing, side).tolist() == wanted
    assert whole_windows(missing, 6).tolist() == []


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: LocalPatchReverse(noise(1, 8, 8), DIFFUSION), "shape"),
        (lambda: LocalPatchReverse(noise(0, 1, 8, 8), DIFFUSION), "m ≥ 1"),
        (lambda: LocalPatchReverse(noise(1, 1, 8, 8), DIFFUSION, hole(8, 9, 1, 1)), "mask has"),
        (lambda: LocalPatchReverse(noise(1, 1, 8, 8), DIFFUSION, patch=9).x0_posterior(noise(1, 1, 8, 8), 3), "larger than the image"),
        (lambda: LocalPatchReverse(noise(1, 1, 8, 8), DIFFUSION, hole(8, 8, 3, 3), 7).x0_posterior(noise(1, 1, 8, 8), 3), "fully known"),
    ],
)
def test_what_gives_no_patches_is_refused(make, words):
    with pytest.raises(PatchError, match=words):
        make()


def test_strangeness_is_the_distance_to_the_nearest_known_window():
    """Against every pair of windows one by one, to 1e-5; 0 for a hole that is filled with a copy of what is known."""
    generator = torch.Generator().manual_seed(9)
    images = torch.randn(2, 3, 11, 13, generator=generator)
    missing = torch.zeros(11, 13, dtype=torch.bool)
    missing[3:5, 5:8] = True
    found = nearest_patch_distance(images, missing, 3, 10_000)
    for image, value in zip(images, found):
        known, touched = [], []
        for i in range(9):
            for j in range(11):
                window = image[:, i : i + 3, j : j + 3]
                (touched if missing[i : i + 3, j : j + 3].any() else known).append(window)
        wanted = [min(float((w - k).square().mean()) for k in known) for w in touched]
        assert abs(float(value) - sum(wanted) / len(wanted)) < 1e-5
    tiled = torch.randn(1, 1, 4, 4, generator=generator).repeat(1, 1, 5, 5)
    missing = torch.zeros(20, 20, dtype=torch.bool)
    missing[8:10, 8:10] = True
    spoiled = torch.where(missing, 9.0, tiled)
    assert float(nearest_patch_distance(tiled, missing, 3, 10_000)) < 1e-6 < float(nearest_patch_distance(spoiled, missing, 3, 10_000))
    with pytest.raises(PatchError, match="fully known"):
        nearest_patch_distance(tiled, torch.ones(20, 20, dtype=torch.bool), 3, 100)
