"""Images cut from one picture of the user's own."""

from __future__ import annotations

import numpy as np

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images import textures
from dpm_core.data.images.registry import Pools, image_set


@image_set("image", "Your own image", "Cuts from one picture.", (("size", None),), takes_picture=True)
def own_image(progress: Progress | None, picture: np.ndarray | None, size: int | None) -> Pools:
    """Cuts of ``size`` × ``size`` pixels from ``picture``, uint8 ``[H, W]`` or ``[H, W, 3]``. Raises DataError without a picture."""
    if picture is None:
        raise DataError("There is no picture to cut images from; upload one first.")
    pictures = textures.from_upload(picture)
    side = min(pictures.shape[2:])
    size = min(textures.DEFAULT_SIZE, side) if size is None else size
    if textures.checked_size(size) > side:
        raise DataError(f"Images of {size} pixels do not fit a picture whose shorter side has {side} pixels; choose at most {side}.")
    return Pools(*textures.split(pictures, size, must=False), size=size)
