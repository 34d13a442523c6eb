"""A network trained on a single picture with a hole: its training crops and its training run."""

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

CROP_SIDES = (32, 24, 16, 8)  # in pixels: the first size with enough crops is used
MIN_CROPS, MAX_CROPS = 64, 4000
BATCH = 16
HELD_OUT = 0.1  # of the crops, at random: they overlap with training crops, so K does not measure generalisation


def known_crops(picture: np.ndarray, missing: np.ndarray, seed: int = 0) -> ImageDataset:
    """Return square crops of a picture, uint8 ``[H, W]`` or ``[H, W, 3]``, without any pixel of ``missing``, bool ``[H, W]``.

    At most MAX_CROPS, drawn once by ``seed``. Raises InpaintingError where the mask does not fit or too few crops are fully known.
    """
    check_mask(picture, missing)
    hole, pixels = torch.from_numpy(missing), picture.reshape(*missing.shape, -1)
    for side in CROP_SIDES:
        corners = whole_windows(hole, side).numpy()
        if len(corners) >= MIN_CROPS:
            break
    else:
        raise InpaintingError(
            f"Fewer than {MIN_CROPS} crops of {side} × {side} pixels are fully known, too few to train a network; "
            "paint a smaller hole, or fill with patches."
        )
    chosen = np.random.default_rng(seed).permutation(len(corners))[:MAX_CROPS]
    width = missing.shape[1]
    places = [(corners[k] // width, corners[k] % width) for k in chosen]
    crops = np.stack([pixels[i : i + side, j : j + side] for i, j in places]).transpose(0, 3, 1, 2)
    held = max(2, round(HELD_OUT * len(crops)))
    return from_pools("image", "Your own image", crops[held:], crops[:held])


def crop_run_config(dataset: ImageDataset, seed: int) -> RunConfig:
    """Return the config of the training run: as on the Train page, with smaller batches and without a fixed end."""
    data = DataConfig("image", params=(("size", dataset.shape[1]),))
    usual = live_run(dataset, data)
    return replace(usual, training=replace(usual.training, batch=BATCH, steps=1_000_000, decay="none", seed=seed))


def checkpoint_of_job(job: Job, dataset: ImageDataset) -> Checkpoint:
    """Return the job's network in its present state as a checkpoint, to fill with or to continue training from."""
    return Checkpoint(job.config.name, job.weights(), job.config.run, dataset.spec, {"steps": job.step})
