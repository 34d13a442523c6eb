"""Filling holes of any picture with its own patches, from coarse to fine.

A hole is first filled where the picture is so small that the hole is a few pixels wide: a whole chain, from noise. Every
finer picture starts from the coarser answer with as much noise as it lacks detail, and goes down from there. Only the
hole's neighbourhood is worked on. What is known takes noise of level t on the way, and is in place exactly at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dpm_core.diffusion import GaussianDiffusion
from dpm_core.inpainting import Progress, check, neighbourhood, pasted
from dpm_core.patches import LocalPatchReverse, whole_windows
from dpm_core.posterior import Inpaint, repaint_times
from dpm_core.samplers import walk
from dpm_core.schedules import make_schedule

COARSE_HOLE, COARSE_SIDE = 14, 20  # pixels: the coarsest level's hole is at most so wide, and its picture at least so
DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 1000, start=8.0, end=-6.0))
FINEST = 0.02  # √((1−ᾱ)/ᾱ) at the last step but one: what is left is less than a grey level
FEW = 40  # windows: a size of which there are fewer is not used


@dataclass(frozen=True)
class PatchConfig:
    """How the patches are used. ``steps`` of the whole chain at the coarsest level; ``detail``: √((1−ᾱ)/ᾱ) where finer levels start."""

    steps: int = 32
    finer_steps: int = 14
    detail: float = 0.8
    largest: int = 11  # side of the windows where noise rules
    smallest: int = 5  # and where the picture does
    candidates: int = 6000
    jump: int = 6  # RePaint's, at the coarsest level
    resamplings: int = 3
    trust: float = 0.3  # of what is known, see LocalPatchReverse
    tolerance: float = 0.1


def fill_by_patches(
    picture: np.ndarray, missing: np.ndarray, n: int = 1, seed: int = 0, config: PatchConfig | None = None
) -> Iterator[Progress]:
    """n completions of a picture, uint8 ``[H, W]`` or ``[H, W, 3]``, where ``missing``, bool ``[H, W]``, is True.

    Yields after every step; the last one has share 1 and all known pixels unchanged. The same seed gives the same
    pictures. Raises HoleError, and PatchError when no window is wholly known.
    """
    check(picture, missing)
    config, generator = config or PatchConfig(), torch.Generator().manual_seed(seed)
    window = neighbourhood(missing)
    part, hole = picture[window], torch.from_numpy(missing[window])
    values = torch.from_numpy(np.ascontiguousarray(part)).float().reshape(*part.shape[:2], -1).permute(2, 0, 1)
    known = values[:, ~hole]
    mean, scale = known.mean(), known.std().clamp(min=1.0)
    levels = _pyramid((values - mean) / scale * ~hole, hole)
    plans = [_times(config, coarsest=k == 0) for k in range(len(levels))]
    work = [float(mask.sum()) * _downs(times) for (_, mask), times in zip(levels, plans)]
    done, calls, found = 0.0, 0, None
    for (image, mask), times, share in zip(levels, plans, work):
        for guess, xt in _level(image, mask, found, n, times, config, generator):
            done, calls, found = done + share / _downs(times), calls + 1, guess
            shown = [pasted(picture, missing, window, _bytes(_enlarge(v, hole.shape) * scale + mean)) for v in (guess, xt)]
            yield Progress(min(done / sum(work), 1.0), shown[0], shown[1], calls)


def _level(
    image: Tensor, hole: Tensor, coarser: Tensor | None, n: int, times: list[int], config: PatchConfig, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """x̂⁽⁰⁾ and x⁽ᵗ⁾ ``[n, C, H, W]`` at every step down, from noise or from the coarser level's answer."""
    sides = [side for side in range(config.smallest, config.largest + 1, 2) if len(whole_windows(hole, side)) >= FEW]
    largest = max(sides, default=config.smallest)

    def side(t: int) -> int:
        """From the largest where noise rules to the smallest where the picture does."""
        clean = min(1.0, max(0.0, (float(DIFFUSION.schedule.log_snr(t)) + 4) / 8))
        return config.smallest + 2 * round((1 - clean) * (largest - config.smallest) / 2)

    model = LocalPatchReverse(image[None], DIFFUSION, hole, side, config.candidates, None, generator, config.trust, config.tolerance)
    if coarser is None:
        start = torch.randn(n, *image.shape, generator=generator)
    else:
        start = DIFFUSION.q_sample(torch.where(hole, _enlarge(coarser, hole.shape), image), times[0], generator)
    before = times[0]
    for t, x in walk(model, DIFFUSION, start, times, factor=Inpaint(hole, image, DIFFUSION), generator=generator):
        if t < before:
            yield (model.last if t else x), x
        before = t


def _times(config: PatchConfig, coarsest: bool) -> list[int]:
    """The times of a level: the whole chain with RePaint's resampling at the coarsest, its finer end elsewhere."""
    steps = config.steps if coarsest else config.finer_steps
    first, last = DIFFUSION.T if coarsest else _time_of(config.detail), _time_of(FINEST)
    down = [round(first + (last - first) * i / (steps - 1)) for i in range(steps)] + [0]
    again = config.resamplings if coarsest else 1
    return [down[steps - left] for left in repaint_times(steps, None, config.jump, again)]


def _time_of(noise: float) -> int:
    """The time at which √((1−ᾱ)/ᾱ) is nearest to ``noise``."""
    return 1 + int((DIFFUSION.schedule.log_snr(torch.arange(1, DIFFUSION.T + 1)) + 2 * math.log(noise)).abs().argmin())


def _downs(times: list[int]) -> int:
    return sum(b < a for a, b in pairwise(times))


def _pyramid(image: Tensor, hole: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(picture, hole) from coarse to fine; a coarse pixel is the mean of the known ones in it, and missing where any is."""
    levels = [(image, hole)]
    while True:
        image, hole = levels[0]
        rows, columns = hole.nonzero(as_tuple=True)
        width = int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1
        size = [(length + 1) // 2 for length in hole.shape]
        if width <= COARSE_HOLE or min(size) < COARSE_SIDE:
            return levels
        share = functional.interpolate((~hole)[None, None].float(), size=size, mode="area")[0]
        small = functional.interpolate((image * ~hole)[None], size=size, mode="area")[0] / share.clamp(min=1e-6)
        smaller = share[0] < 0.999
        if smaller.all():
            return levels
        levels.insert(0, (small * ~smaller, smaller))


def _enlarge(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else functional.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


def _bytes(values: Tensor) -> np.ndarray:
    return values.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
