"""A network of one picture alone, hole and all: the cuts it can learn from, and how it is trained on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import DataConfig, RunConfig
from dpm_core.data.images import ImageDataset, from_pools
from dpm_core.data.sources import live_run
from dpm_core.inpainting.model_filling import InpaintingError, check_mask
from dpm_core.inpainting.patches import whole_windows
from dpm_core.jobs import Job

CROP_SIDES = (32, 24, 16, 8)  # of the cuts, pixels: the first of which there are enough
MIN_CROPS, MAX_CROPS = 64, 4000  # cuts
BATCH = 16
HELD_OUT = 0.1  # of the cuts, drawn at random: they share pixels with the others, so K there is not that of another picture


def known_crops(picture: np.ndarray, missing: np.ndarray, seed: int = 0) -> ImageDataset:
    """Square cuts of a picture, uint8 ``[H, W]`` or ``[H, W, 3]``, that hold none of the pixels ``missing``, bool ``[H, W]``.

    At most MAX_CROPS of them, drawn once by ``seed``. Raises InpaintingError where the mask does not fit or too few are whole.
    """
    check_mask(picture, missing)
    hole, pixels = torch.from_numpy(missing), picture.reshape(*missing.shape, -1)
    for side in CROP_SIDES:
        corners = whole_windows(hole, side).numpy()
        if len(corners) >= MIN_CROPS:
            break
    else:
        raise InpaintingError("Too little is known in one piece for a network to learn from; paint less, or fill with patches.")
    chosen = np.random.default_rng(seed).permutation(len(corners))[:MAX_CROPS]
    width = missing.shape[1]
    places = [(corners[k] // width, corners[k] % width) for k in chosen]
    cuts = np.stack([pixels[i : i + side, j : j + side] for i, j in places]).transpose(0, 3, 1, 2)
    held = max(2, round(HELD_OUT * len(cuts)))
    return from_pools("image", "Your own image", cuts[held:], cuts[:held])


def crop_run_config(dataset: ImageDataset, seed: int) -> RunConfig:
    """How such a network is trained: as on the Train page, in smaller batches, with no end set in advance."""
    data = DataConfig("image", params=(("size", dataset.shape[1]),))
    usual = live_run(dataset, data)
    return replace(usual, training=replace(usual.training, batch=BATCH, steps=1_000_000, decay="none", seed=seed))


def checkpoint_of_job(job: Job, dataset: ImageDataset) -> Checkpoint:
    """What a job's network is by now, to fill with or to train on from."""
    return Checkpoint(job.config.name, job.weights(), job.config.run, dataset.spec, {"steps": job.step})
