"""Where every missing pixel is copied from: the step from a coarse completion to twice its resolution.

A window of the coarse completion is compared with the known windows of the coarse picture; the pixels that lie under the nearest one in
the finer picture then replace the upsampled ones. Three rules make the copies resemble the picture, not only each window its neighbour:

* a known window that many places want becomes expensive, so smooth windows, which are near to everything, are not used over and over
  (the dual of the assignment problem, as in the optimal transport of patches, Houdard et al. 2021);
* neighbours copy from neighbouring places where that costs little (coherence, Ashikhmin 2001);
* what is copied is joined by its gradients, see :mod:`dpm_core.inpainting.blending`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dpm_core.inpainting.blending import blend
from dpm_core.inpainting.patches import BLOCK_ELEMENTS, PatchError, whole_windows, windows_at

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))


@dataclass(frozen=True)
class CopyConfig:
    """Settings of the copies. Distances are squared and summed over a window.

    ``reuse``: what a known window costs for every use beyond the first, in units of the median distance, added in each of ``rounds``.
    ``coherence``: how much further than its nearest window, as a share of that distance, a pixel goes to copy as its neighbours do.
    ``repeats``: how often the sources are searched for again at the finer level, where known pixels near the hole say more.
    """

    side: int = 7  # of the windows that are compared
    candidates: int = 8000
    nearest: int = 64  # of the candidates, for each missing pixel
    reuse: float = 0.5
    rounds: int = 8
    coherence: float = 1.0
    sweeps: int = 4
    repeats: int = 1


def copy_finer(
    coarse: Tensor,
    coarse_hole: Tensor,
    fine: Tensor,
    fine_hole: Tensor,
    found: Tensor,
    config: CopyConfig | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return completions of ``fine`` ``[C, H, W]`` from those of ``coarse``, ``found`` ``[n, C, h, w]``: ``[n, C, H, W]``.

    Known pixels are those outside the holes, bool ``[h, w]`` and ``[H, W]``, and stay as they are. Raises PatchError when no window of
    the coarse picture is fully known.
    """
    (h, w), (H, W) = coarse_hole.shape, fine_hole.shape
    i, j = fine_hole.nonzero(as_tuple=True)
    above = (i * h) // H, (j * w) // W
    out = torch.where(fine_hole, functional.interpolate(found, size=[H, W], mode="bilinear", align_corners=False), fine)
    config = config or CopyConfig()
    for one, result in enumerate(found):
        offsets = nearest_sources(coarse, coarse_hole, result, config, generator)[:, *above]
        finer = torch.zeros(2, H, W, dtype=torch.long)
        finer[:, i, j] = (offsets * torch.tensor([[H / h], [W / w]])).round().long()
        out[one] = blend(fine, fine_hole, finer, out[one])
        for _ in range(config.repeats):
            out[one] = blend(fine, fine_hole, nearest_sources(fine, fine_hole, out[one], config, generator), out[one])
    return out


def nearest_sources(
    image: Tensor, hole: Tensor, filled: Tensor, config: CopyConfig | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Return how far away each missing pixel's source is: rows and columns, int64 ``[2, H, W]``; 0 where the picture is known.

    ``filled`` ``[C, H, W]`` is a completion of ``image``, whose missing pixels, ``hole`` bool ``[H, W]``, are searched for among the fully
    known windows. Raises PatchError when there is none.
    """
    config = config or CopyConfig()
    side = next((side for side in range(config.side, 2, -2) if len(whole_windows(hole, side))), None)
    if side is None:
        raise PatchError("No window of 3 × 3 pixels is fully known; paint a smaller hole.")
    H, W = hole.shape
    i, j = hole.nonzero(as_tuple=True)
    top, left = (p.sub(side // 2).clamp(0, length - side) for p, length in ((i, H), (j, W)))
    field = _Field(torch.where(hole, filled, image), image, whole_windows(hole, side), side, i * W + j, top * W + left)
    field.search(config, generator)
    for _ in range(config.sweeps):
        field.sweep(config.coherence)
    source = field.source()
    offsets = torch.zeros(2, H, W, dtype=torch.long)
    offsets[:, i, j] = torch.stack([source // W - top, source % W - left])
    return offsets


class _Field:
    """For every missing pixel (flat ``pixels``) the corner of the window to copy from, less that of its own window (``corners``)."""

    def __init__(self, filled: Tensor, image: Tensor, known: Tensor, side: int, pixels: Tensor, corners: Tensor):
        self.image, self.known, self.side, self.pixels, self.corners = image, known, side, pixels, corners
        self.windows = windows_at(filled, corners, side)
        size = image.shape[1] * image.shape[2]
        self.usable, self.missing = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
        self.usable[known], self.missing[pixels] = True, True
        self.offset = torch.zeros(size, dtype=torch.long)
        self.distance = torch.zeros(len(pixels))

    def source(self) -> Tensor:
        """Flat corners of the windows to copy from, ``[k]``."""
        return self.corners + self.offset[self.pixels]

    def search(self, config: CopyConfig, generator: torch.Generator | None) -> None:
        """Take the nearest of the candidates, those that are wanted by many at a price."""
        known = self.known[torch.randperm(len(self.known), generator=generator)[: config.candidates]]
        table = windows_at(self.image, known, self.side)
        blocks = self.windows.split(max(1, BLOCK_ELEMENTS // len(known)))
        found = [torch.cdist(part, table).topk(min(config.nearest, len(known)), largest=False) for part in blocks]
        distances = torch.cat([part.values for part in found]).square()
        which = torch.cat([part.indices for part in found])
        price, unit = torch.zeros(len(known)), config.reuse * distances[:, 0].median()
        chosen = which[:, :1]
        for _ in range(config.rounds):
            uses = torch.bincount(chosen.flatten(), minlength=len(known))
            price += unit * (uses - 1).clamp(0, 8)
            best = (distances + price[which]).argmin(1, keepdim=True)
            chosen = which.gather(1, best)
        self.offset[self.pixels] = known[chosen[:, 0]] - self.corners
        self.distance = (self.windows - table[chosen[:, 0]]).square().sum(1)

    def sweep(self, coherence: float) -> None:
        """Let every pixel try its neighbours' offsets: a nearer window is taken, and one little further that more neighbours use."""
        W = self.image.shape[2]
        for down, across in NEIGHBOURS:
            beside = self._moved(down * W + across)
            offset = self.offset[beside]
            place = self.corners + offset
            valid = self.missing[beside] & (place >= 0) & (place < len(self.usable))
            valid &= self.usable[place.clamp(0, len(self.usable) - 1)]
            place = torch.where(valid, place, self.known[0])
            distance = (self.windows - windows_at(self.image, place, self.side)).square().sum(1)
            shared = self._sharing(offset) > self._sharing(self.offset[self.pixels])
            taken = valid & ((distance < self.distance) | (distance <= self.distance * (1 + coherence)) & shared)
            self.offset[self.pixels[taken]] = offset[taken]
            self.distance[taken] = distance[taken]

    def _sharing(self, offset: Tensor) -> Tensor:
        """How many of the four nearest neighbours have this offset."""
        W = self.image.shape[2]
        beside = [self._moved(step) for step in (-1, 1, -W, W)]
        return torch.stack([self.missing[p] & (self.offset[p] == offset) for p in beside]).sum(0)

    def _moved(self, step: int) -> Tensor:
        return (self.pixels + step).clamp(0, len(self.usable) - 1)
