"""Image data sets by name. A new one is a new file in this folder with a function under ``@image_set``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from dpm_core.config import Params
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images.pools import ImageDataset, from_pools
from dpm_core.data.parameters import checked


class Pools(NamedTuple):
    """What the function of an image set returns: the arguments of :func:`from_pools` without name and title."""

    train: np.ndarray | Tensor
    held_out: np.ndarray | Tensor
    labels: Tensor | None = None
    size: int | None = None
    levels: int = 256
    held_out_labels: Tensor | None = None
    classes: tuple[str, ...] = ()


Make = Callable[..., Pools]  # (progress, **params) → Pools; (progress, picture, **params) where ``takes_picture``


@dataclass(frozen=True)
class ImageSetInfo:
    """An image data set as a menu shows it. ``params`` are (name, default) pairs; the default None means "chosen to fit the data"."""

    title: str
    description: str
    params: Params
    needs_files: bool
    make: Make
    missing: Callable[[], str | None] = lambda: None
    types: Mapping[str, type] = field(default_factory=dict)
    takes_picture: bool = False


IMAGE_SETS: dict[str, ImageSetInfo] = {}


def image_set(
    name: str,
    title: str,
    description: str,
    params: Params = (),
    needs_files: bool = False,
    *,
    missing: Callable[[], str | None] = lambda: None,
    types: Mapping[str, type] | None = None,
    takes_picture: bool = False,
) -> Callable[[Make], Make]:
    """Enter the decorated function (progress, **params) → :class:`Pools` in IMAGE_SETS as the data set ``name``.

    ``params`` are (name, default) pairs; ``types`` gives the type of those whose default is None (int unless stated).
    ``needs_files``: the set comes from files that must be downloaded or provided; ``missing()`` says in one sentence what to
    put where, or None when no file is missing. With ``takes_picture`` the function also gets ``picture``, uint8 ``[H, W]`` or
    ``[H, W, 3]`` or None.
    """

    def register(make: Make) -> Make:
        IMAGE_SETS[name] = ImageSetInfo(title, description, params, needs_files, make, missing, types or {}, takes_picture)
        return make

    return register


def make_images(name: str, params: Params = (), image: np.ndarray | None = None, progress: Progress | None = None) -> ImageDataset:
    """The data set ``name`` with ``params`` as (name, value) pairs, those of IMAGE_SETS unless given.

    "image" cuts from ``image``, uint8 ``[H, W]`` or ``[H, W, 3]``; a picture that is too small for a held-out strip of its own
    serves for both. Missing files are downloaded where that is possible, with ``progress`` called as (file, bytes so far,
    bytes in all or None). Raises DataError.
    """
    info = _info(name)
    chosen: dict[str, Any] = checked(info.title, params, info.params, info.types)
    made = info.make(progress, picture=image, **chosen) if info.takes_picture else info.make(progress, **chosen)
    return from_pools(name, info.title, *made)


def available(name: str) -> str | None:
    """None when ``make_images(name)`` needs no download (for "image": only a picture); else what to put where, in one sentence.

    Raises DataError for an unknown name.
    """
    return _info(name).missing()


def _info(name: str) -> ImageSetInfo:
    if name not in IMAGE_SETS:
        raise DataError(f"Unknown image set {name!r}; choose one of {', '.join(IMAGE_SETS)}.")
    return IMAGE_SETS[name]
