"""Handwritten digits in black and white: a 1 where the grey image is above half grey."""

from __future__ import annotations

import numpy as np

from dpm_core.data import images
from dpm_core.data.bits.dataset import HALF_GREY
from dpm_core.data.bits.registry import Drawn, bit_set
from dpm_core.data.fetch import Progress

FROM_IMAGES = {"binary_digits": "digits", "binary_mnist": "mnist"}  # bit set → the image set it is made from


def _thresholded(name: str, progress: Progress | None) -> Drawn:
    grey = images.make_images(FROM_IMAGES[name], progress=progress)
    train, held_out = ((pool.numpy() > HALF_GREY).astype(np.uint8) for pool in (grey.train, grey.held_out))
    return Drawn(train, held_out, None, grey.labels, grey.held_out_labels, grey.classes)


@bit_set(
    "binary_digits",
    "Digits 8 × 8, black and white",
    "Handwritten digits of scikit-learn, white above half grey.",
    shape=lambda: (1, 8, 8),
    listed=lambda: False,
)
def binary_digits(progress: Progress | None) -> Drawn:
    """scikit-learn's digits as bits ``[N, 1, 8, 8]``."""
    return _thresholded("binary_digits", progress)


@bit_set(
    "binary_mnist",
    "MNIST, black and white",
    "Handwritten digits, 28 × 28, white above half grey.",
    shape=lambda: (1, 28, 28),
    listed=lambda: False,
    missing=lambda: images.available("mnist"),
)
def binary_mnist(progress: Progress | None) -> Drawn:
    """MNIST as bits ``[N, 1, 28, 28]``. Raises DataError."""
    return _thresholded("binary_mnist", progress)
