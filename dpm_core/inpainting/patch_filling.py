"""Fill holes of any picture with its own patches, from coarse to fine.

At the coarsest level the hole is only a few pixels wide and is filled by a whole reverse chain from noise. Every finer level copies its
detail from where the coarser result resembles the picture (:mod:`dpm_core.inpainting.copying`). All but the finest two levels, where only
detail is left to choose, then add some noise and continue the chain from there. Only the neighbourhood of the hole is processed. Known
pixels are noised to level t during sampling and exact at the end.

Why the finest levels are not sampled: the posterior mean of a pixel is an average over the windows that agree with the noisy one around
it, and the windows of neighbouring pixels are chosen independently. In a dense texture no window agrees with such a mixture better than a
smooth one, so every further step made the completion softer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt
from torch import Tensor
from torch.nn import functional

from dpm_core.checkpoints import Checkpoint
from dpm_core.data.bits import BitSpec
from dpm_core.data.images import ImageSpec
from dpm_core.inpainting.combined_kernel import PatchesAndNetwork, RescaledKernel
from dpm_core.inpainting.copying import copy_finer
from dpm_core.inpainting.model_filling import InpaintingError, Progress, check_mask, compatible_spec, crop_window, paste_into
from dpm_core.inpainting.patches import LocalPatchReverse, nearest_patch_distance, whole_windows
from dpm_core.posterior import Inpaint, repaint_times
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import walk
from dpm_core.schedules import make_schedule

COARSE_WIDTH, COARSE_PIXELS, COARSE_SIDE = 14, 800, 20  # at the coarsest level: at most so wide a hole and so many missing pixels
DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 1000, start=8.0, end=-6.0))
FINEST = 0.02  # √((1−ᾱ)/ᾱ) before the last step: less than one grey level
MIN_WINDOWS = 40  # a window size with fewer known windows is not used


@dataclass(frozen=True)
class PatchConfig:
    """Settings of the patch kernel. ``steps``: of the whole chain at the coarsest level.

    ``detail``: the noise √((1−ᾱ)/ᾱ) at which finer levels start, but for the finest ``copied`` levels, which are copied only (with a
    network, none is).
    """

    steps: int = 32
    finer_steps: int = 18
    detail: float = 0.35
    copied: int = 2
    largest: int = 11  # side of the windows at high noise
    smallest: int = 5  # and at low noise
    candidates: int = 6000
    jump: int = 6  # of RePaint, at the coarsest level
    resamplings: int = 3
    draws: int = 4  # samples at the coarsest level, of which the most coherent one is used
    trust: float = 0.3  # in the known pixels, see LocalPatchReverse
    tolerance: float = 0.1
    share: float = 0.5  # weight of the network at the finest level, if there is one


def fill_by_patches(
    picture: np.ndarray,
    missing: np.ndarray,
    n: int = 1,
    seed: int = 0,
    config: PatchConfig | None = None,
    network: Checkpoint | None = None,
) -> Iterator[Progress]:
    """Yield the progress of n completions of a picture, uint8 ``[H, W]`` or ``[H, W, 3]``, where ``missing``, bool ``[H, W]``, is True.

    Yields after every step; the last Progress has share 1 and all known pixels unchanged. The same seed gives the same pictures. A
    ``network`` that suits the picture contributes to the posterior mean at the finest level. Raises InpaintingError, and PatchError when no
    window is fully known.
    """
    check_mask(picture, missing)
    spec = None if network is None else compatible_spec(network, picture)
    config, generator = config or PatchConfig(), torch.Generator().manual_seed(seed)
    window = crop_window(missing, spec)
    part, hole = picture[window], torch.from_numpy(missing[window])
    values = torch.from_numpy(np.ascontiguousarray(part)).float().reshape(*part.shape[:2], -1).permute(2, 0, 1)
    known = values[:, ~hole]
    mean, scale = known.mean(), known.std().clamp(min=1.0)
    levels = _pyramid((values - mean) / scale * ~hole, hole)
    sampled = [k == 0 or len(levels) - k > config.copied or (network is not None and k == len(levels) - 1) for k in range(len(levels))]
    plans = [_times(config, coarsest=k == 0) if sampled[k] else [] for k in range(len(levels))]
    helper = None if network is None else _helper(network, spec, float(mean), float(scale))
    draws = [config.draws] + [1] * (len(levels) - 1)
    work = [float(mask.sum()) * _downs(times) * k for (_, mask), times, k in zip(levels, plans, draws)]
    done, calls, found = 0.0, 0, None
    for k, ((image, mask), times) in enumerate(zip(levels, plans)):
        start = None if found is None else copy_finer(*levels[k - 1], image, mask, found, generator=generator)
        finest = helper if mask is hole else None
        for guess, xt in _level(image, mask, start, n, draws[k], times, config, generator, finest):
            done, calls, found = done + work[k] / _downs(times), calls + bool(times), guess
            shown = [paste_into(picture, missing, window, _bytes(_enlarge(v, hole.shape) * scale + mean)) for v in (guess, xt)]
            yield Progress(min(done / sum(work), 1.0), shown[0], shown[1], calls)


def _helper(network: Checkpoint, spec: ImageSpec | BitSpec | None, mean: float, scale: float) -> ReverseKernel:
    """The network as a kernel of grey levels v written as (v − mean)/scale.

    For the network itself a grey level is the centre of its level, (k v + ½ − its mean)/its scale.
    """
    if not isinstance(spec, ImageSpec):
        raise InpaintingError("Patches can be combined with a network of grey or colour pictures, not with one of bits.")
    k = (spec.levels - 1) / 255
    return RescaledKernel(network.model, DIFFUSION, k * scale / spec.scale, (k * mean + 0.5 - spec.mean) / spec.scale)


def _level(
    image: Tensor,
    hole: Tensor,
    begin: Tensor | None,
    n: int,
    draws: int,
    times: list[int],
    config: PatchConfig,
    generator: torch.Generator,
    network: ReverseKernel | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield x̂⁽⁰⁾ and x⁽ᵗ⁾ ``[n, C, H, W]`` at every step down, from noise or from ``begin`` with noise added.

    Without ``times`` that is ``begin`` itself. With ``draws`` > 1 that many samples are made for each completion: the first is shown
    meanwhile, the most coherent one at the end.
    """
    if begin is not None and not times:
        yield begin, begin
        return
    sides = [side for side in range(config.smallest, config.largest + 1, 2) if len(whole_windows(hole, side)) >= MIN_WINDOWS]
    largest = max(sides, default=config.smallest)

    def side(t: int) -> int:
        """Window side: from the largest at low signal-to-noise ratio to the smallest at high."""
        clean = min(1.0, max(0.0, (float(DIFFUSION.schedule.log_snr(t)) + 4) / 8))
        return config.smallest + 2 * round((1 - clean) * (largest - config.smallest) / 2)

    patches = LocalPatchReverse(image[None], DIFFUSION, hole, side, config.candidates, None, generator, config.trust, config.tolerance)
    model = patches if network is None else PatchesAndNetwork(patches, network, config.share)
    start = torch.zeros(n * draws, *image.shape) if begin is None else begin
    start = DIFFUSION.q_sample(start, times[0], generator)
    before = times[0]
    for t, x in walk(model, DIFFUSION, start, times, factor=Inpaint(hole, image, DIFFUSION), generator=generator):
        if t < before and t:
            yield model.last_x0_mean[:n], x[:n]
        elif t < before:
            x = _most_coherent(x, hole, n, config, generator) if draws > 1 else x
            yield x, x
        before = t


def _most_coherent(x: Tensor, hole: Tensor, n: int, config: PatchConfig, generator: torch.Generator) -> Tensor:
    """The best of all samples x ``[draws · n, C, H, W]`` for each completion, ``[n, C, H, W]``.

    Samples i, i + n, i + 2n, … belong to completion i.
    """
    distance = nearest_patch_distance(x, hole, config.smallest, config.candidates, generator).view(-1, n)
    return x.view(-1, n, *x.shape[1:])[distance.argmin(0), torch.arange(n)]


def _times(config: PatchConfig, coarsest: bool) -> list[int]:
    """The times of a level: the whole chain with RePaint's resampling at the coarsest, its low-noise end at the others."""
    steps = config.steps if coarsest else config.finer_steps
    first, last = DIFFUSION.T if coarsest else _time_of(config.detail), _time_of(FINEST)
    down = [round(first + (last - first) * i / (steps - 1)) for i in range(steps)] + [0]
    resamplings = config.resamplings if coarsest else 1
    return [down[steps - left] for left in repaint_times(steps, None, config.jump, resamplings)]


def _time_of(noise: float) -> int:
    """The time at which √((1−ᾱ)/ᾱ) is nearest to ``noise``."""
    return 1 + int((DIFFUSION.schedule.log_snr(torch.arange(1, DIFFUSION.T + 1)) + 2 * math.log(noise)).abs().argmin())


def _downs(times: list[int]) -> int:
    """How many steps down these times have; copying counts as one."""
    return sum(b < a for a, b in pairwise(times)) or 1


def _pyramid(image: Tensor, hole: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(picture, hole) from coarse to fine.

    A coarse pixel is the mean of the known pixels in it, and missing if any of them is.
    """
    levels = [(image, hole)]
    while True:
        image, hole = levels[0]
        size = [(length + 1) // 2 for length in hole.shape]
        if (_width(hole) <= COARSE_WIDTH and hole.sum() <= COARSE_PIXELS) or min(size) < COARSE_SIDE:
            return levels
        share = functional.interpolate((~hole)[None, None].float(), size=size, mode="area")[0]
        small = functional.interpolate((image * ~hole)[None], size=size, mode="area")[0] / share.clamp(min=1e-6)
        smaller = share[0] < 0.999
        if smaller.all():
            return levels
        levels.insert(0, (small * ~smaller, smaller))


def _width(hole: Tensor) -> int:
    """Side of the largest square inside the hole: small for writing or a wire, however long."""
    padded = functional.pad(hole, (1, 1, 1, 1)).numpy()
    return 2 * int(distance_transform_cdt(padded, "chessboard").max()) - 1


def _enlarge(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else functional.interpolate(x, size=list(size), mode="bilinear", align_corners=False)


def _bytes(values: Tensor) -> np.ndarray:
    return values.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
