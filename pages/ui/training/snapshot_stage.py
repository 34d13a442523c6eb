"""Snapshots of a run as a stage of the player: the same noise at every training step, beside the data. No Streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.bits import BitSpec
from dpm_core.data.images import ImageSpec
from dpm_core.figures.rasters import PLANE, frame_numbers, grid
from dpm_core.process import Chain, from_noise, noise_like
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import Recording, record
from dpm_core.training.snapshots import FRAMES, sample_from_fixed_noise
from pages.ui.components.player import Arrows, Images, Lines, Panel, Stage
from pages.ui.kinds.points import stages

BYTES = 2_600_000  # of one panel's particles or pixels: a message that is sent anew with every snapshot must stay light
POINTS = 1000
PICTURES = 16
ROWS = 64
ARROWS = 13  # a side: every version brings its own field
CAPTION = (
    "Drag the training step: every version starts from the same noise, so what changes is what the network has learned. "
    "Then drag t and see where in the chain the change comes about. "
)
PLANE_CAPTION = (
    "The [contours](contours) are where the data would be; the [drift](drift) is where the network sends a particle, "
    "and it bends from the middle towards the shape."
)
BIT_CAPTION = "How many bits are active is learned first; that they must agree with each other comes last, near the middle of the chain."
IMAGE_CAPTION = "Large shapes are learned first, far up the chain; strokes and grain come last, near t = 0."


class Version(NamedTuple):
    """The states of one training step: frames ``[F, n, ...]`` in standardised units, and the drift's ends ``[F, m, 2]`` where known."""

    label: str
    frames: np.ndarray
    drift: np.ndarray | None = None


def sample(kernel: ReverseKernel, shape: tuple[int, ...], n: int, steps: int, seed: int) -> Recording:
    """The samples that a job's snapshots show, from the same noise, the same frames."""
    steps = min(steps, kernel.diffusion.T)
    run = sample_from_fixed_noise(kernel, kernel.diffusion, kernel.diffusion.start((n, *shape), torch.Generator().manual_seed(seed)), steps, seed)
    return record(run, steps + 1, FRAMES)


def drift(kernel: ReverseKernel, times: Sequence[int]) -> np.ndarray:
    """Ends of the drift's arrows at each of the times, ``[F, m, 2]``."""
    return stages.drift(kernel, times, "drift", "drift", "model", ARROWS).end


def build(
    versions: Sequence[Version],
    times: Sequence[int],
    diffusion: Chain,
    data: Tensor,
    spec: ImageSpec | BitSpec | None = None,
    contours: Lines | None = None,
    label: str = "samples",
) -> Stage:
    """Samples at every training step beside real data at the same t.

    ``data`` ``[n, ...]``: standardised, at least as many as there are samples. ``spec``: how images become grey levels, and
    bits the rows of a raster; None for particles. ``contours``: the exact density, for particles.
    """
    kept, frames, n = _budget(versions, times, spec)
    chosen = [versions[i] for i in kept]
    stack = np.stack([version.frames[frames][:, :n] for version in chosen])
    moments = [int(times[i]) for i in frames]
    truth = _noised(data[:n], moments, diffusion)
    labels = [version.label for version in chosen]
    if spec is None:
        panels: tuple = (
            Panel("samples", label, "model", stack, "same noise", _layers(chosen, contours)),
            Panel("data", "data", "data", truth, "at the same t", (contours,) if contours else ()),
        )
    else:
        panels = (
            pictures("samples", label, "model", stack, spec, "same noise"),
            pictures("data", "data", "data", truth, spec, "at the same t"),
        )
    return Stage(
        panels=panels, times=moments, T=diffusion.T, lo=stages.LO, hi=stages.HI,
        caption=CAPTION + (PLANE_CAPTION if spec is None else BIT_CAPTION if isinstance(spec, BitSpec) else IMAGE_CAPTION),
        on=("contours",) if contours else (), duration=4.0, name="dpm-train", start=0, versions=labels,
    )  # fmt: skip


def pictures(id: str, label: str, role: str, x: np.ndarray, spec: ImageSpec | BitSpec, note: str) -> Images:
    """States ``[..., n, *shape]`` as a panel of images, or of bits."""
    if isinstance(spec, ImageSpec):
        return Images(id, label, role, grey(x, spec), note)
    pixels = x.astype(np.uint8)
    pixels = pixels[..., None, :, :] if len(spec.shape) == 1 else pixels[..., 0, :, :]
    return Images(id, label, role, pixels, note, bits=True)


def grey(x: np.ndarray, spec: ImageSpec | BitSpec) -> np.ndarray:
    """Standardised images ``[..., C, H, W]`` as uint8 ``[..., H, W]``, or ``[..., H, W, 3]`` in colour; a row of bits is one pixel high."""
    if isinstance(spec, BitSpec):
        levels = np.rint(255 * x).astype(np.uint8)
        return levels[..., None, :] if len(spec.shape) == 1 else levels[..., 0, :, :]
    lead = x.shape[:-3]
    pixels = spec.pixels(torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *spec.shape)).numpy()
    pixels = pixels[:, 0] if spec.shape[0] == 1 else np.moveaxis(pixels, 1, -1)
    return pixels.reshape(*lead, *pixels.shape[1:])


def _budget(versions: Sequence[Version], times: Sequence[int], spec: ImageSpec | BitSpec | None) -> tuple[list[int], list[int], int]:
    """Which versions, which frames and how many items fit the message: first fewer frames, then fewer versions."""
    n = min(version.frames.shape[1] for version in versions)
    n = min(n, POINTS if spec is None else ROWS if len(spec.shape) == 1 else PICTURES)
    item = 4 if spec is None else math.prod(spec.shape) / (8 if isinstance(spec, BitSpec) else 1)
    frames = len(times)
    while frames > 6 and frames * n * item * min(len(versions), 20) > BYTES:
        frames = frames // 2 + 1
    most = max(2, int(BYTES // (frames * n * item)))
    return frame_numbers(len(versions), most).tolist(), frame_numbers(len(times), frames).tolist(), n


def _layers(versions: Sequence[Version], contours: Lines | None) -> tuple:
    layers: list = [contours] if contours else []
    known = [version.drift for version in versions if version.drift is not None]
    if known:
        missing = np.full_like(known[0], np.nan)
        ends = np.stack([missing if version.drift is None else version.drift for version in versions])
        layers.append(Arrows("drift", "drift", "model", grid(ARROWS, 0.94 * PLANE), ends))
    return tuple(layers)


def _noised(data: Tensor, times: Sequence[int], diffusion: Chain) -> np.ndarray:
    """Data at each time, one noise per datum so that it changes smoothly, ``[F, n, ...]``."""
    noise = noise_like(diffusion.q_marginal(data, diffusion.T), torch.Generator().manual_seed(5))
    return np.stack([(from_noise(diffusion.q_marginal(data, t), noise) if t else data).numpy() for t in times])
