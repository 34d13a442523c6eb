"""Snapshots of a run as a stage of the player: the same noise at every training step, beside the data. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.images import ImageSpec
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.pictures import PLANE, frame_numbers, grid
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import ddim
from dpm_core.snapshots import FRAMES
from dpm_core.trajectory import Recording, record
from pages.shared import stages
from pages.shared.player import Arrows, Images, Lines, Panel, Stage

BYTES = 2_600_000  # of one panel's particles or pixels: a message that is sent anew with every snapshot must stay light
POINTS = 1000
PICTURES = 16
ARROWS = 13  # a side: every version brings its own field
CAPTION = (
    "Drag the training step: every version starts from the same noise, so what changes is what the network has learned. "
    "Then drag t and see where in the chain the change comes about. "
)
PLANE_CAPTION = (
    "The [contours](contours) are where the data would be; the [drift](drift) is where the network sends a particle, "
    "and it bends from the middle towards the shape."
)
IMAGE_CAPTION = "Large shapes are learned first, far up the chain; strokes and grain come last, near t = 0."


class Version(NamedTuple):
    """The states of one training step: frames ``[F, n, ...]`` in standardised units, and the drift's ends ``[F, m, 2]`` where known."""

    label: str
    frames: np.ndarray
    drift: np.ndarray | None = None


def sample(kernel: ReverseKernel, shape: tuple[int, ...], n: int, steps: int, seed: int) -> Recording:
    """The samples that a job's snapshots show: DDIM from the same noise, the same frames."""
    x_T = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    steps = min(steps, kernel.diffusion.T)
    return record(ddim(kernel, kernel.diffusion, x_T, steps=steps), steps + 1, FRAMES)


def drift(kernel: ReverseKernel, times: Sequence[int]) -> np.ndarray:
    """Ends of the drift's arrows at each of the times, ``[F, m, 2]``."""
    return stages.drift(kernel, times, "drift", "drift", "model", ARROWS).end


def build(
    versions: Sequence[Version],
    times: Sequence[int],
    diffusion: GaussianDiffusion,
    data: Tensor,
    spec: ImageSpec | None = None,
    contours: Lines | None = None,
    label: str = "samples",
) -> Stage:
    """Samples at every training step beside real data at the same t.

    ``data`` ``[n, ...]``: standardised, at least as many as there are samples. ``spec``: how images become grey levels;
    None for particles. ``contours``: the exact density, for particles.
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
            Images("samples", label, "model", grey(stack, spec), "same noise"),
            Images("data", "data", "data", grey(truth, spec), "at the same t"),
        )
    return Stage(
        panels=panels, times=moments, T=diffusion.T, lo=stages.LO, hi=stages.HI,
        caption=CAPTION + (PLANE_CAPTION if spec is None else IMAGE_CAPTION),
        on=("contours",) if contours else (), duration=4.0, name="dpm-train", start=0, versions=labels,
    )  # fmt: skip


def grey(x: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Standardised images ``[..., C, H, W]`` as uint8 ``[..., H, W]``, or ``[..., H, W, 3]`` in colour."""
    lead = x.shape[:-3]
    pixels = spec.pixels(torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *spec.shape)).numpy()
    pixels = pixels[:, 0] if spec.shape[0] == 1 else np.moveaxis(pixels, 1, -1)
    return pixels.reshape(*lead, *pixels.shape[1:])


def _budget(versions: Sequence[Version], times: Sequence[int], spec: ImageSpec | None) -> tuple[list[int], list[int], int]:
    """Which versions, which frames and how many items fit the message: first fewer frames, then fewer versions."""
    n = min(version.frames.shape[1] for version in versions)
    n = min(n, POINTS if spec is None else PICTURES)
    item = 4 if spec is None else int(np.prod(spec.shape))
    frames = len(times)
    while frames > 6 and frames * n * item * min(len(versions), 20) > BYTES:
        frames = frames // 2 + 1
    most = max(2, BYTES // (frames * n * item))
    return frame_numbers(len(versions), most).tolist(), frame_numbers(len(times), frames).tolist(), n


def _layers(versions: Sequence[Version], contours: Lines | None) -> tuple:
    layers: list = [contours] if contours else []
    known = [version.drift for version in versions if version.drift is not None]
    if known:
        missing = np.full_like(known[0], np.nan)
        ends = np.stack([missing if version.drift is None else version.drift for version in versions])
        layers.append(Arrows("drift", "drift", "model", grid(ARROWS, 0.94 * PLANE), ends))
    return tuple(layers)


def _noised(data: Tensor, times: Sequence[int], diffusion: GaussianDiffusion) -> np.ndarray:
    """Data at each time, one noise per datum so that it changes smoothly, ``[F, n, ...]``."""
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(5))
    kernels = [diffusion.q_marginal(data, t) if t else None for t in times]
    return np.stack([(data if q is None else q.mean + q.stddev * noise).numpy() for q in kernels])
