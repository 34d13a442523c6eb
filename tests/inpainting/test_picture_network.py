"""A network of one picture: it never sees the hole, and every error is one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import from_dict, to_dict
from dpm_core.inpainting.model_filling import InpaintingError, fill_by_model, incompatibility
from dpm_core.inpainting.patch_filling import PatchConfig, fill_by_patches
from dpm_core.inpainting.picture_network import MAX_CROPS, MIN_CROPS, crop_run_config, known_crops
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule

QUICK = PatchConfig(steps=8, finer_steps=5, candidates=400, draws=2)


def marked(H=80, W=96, colour=True):
    """A picture whose missing pixels are all 255 and whose known ones never are."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 200, (H, W, 3) if colour else (H, W)).astype(np.uint8)
    missing = np.zeros((H, W), bool)
    missing[30:40, 50:60] = True
    picture[missing] = 255
    return picture, missing


@pytest.mark.parametrize("colour", [True, False])
def test_no_cut_holds_a_missing_pixel(colour):
    picture, missing = marked(colour=colour)
    data = known_crops(picture, missing)
    assert data.shape == (3 if colour else 1, 32, 32) and MIN_CROPS <= len(data.train) + len(data.held_out) <= MAX_CROPS
    assert int(data.train.max()) < 200 and int(data.held_out.max()) < 200
    first = data.train[0].numpy().transpose(1, 2, 0)
    windows = np.lib.stride_tricks.sliding_window_view(picture.reshape(80, 96, -1), (32, 32), (0, 1))
    assert (windows.transpose(0, 1, 3, 4, 2) == first).all((2, 3, 4)).sum() == 1, "it is a cut of the picture"


def test_cuts_shrink_with_the_picture_and_too_little_is_refused():
    picture, missing = marked(24, 24, False)
    missing[:] = False
    missing[10:14, 10:14] = True
    assert known_crops(picture, missing).shape == (1, 8, 8)
    missing[2:22, 2:22] = True
    with pytest.raises(InpaintingError, match="Fewer than 64 crops of 8 × 8 pixels"):
        known_crops(picture, missing)
    with pytest.raises(InpaintingError, match="No pixel is marked as missing"):
        known_crops(picture, np.zeros((24, 24), bool))


def untrained(picture, missing):
    data = known_crops(picture, missing)
    run = crop_run_config(data, 3)
    assert from_dict(type(run), to_dict(run)) == run and run.training.decay == "none"
    diffusion = GaussianDiffusion(make_schedule(run.schedule.name, run.schedule.T, **dict(run.schedule.params)))
    return Checkpoint("own", build_model(run.network, diffusion, data.shape, 3).eval(), run, data.spec)


def test_it_fills_the_whole_picture_and_helps_the_patches():
    """It fits pictures larger than its cuts; with patches it changes what they make, at the finest level alone."""
    picture, missing = marked()
    own = untrained(picture, missing)
    assert incompatibility(own.config, own.shape, picture) == ""
    *_, alone = fill_by_model(own, picture, missing, steps=4)
    *_, patches = fill_by_patches(picture, missing, 1, 5, QUICK)
    *_, both = fill_by_patches(picture, missing, 1, 5, QUICK, own)
    for end in (alone, patches, both):
        assert np.array_equal(end.guess[0][~missing], picture[~missing])
    assert not np.array_equal(patches.guess, both.guess)
    other = Checkpoint("grey", own.model, own.config, known_crops(picture[..., 0].copy(), missing).spec)
    with pytest.raises(InpaintingError, match=r"grey does not suit this picture\. It is a model of grey pictures"):
        next(fill_by_patches(picture, missing, 1, 5, QUICK, other))
