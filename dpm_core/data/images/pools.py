"""Pools of images to draw from: one for training, one held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.dataset import Batches, Labelled, LabelledBatches
from dpm_core.data.errors import DataError
from dpm_core.data.images.spec import ImageSpec


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageDataset(ImageSpec):
    """A pool of training images and one of held-out images, uint8 ``[N, C, H, W]``.

    A pool whose pictures are larger than ``shape`` stands for all the images that can be cut from them. ``labels`` and
    ``held_out_labels``, int64 ``[N]``, are those of the images in each pool, where there are any; ``classes`` names them.
    """

    train: Tensor
    held_out: Tensor
    labels: Tensor | None = None
    held_out_labels: Tensor | None = None

    # two pools with the same spec are not the same
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def size(self) -> int:
        """Number of training images, counting every position of a cut."""
        return _count(self.train, self.shape)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n training images with replacement, dequantised, float32 ``[n, C, H, W]``; without a generator always the same."""
        generator = generator or torch.Generator().manual_seed(0)
        return self.batches(generator.device)(n, generator)

    def different(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """At most n training images, no two of them the same one, in the middle of their levels, float32 ``[n, C, H, W]``."""
        rows = torch.randperm(self.size, generator=generator or torch.Generator().manual_seed(0))[:n]
        return self.standardise(_cut(self.train, self.shape, rows.to(self.train.device)))

    def sample_held_out(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n held-out images, dequantised, float32 ``[n, C, H, W]``; none is repeated before all have been drawn."""
        generator = generator or torch.Generator().manual_seed(0)
        return self.standardise(_cut(self.held_out, self.shape, self._held_out_rows(n, generator).to(self.held_out.device)), generator)

    def labelled(self, n: int, generator: torch.Generator | None = None, held_out: bool = False) -> Labelled:
        """The same images as of ``sample`` or ``sample_held_out``, with their labels. Raises DataError without labels."""
        generator = generator or torch.Generator().manual_seed(0)
        if not held_out:
            return self.labelled_batches(generator.device)(n, generator)
        labels, rows = self._require(self.held_out_labels), self._held_out_rows(n, generator)
        return Labelled(self.standardise(_cut(self.held_out, self.shape, rows), generator), labels[rows])

    def of_class(self, label: int) -> ImageDataset:
        """The images of one class, in the same units. Raises DataError without labels or for a class without images in both pools."""
        parts: dict[str, Any] = {}
        for name, pool, labels in (("train", self.train, self.labels), ("held_out", self.held_out, self.held_out_labels)):
            parts[name] = pool[self._require(labels) == label]
            if len(parts[name]) == 0:
                raise DataError(f"{self.title} has no images of the class {label}; its labels are 0 to {len(self.classes) - 1}.")
        return replace(self, **parts, labels=None, held_out_labels=None, classes=())

    def held_out_groups(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """The part of a picture that each image of ``sample_held_out`` comes from, given a generator in the same state: ``[n]``.

        Cuts of one picture overlap, and images may be drawn more than once, so they are not independent. The parts are a complete
        image, or for cuts a tile of at least twice their side around their centre. An error computed over parts counts what is
        independent.
        """
        rows = self._held_out_rows(n, generator or torch.Generator().manual_seed(0))
        down, across = (self.held_out.shape[i] - self.shape[i - 1] + 1 for i in (2, 3))
        picture, position = rows // (down * across), rows % (down * across)
        tiles = [max(1, self.held_out.shape[i] // (2 * self.shape[i - 1])) for i in (2, 3)]
        row, column = (place * count // of for place, count, of in zip((position // across, position % across), tiles, (down, across)))
        return (picture * tiles[0] + row) * tiles[1] + column

    def _held_out_rows(self, n: int, generator: torch.Generator) -> Tensor:
        """The numbers of n held-out images, as :func:`_cut` counts them."""
        count = _count(self.held_out, self.shape)
        rounds = [torch.randperm(count, generator=generator, device=generator.device) for _ in range(-(-n // count))]
        return torch.cat([*rounds, torch.empty(0, dtype=torch.long, device=generator.device)])[:n]

    def batches(self, device: str | torch.device = "cpu") -> Batches:
        """A function (n, generator) → ``sample`` on ``device``: the pool is copied there once; the generator must be there too."""
        draw = self._draw(device)
        return lambda n, generator: draw(n, generator)[0]

    def labelled_batches(self, device: str | torch.device = "cpu") -> LabelledBatches:
        """The same function with the label of each image. Raises DataError without labels."""
        draw, labels = self._draw(device), self._require(self.labels).to(device)

        def draw_labelled(n: int, generator: torch.Generator) -> Labelled:
            images, rows = draw(n, generator)
            return Labelled(images, labels[rows])

        return draw_labelled

    def _draw(self, device: str | torch.device) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor]]:
        """A function (n, generator) → n training images and their numbers, on ``device``."""
        pool, count = self.train.to(device), self.size

        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            rows = torch.randint(count, (n,), generator=generator, device=pool.device)
            return self.standardise(_cut(pool, self.shape, rows), generator), rows

        return draw

    def _require(self, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise DataError(f"{self.title} has no labels on this machine; put its label files beside its images, or choose other data.")
        return labels


def from_pools(
    name: str,
    title: str,
    train: np.ndarray | Tensor,
    held_out: np.ndarray | Tensor,
    labels: Tensor | None = None,
    size: int | None = None,
    levels: int = 256,
    held_out_labels: Tensor | None = None,
    classes: tuple[str, ...] = (),
) -> ImageDataset:
    """The data set of two pools, uint8 ``[N, C, H, W]`` each, standardised by the moments of the training pool.

    Its images are the complete pictures, or cuts of ``size`` × ``size`` pixels; ``levels`` as in :class:`ImageSpec`. ``classes`` are
    dropped where there are no training labels.
    """
    train, held_out = (torch.as_tensor(np.ascontiguousarray(pool)) for pool in (train, held_out))
    shape = (train.shape[1], size or train.shape[2], size or train.shape[3])
    pool = train.numpy() if levels == 256 else np.rint(train.numpy() * ((levels - 1) / 255))
    mean, scale = _moments(pool, shape)
    pools: dict[str, Any] = {"train": train, "held_out": held_out, "labels": labels, "held_out_labels": held_out_labels}
    return ImageDataset(name, title, shape, mean, scale, levels, () if labels is None else classes, **pools)


def _count(pool: Tensor, shape: tuple[int, int, int]) -> int:
    return len(pool) * (pool.shape[2] - shape[1] + 1) * (pool.shape[3] - shape[2] + 1)


def _cut(pool: Tensor, shape: tuple[int, int, int], rows: Tensor) -> Tensor:
    """Images number ``rows`` of a pool ``[P, C, H, W]``, numbered by picture, then upper edge, then left edge."""
    views = pool.unfold(2, shape[1], 1).unfold(3, shape[2], 1).permute(0, 2, 3, 1, 4, 5)  # views of every cut, no copy
    down, across = views.shape[1:3]
    picture, position = rows // (down * across), rows % (down * across)
    return views[picture, position // across, position % across]


def _moments(levels: np.ndarray, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Mean and standard deviation of level + u over all images of a pool ``[P, C, H, W]``; that of u alone is √(1/12)."""
    # a pixel counts as often as there are cuts that contain it: the product of the numbers of cuts over its row and its column
    down, across = (np.convolve(np.ones(levels.shape[i] - shape[i - 1] + 1), np.ones(shape[i - 1])) for i in (2, 3))
    weight = len(levels) * shape[0] * down.sum() * across.sum()
    first = second = 0.0
    for picture in levels:  # one at a time, because float64 takes eight times the memory
        values = picture.astype(np.float64)
        first += float((down @ values @ across).sum())
        second += float((down @ np.square(values) @ across).sum())
    mean = first / float(weight)
    return mean + 0.5, float(np.sqrt(second / float(weight) - mean**2 + 1 / 12))
