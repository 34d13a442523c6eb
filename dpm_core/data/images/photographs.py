"""Images cut from the photographs that come with scikit-image, in colour or grey, at any size: no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images.cuts import DEFAULT_SIZE, split
from dpm_core.data.images.registry import Pools, image_set

NAMES = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")  # public domain or CC0
LARGEST = 256  # pixels along a side of a cut


@image_set(
    "photographs",
    "Photographs",
    "Cuts from four photographs of scikit-image, in colour (channels = 3) or grey (1).",
    (("size", DEFAULT_SIZE), ("channels", 3)),
)
def photographs(progress: Progress | None, size: int, channels: int) -> Pools:
    """Cuts of ``size`` × ``size`` pixels; the right quarter of each photograph is held out. Raises DataError."""
    if channels not in (1, 3):
        raise DataError(f"Photographs have 3 channels (colour) or 1 (grey), not {channels}.")
    if not 8 <= size <= LARGEST:
        raise DataError(f"The size is {size} pixels; choose a size between 8 and {LARGEST}.")
    from skimage.data import data_dir

    side = max(300, size)
    pictures = []
    for name in NAMES:
        path = Path(data_dir) / name
        if not path.is_file():
            raise DataError(f"The installed scikit-image does not contain the photograph {name}; install the pinned version.")
        with Image.open(path) as picture:
            shown = picture.convert("RGB" if channels == 3 else "L")
            scale = max(2 * side / shown.width, side / shown.height)
            shown = shown.resize((round(scale * shown.width), round(scale * shown.height)), Image.Resampling.LANCZOS)
            pixels = np.asarray(shown)[:side, : 2 * side]
        pictures.append(pixels.reshape(side, 2 * side, channels).transpose(2, 0, 1))
    train, held_out = split(np.stack(pictures), size)
    return Pools(train, held_out, size=size)
