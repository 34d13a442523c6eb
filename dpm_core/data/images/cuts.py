"""Cutting images out of larger pictures: allowed sizes, and a held-out part without overlap."""

from __future__ import annotations

import numpy as np

from dpm_core.data.errors import DataError

SIZES = (8, 128)  # smallest and largest side of the cuts, in pixels
DEFAULT_SIZE = 32


def checked_size(size: int) -> int:
    """``size``. Raises DataError unless it lies in SIZES."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise DataError(f"The size is {size} pixels; choose a size between {SIZES[0]} and {SIZES[1]}.")
    return size


def split(pictures: np.ndarray, size: int, must: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A training part and a held-out part of pictures ``[P, C, H, W]``, with no pixel in common.

    The held-out part is the last quarter of the longer side (the right quarter of a square), or ``size`` pixels where a
    quarter is narrower. A picture too small for two parts is used for both. Raises DataError for such a picture
    if ``must`` is set.
    """
    height, width = pictures.shape[-2:]
    axis, length = (3, width) if width >= height else (2, height)
    first = length - max(length // 4, size)
    if first < size:
        if must:
            raise DataError(f"The picture has {width} × {height} pixels; images of {size} pixels need at least {2 * size} × {size}.")
        return pictures, pictures
    train, held_out = np.split(pictures, [first], axis=axis)
    return train, held_out
