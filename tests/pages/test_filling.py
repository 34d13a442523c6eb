"""Holes filled in a thread: completions one by one, stopping, errors in one sentence, scores."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dpm_core import checkpoints
from dpm_core.data.images import make_images
from pages.ui.inpainting.filling import Filling, FillTask, biharmonic, score
from pages.ui.inpainting.picture_network import PictureNetwork


def stripes(side=48):
    i, j = np.mgrid[:side, :side]
    return (((i + j) // 6 % 2) * 150 + 50).astype(np.uint8)


def hole(side=48, size=10):
    missing = np.zeros((side, side), bool)
    missing[15 : 15 + size, 20 : 20 + size] = True
    return missing


def test_completions_come_one_after_the_other():
    picture, missing = stripes() + np.random.default_rng(0).integers(0, 9, (48, 48), dtype=np.uint8), hole()
    filling = Filling(FillTask(picture, missing, 2, 1))
    counts, shares = set(), []
    while not filling.wait(0.01):
        counts.add(len(filling.done))
        shares.append(filling.share)
    assert len(filling.done) == 2 and counts >= {0, 1} and shares == sorted(shares) and filling.share == 1
    assert not filling.running and not filling.busy and not filling.problem and filling.calls > 20
    assert not np.array_equal(*filling.done)
    for one in [*filling.done, filling.baseline]:
        assert one.dtype == np.uint8 and np.array_equal(one[~missing], picture[~missing])
    assert score(picture, filling.done[0], missing).psnr > score(picture, filling.baseline, missing).psnr


def test_a_model_fills_all_at_once():
    digits = make_images("digits").held_out[0, 0].numpy()
    missing = np.zeros((8, 8), bool)
    missing[5:] = True
    filling = Filling(
        FillTask(digits, missing, 3, 0, checkpoints.load("digits_unet"), {"rule": "repaint", "steps": 8, "jump": 2, "resamplings": 2})
    )
    assert filling.wait(60) and len(filling.done) == 3 and filling.calls > 8


def test_stopping_keeps_what_is_finished():
    filling = Filling(FillTask(stripes(), hole(), 4, 1))
    end = time.monotonic() + 60
    while len(filling.done) < 1 and time.monotonic() < end:
        time.sleep(0.01)
    filling.stop()
    assert filling.wait(10) and not filling.running and 1 <= len(filling.done) < 4 and filling.baseline is None


def test_an_error_is_one_sentence():
    picture = stripes()
    filling = Filling(FillTask(picture, np.zeros_like(picture, bool), 1, 1))
    assert filling.wait(10) and filling.problem == "No pixel is marked as missing; paint the region to fill." and not filling.running
    filling = Filling(FillTask(picture, hole(), 1, 1, checkpoints.load("mnist_unet")))
    assert filling.wait(10) and "does not suit this picture" in filling.problem


@pytest.mark.parametrize("side", [8, 40])
def test_scores_by_hand(side):
    """PSNR inside the hole only, by its formula; SSIM 1 for the truth itself."""
    truth, missing = np.full((side, side), 100, np.uint8), np.zeros((side, side), bool)
    truth[::2] = 140
    missing[2:5, 2:5] = True
    found = truth.copy()
    found[missing] += 10
    assert score(truth, found, missing).psnr == pytest.approx(10 * np.log10(255**2 / 100))
    assert score(truth, truth.copy(), missing).ssim == pytest.approx(1) and score(truth, found, missing).ssim < 0.99999


def test_the_baseline_is_smooth():
    """A ramp goes on as a ramp: the biharmonic equation reproduces it to a level."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8) * 3, (60, 60)).copy()
    missing = hole(60, 12)
    spoiled = np.where(missing, 0, ramp).astype(np.uint8)
    assert int(np.abs(biharmonic(spoiled, missing).astype(int) - ramp).max()) <= 1
    colour = np.stack([spoiled, spoiled, spoiled], -1)
    assert np.array_equal(biharmonic(colour, missing)[..., 1], biharmonic(spoiled, missing))


def test_stopping_during_training_keeps_the_network():
    network = PictureNetwork(stripes(96), hole(96), 60, 0)
    filling = Filling(FillTask(stripes(96), hole(96), 1, 0, network=network))
    end = time.monotonic() + 60
    while network.job.step < 3 and time.monotonic() < end:
        time.sleep(0.02)
    filling.stop()
    assert filling.wait(20) and filling.training and not filling.done and not filling.problem
    network.job.join(20)
    more = PictureNetwork(stripes(96), hole(96), 61, 0, network)
    assert more.spent >= network.spent > 0 and more.dataset is network.dataset
    more.job.stop()
    assert network.can_fill(stripes(96), hole(96, 5)) and not network.can_fill(stripes(96), hole(96, 20))
    assert not network.can_fill(255 - stripes(96), hole(96))
