"""Image data sets: what a model must know of its images, a pool to draw them from, and the sets by name.

Images are uint8 grey levels 0..255 wherever people see them. Models see x = (level + u − mean)/scale with
u uniform on [0, 1), the noise that turns counts into a density (footnote 3 of the paper), so that x has
mean 0 and variance 1 over the training set and floor(x·scale + mean) is the level again, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpm_core.data import cifar10, dead_leaves, idx, textures
from dpm_core.data.fetch import Progress
from dpm_core.data.toy2d import DataError

# x is float32, which rounds a level near 256 by up to 2⁻¹⁷ and x·scale + mean by a few of these: noise that
# keeps this far from both ends of its level never crosses them. It moves 1 in 4,096 pixels by less than 2⁻¹³.
MARGIN = 2.0**-13

Params = tuple[tuple[str, Any], ...]
Batches = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images and the one constant pair that standardises all their pixels and channels.

    ``mean`` and ``scale`` are in levels. There are ``levels`` of them, spread evenly over the grey levels
    0..255; they are these grey levels themselves when ``levels`` is 256. (Digits have 17: noise of one grey
    level would leave gaps of 15 between them, and their density would measure the gaps.)
    """

    name: str
    title: str
    shape: tuple[int, int, int]  # channels (1 or 3), height, width
    mean: float
    scale: float
    levels: int = 256

    @property
    def dims(self) -> int:
        """Numbers in one image, C·H·W."""
        return self.pixels_count * self.shape[0]

    @property
    def pixels_count(self) -> int:
        """H·W, by which the paper divides its bits "per pixel"."""
        return self.shape[1] * self.shape[2]

    @property
    def finest_log_snr(self) -> float:
        """Log-SNR at which the noise of diffusion has e⁻² of the variance of the dequantisation noise, (1/scale)²/12.

        A chain that starts there loses next to nothing of the density of the levels in its fixed step t = 1.
        """
        return round(math.log(12 * self.scale**2) + 2, 1)

    def standardise(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x, float32, for uint8 ``images`` ``[n, C, H, W]``: dequantised by ``generator``, or at the middle of each level."""
        if generator is None:
            x = torch.full(images.shape, 0.5, device=images.device)
        else:
            x = torch.rand(images.shape, generator=generator, device=generator.device).to(images.device).clamp_(MARGIN, 1 - MARGIN)
        x += images if self.levels == 256 else (images * ((self.levels - 1) / 255)).round_()
        return x.sub_(self.mean).mul_(1 / self.scale)

    def pixels(self, x: Tensor) -> Tensor:
        """The grey levels of ``x`` ``[n, C, H, W]``, uint8: the inverse of ``standardise``, clamped to 0..255."""
        levels = (x.float() * self.scale + self.mean).floor_().clamp_(0, self.levels - 1)
        return (levels if self.levels == 256 else (levels * (255 / (self.levels - 1))).round_()).to(torch.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageDataset(ImageSpec):
    """A pool of training images and one of held-out images, uint8 ``[N, C, H, W]``.

    A pool whose pictures are larger than ``shape`` stands for all the images that can be cut from them.
    ``labels``, int64 ``[N]``, are those of the training images, where there are any.
    """

    train: Tensor
    held_out: Tensor
    labels: Tensor | None = None

    # the fields of a spec do not make two pools the same
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def spec(self) -> ImageSpec:
        """The spec alone, which can be compared, hashed and stored."""
        return ImageSpec(self.name, self.title, self.shape, self.mean, self.scale, self.levels)

    @property
    def size(self) -> int:
        """How many training images there are, counting every position of a cut."""
        return _count(self.train, self.shape)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n training images with replacement, dequantised, float32 ``[n, C, H, W]``; without a generator always the same."""
        generator = generator or torch.Generator().manual_seed(0)
        rows = torch.randint(self.size, (n,), generator=generator, device=generator.device)
        return self.standardise(_cut(self.train, self.shape, rows.to(self.train.device)), generator)

    def sample_held_out(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n held-out images, dequantised, ``[n, C, H, W]``; none comes again before all have come."""
        generator = generator or torch.Generator().manual_seed(0)
        count = _count(self.held_out, self.shape)
        rounds = [torch.randperm(count, generator=generator, device=generator.device) for _ in range(-(-n // count))]
        rows = torch.cat([*rounds, torch.empty(0, dtype=torch.long, device=generator.device)])[:n]
        return self.standardise(_cut(self.held_out, self.shape, rows.to(self.held_out.device)), generator)

    def batches(self, device: str | torch.device = "cpu") -> Batches:
        """A function (n, generator) → ``sample`` on ``device``, where the pool is put once and the generator must live."""
        pool, count = self.train.to(device), self.size

        def draw(n: int, generator: torch.Generator) -> Tensor:
            rows = torch.randint(count, (n,), generator=generator, device=pool.device)
            return self.standardise(_cut(pool, self.shape, rows), generator)

        return draw


def _count(pool: Tensor, shape: tuple[int, int, int]) -> int:
    return len(pool) * (pool.shape[2] - shape[1] + 1) * (pool.shape[3] - shape[2] + 1)


def _cut(pool: Tensor, shape: tuple[int, int, int], rows: Tensor) -> Tensor:
    """Images number ``rows`` of a pool ``[P, C, H, W]``, numbered by picture, then upper edge, then left edge."""
    views = pool.unfold(2, shape[1], 1).unfold(3, shape[2], 1).permute(0, 2, 3, 1, 4, 5)  # every cut, no copy
    down, across = views.shape[1:3]
    picture, position = rows // (down * across), rows % (down * across)
    return views[picture, position // across, position % across]


def _moments(levels: np.ndarray, shape: tuple[int, int, int]) -> tuple[float, float]:
    """Mean and standard deviation of level + u over all images of a pool ``[P, C, H, W]``; that of u alone is √(1/12)."""
    # a pixel counts as often as there are cuts that hold it: a product of how many begin at or before each row or column
    down, across = (np.convolve(np.ones(levels.shape[i] - shape[i - 1] + 1), np.ones(shape[i - 1])) for i in (2, 3))
    weight = len(levels) * shape[0] * down.sum() * across.sum()
    first = second = 0.0
    for picture in levels:  # one at a time, as float64 takes eight times the memory
        values = picture.astype(np.float64)
        first += float((down @ values @ across).sum())
        second += float((down @ np.square(values) @ across).sum())
    mean = first / float(weight)
    return mean + 0.5, float(np.sqrt(second / float(weight) - mean**2 + 1 / 12))


def from_pools(
    name: str,
    title: str,
    train: np.ndarray | Tensor,
    held_out: np.ndarray | Tensor,
    labels: Tensor | None = None,
    size: int | None = None,
    levels: int = 256,
) -> ImageDataset:
    """The data set of two pools, its images whole or cut to ``size`` × ``size``, its constants those of the training pool."""
    train, held_out = (torch.as_tensor(np.ascontiguousarray(pool)) for pool in (train, held_out))
    shape = (train.shape[1], size or train.shape[2], size or train.shape[3])
    pool = train.numpy() if levels == 256 else np.rint(train.numpy() * ((levels - 1) / 255))
    mean, scale = _moments(pool, shape)
    return ImageDataset(name, title, shape, mean, scale, levels, train=train, held_out=held_out, labels=labels)


@dataclass(frozen=True)
class ImageSetInfo:
    """A data set as a person chooses it: ``params`` are (name, default) pairs, None being "as fits"."""

    title: str
    description: str
    params: Params = ()
    needs_files: bool = False


_SIZE: Params = (("size", textures.DEFAULT_SIZE),)

IMAGE_SETS: dict[str, ImageSetInfo] = {
    "digits": ImageSetInfo("Digits 8 × 8", "1,797 handwritten digits of scikit-learn (UCI, Alpaydin & Kaynak 1998), 17 grey levels."),
    "mnist": ImageSetInfo("MNIST", "60,000 handwritten digits, 28 × 28.", needs_files=True),
    "fashion_mnist": ImageSetInfo("Fashion-MNIST", "60,000 pieces of clothing, 28 × 28.", needs_files=True),
    "cifar10": ImageSetInfo("CIFAR-10", "Small colour photographs of ten kinds, 32 × 32.", needs_files=True),
    "dead_leaves": ImageSetInfo(
        "Dead leaves",
        "Discs that hide one another, radii by a power law; drawn here, without end.",
        (*_SIZE, ("seed", 0), ("r_min", None), ("r_max", None)),
    ),
    "brick": ImageSetInfo("Brick", "Cuts from a brick wall (scikit-image, CC0).", _SIZE),
    "grass": ImageSetInfo("Grass", "Cuts from a lawn (scikit-image, CC0).", _SIZE),
    "gravel": ImageSetInfo("Gravel", "Cuts from a gravel path (scikit-image, CC0).", _SIZE),
    "textures": ImageSetInfo(
        "Your own textures", "Cuts from all pictures of one folder, such as bark.", (("folder", None), *_SIZE), needs_files=True
    ),
    "image": ImageSetInfo("Your own image", "Cuts from one picture.", (("size", None),)),
}


def make_images(name: str, params: Params = (), image: np.ndarray | None = None, progress: Progress | None = None) -> ImageDataset:
    """The data set ``name`` with ``params`` as (name, value) pairs, those of IMAGE_SETS unless given.

    "image" cuts from ``image``, uint8 ``[H, W]`` or ``[H, W, 3]``; one too small for a held-out strip of its own
    holds out its training cuts. Files that are missing are downloaded where that is possible, with
    ``progress`` told (file, bytes so far, bytes in all or None). Raises DataError.
    """
    chosen = _checked(name, params)
    title, size = IMAGE_SETS[name].title, chosen.get("size", 0)
    if name == "digits":
        return from_pools(name, title, *_digits(), levels=17)
    if name in idx.SOURCES:
        return from_pools(name, title, *idx.load(name, progress))
    if name == "cifar10":
        return from_pools(name, title, *cifar10.load(progress))
    if name == "dead_leaves":
        textures.checked_size(size)
        train, held_out = dead_leaves.make(**chosen)
        return from_pools(name, title, train[:, None], held_out[:, None], size=size)
    if name == "image":
        if image is None:
            raise DataError("Give a picture from which to cut; upload one first.")
        pictures = textures.from_upload(image)
        side = min(pictures.shape[2:])
        size = min(textures.DEFAULT_SIZE, side) if size is None else size
        if textures.checked_size(size) > side:
            raise DataError(f"Images of {size} pixels cannot be cut from a picture whose shorter side has {side}; choose at most {side}.")
        return from_pools(name, title, *textures.split(pictures, size, must=False), size=size)
    size = textures.checked_size(size)
    pictures = textures.load_folder(chosen["folder"], size) if name == "textures" else textures.bundled(name)
    return from_pools(name, title, *textures.split(pictures, size), size=size)


def available(name: str) -> str | None:
    """None when ``make_images(name)`` needs no network (for "image": nothing but a picture); else what to put where, in one sentence."""
    if name not in IMAGE_SETS:
        raise DataError(f"Unknown image set {name!r}; choose one of {', '.join(IMAGE_SETS)}.")
    if name in idx.SOURCES:
        return idx.missing(name)
    if name == "cifar10":
        return cifar10.missing()
    return textures.missing(name) if name in (*textures.BUNDLED, "textures") else None


def _digits() -> tuple[Tensor, Tensor, Tensor]:
    """scikit-learn's digits as grey levels, uint8 ``[N, 1, 8, 8]``; a fixed fifth is held out."""
    from sklearn.datasets import load_digits  # here, as it takes longer to import than all else

    images, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    kept, held_out = order[len(order) // 5 :].sort().values, order[: len(order) // 5].sort().values
    return images[kept], images[held_out], torch.from_numpy(labels.astype(np.int64))[kept]


_KINDS = {"folder": ((str,), "a name"), "r_min": ((int, float), "a number"), "r_max": ((int, float), "a number")}


def _checked(name: str, params: Params) -> dict[str, Any]:
    """All parameters of the set by name. Raises DataError for a set, a name or a kind of value that it does not have."""
    if name not in IMAGE_SETS:
        raise DataError(f"Unknown image set {name!r}; choose one of {', '.join(IMAGE_SETS)}.")
    chosen = dict(IMAGE_SETS[name].params)
    for key, value in params:
        if key not in chosen:
            raise DataError(f"{IMAGE_SETS[name].title} has no parameter {key!r}; it has {', '.join(chosen) or 'none'}.")
        kinds, what = _KINDS.get(key, ((int,), "a whole number"))
        if value is None and chosen[key] is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise DataError(f"The {key} of {IMAGE_SETS[name].title} cannot be {value!r}; give {what}.")
        chosen[key] = value
    if "folder" in chosen and chosen["folder"] is None:
        raise DataError(f"Say which folder of textures to take; there is {', '.join(textures.folders()) or 'none yet'}.")
    return chosen
