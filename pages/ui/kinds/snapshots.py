"""Snapshots of a run as a stage of the player, the same for every kind: samples from the same noise at every training step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dpm_core.figures.rasters import frame_numbers
from dpm_core.process import Chain, from_noise, noise_like
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import Recording, record
from dpm_core.training.snapshots import FRAMES, sample_from_fixed_noise
from pages.ui.kinds.records import Version

BYTES = 2_600_000  # of one panel's particles or pixels: a message that is sent again with every snapshot must stay small
CAPTION = (
    "Drag the training step: every version starts from the same noise, so each difference is something that the network has learned. "
    "Drag t to see at which times of the chain it matters. "
)


def sample(kernel: ReverseKernel, shape: tuple[int, ...], n: int, steps: int, seed: int) -> Recording:
    """The samples that a job's snapshots show: the same noise, the same frames."""
    steps = min(steps, kernel.diffusion.T)
    x_T = kernel.diffusion.start((n, *shape), torch.Generator().manual_seed(seed))
    return record(sample_from_fixed_noise(kernel, kernel.diffusion, x_T, steps, seed), steps + 1, FRAMES)


def reduced(
    versions: Sequence[Version], times: Sequence[int], most: int, item_bytes: float
) -> tuple[list[Version], list[int], np.ndarray, int]:
    """Versions, times, frame numbers and the number of items that fit the message: first fewer frames, then fewer versions.

    ``most``: items shown at most, each of ``item_bytes``.
    """
    n = min(most, *(version.frames.shape[1] for version in versions))
    frames = len(times)
    while frames > 6 and frames * n * item_bytes * min(len(versions), 20) > BYTES:
        frames = frames // 2 + 1
    count = max(2, int(BYTES // (frames * n * item_bytes)))
    kept = frame_numbers(len(times), frames)
    return [versions[i] for i in frame_numbers(len(versions), count)], [int(times[i]) for i in kept], kept, n


def stacked(versions: Sequence[Version], frames: np.ndarray, n: int) -> np.ndarray:
    """The states of all versions, ``[S, F, n, ...]``."""
    return np.stack([version.frames[frames][:, :n] for version in versions])


def noised(data: Tensor, times: Sequence[int], diffusion: Chain) -> np.ndarray:
    """Data at each time, one noise per datum so that it changes smoothly, ``[F, n, ...]``."""
    noise = noise_like(diffusion.q_marginal(data, diffusion.T), torch.Generator().manual_seed(5))
    return np.stack([(from_noise(diffusion.q_marginal(data, t), noise) if t else data).numpy() for t in times])
