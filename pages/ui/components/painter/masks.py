"""Masks: which pixels of a picture are missing. Run lengths for the browser, PNG files, ready-made shapes.

A mask is bool ``[H, W]``, True where the picture is missing. A drawing is uint8 ``[H, W]``, 255 is full ink.
This module does not import Streamlit.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.morphology import dilation, disk, erosion

from dpm_core.data.errors import DataError
from dpm_core.data.uploads import read_image

__all__ = [
    "MaskError", "centre", "decode", "decode_drawing", "encode", "encode_drawing", "grow", "half", "random", "read_png", "shrink",
    "text_strip", "to_png",
]  # fmt: skip

Shape = tuple[int, ...]
WORDS = ("thermodynamics", "entropy", "bit")
LETTER = 8  # pixels of width that a letter needs to be legible


class MaskError(ValueError):
    """A mask that cannot be used; the message is one sentence for the user."""


# ---- run lengths --------------------------------------------------------------------


def encode(mask: np.ndarray) -> list[int]:
    """Return the lengths of the runs of equal pixels, row by row; the first run is of False (0 where the first pixel is True)."""
    flat = np.asarray(mask, dtype=bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def decode(runs: Any, shape: Shape) -> np.ndarray:
    """Return the mask of runs that come from outside, bool [H, W]: the inverse of `encode`.

    Raises MaskError before anything large is allocated.
    """
    lengths = _lengths(_whole_numbers(runs, _pixels(shape) + 1, "mask"), shape, "mask")
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(shape[:2])


def encode_drawing(drawing: np.ndarray) -> list[int]:
    """Return grey levels and the length of their runs, ``[level, length, level, length, ...]``, row by row."""
    flat = np.asarray(drawing, dtype=np.uint8).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    return np.stack([flat[starts], lengths], -1).ravel().tolist()


def decode_drawing(runs: Any, shape: Shape) -> np.ndarray:
    """Return the drawing of runs that come from outside, uint8 [H, W]: the inverse of `encode_drawing`. Raises MaskError."""
    values = _whole_numbers(runs, 2 * _pixels(shape), "drawing")
    if len(values) % 2:
        raise MaskError("The drawing from the browser is incomplete, so the previous one was restored.")
    if any(level > 255 for level in values[::2]):
        raise MaskError("The drawing from the browser contains a grey level above 255, so the previous one was restored.")
    return np.repeat(np.array(values[::2], dtype=np.uint8), _lengths(values[1::2], shape, "drawing")).reshape(shape[:2])


def _pixels(shape: Shape) -> int:
    return int(shape[0]) * int(shape[1])


def _whole_numbers(values: Any, most: int, what: str) -> list[int]:
    """A list of at most ``most`` integers from 0 up."""
    if not isinstance(values, list):
        raise MaskError(f"The {what} from the browser is not a list of run lengths, so the previous one was restored.")
    if len(values) > most:
        raise MaskError(f"The {what} from the browser has more runs than the picture has pixels, so the previous one was restored.")
    # bool is a subclass of int, so the type itself is compared
    if any(type(value) is not int for value in values):
        raise MaskError(f"The {what} from the browser contains a run length that is not a whole number, so the previous one was restored.")
    if any(value < 0 for value in values):
        raise MaskError(f"The {what} from the browser contains a negative run length, so the previous one was restored.")
    return values


def _lengths(values: list[int], shape: Shape, what: str) -> np.ndarray:
    """Run lengths that add up to the pixels of the shape. They are summed before NumPy sees them: Python's integers do not overflow."""
    if (total := sum(values)) != _pixels(shape):
        seen = f"{total:,}" if total < 10**12 else "far too many"
        raise MaskError(
            f"The {what} from the browser covers {seen} pixels instead of {_pixels(shape):,}, so the previous one was restored."
        )
    return np.array(values, dtype=np.int64)


# ---- masks as image files --------------------------------------------------------------


def read_png(raw: bytes, shape: Shape) -> np.ndarray:
    """Return an image file as a mask of this shape, white = missing. Raises MaskError with one sentence."""
    try:
        picture = read_image(raw)
    except DataError as error:
        raise MaskError(str(error)) from None
    if picture.shape[:2] != tuple(shape[:2]):
        (found, expected) = (f"{size[1]:,} × {size[0]:,}" for size in (picture.shape, shape))
        raise MaskError(f"The mask has {found} pixels and the picture has {expected}: upload a mask of the picture's size.")
    return (picture if picture.ndim == 2 else picture.mean(-1)) >= 128


def to_png(mask: np.ndarray) -> bytes:
    """Return the mask as a black and white PNG, white = missing."""
    out = BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


# ---- ready-made masks ---------------------------------------------------------------


def half(shape: Shape, side: str = "left") -> np.ndarray:
    """Return a mask of one half; of an odd number of pixels, the smaller half."""
    height, width = shape[:2]
    parts: dict[str, tuple[slice, slice]] = {
        "left": np.s_[:, : width // 2],
        "right": np.s_[:, (width + 1) // 2 :],
        "top": np.s_[: height // 2, :],
        "bottom": np.s_[(height + 1) // 2 :, :],
    }
    if side not in parts:
        raise ValueError(f"The side must be one of {', '.join(parts)}, not {side!r}.")
    mask = np.zeros((height, width), dtype=bool)
    mask[parts[side]] = True
    return mask


def centre(shape: Shape, size: int = 100) -> np.ndarray:
    """Return a square hole in the middle, as in the paper's Fig. 5.

    size: of its sides in pixels; a third of the shorter side of the picture where it would exceed half of that.
    """
    height, width = shape[:2]
    short = min(height, width)
    side = size if 2 * size <= short else max(1, short // 3)
    mask = np.zeros((height, width), dtype=bool)
    top, left = (height - side) // 2, (width - side) // 2
    mask[top : top + side, left : left + side] = True
    return mask


def random(shape: Shape, share: float, seed: int) -> np.ndarray:
    """Return a mask of randomly chosen pixels, as many as this share of all, rounded. The same seed gives the same mask."""
    count = _pixels(shape)
    mask = np.zeros(count, dtype=bool)
    missing = round(min(max(share, 0.0), 1.0) * count)
    mask[np.random.default_rng(seed).choice(count, missing, replace=False)] = True
    return mask.reshape(shape[:2])


def text_strip(shape: Shape, text: str | None = None) -> np.ndarray:
    """Return a word written across the middle, nine tenths as wide as the picture and at most a third as high.

    text: None for the longest of WORDS whose letters are all wide enough to read.
    """
    height, width = shape[:2]
    wide = max(1, round(0.9 * width))
    word = text or next((one for one in WORDS if LETTER * len(one) <= wide), WORDS[-1])
    font = ImageFont.load_default(200)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(word))
    letters = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(letters).text((-left, -top), word, fill=255, font=font)
    high = max(1, round(min(height / 3, wide * letters.height / letters.width)))
    small = np.asarray(letters.resize((wide, high), Image.Resampling.BOX))
    mask = np.zeros((height, width), dtype=bool)
    y, x = (height - high) // 2, (width - wide) // 2
    mask[y : y + high, x : x + wide] = small >= 100
    return mask


# ---- larger and smaller -------------------------------------------------------------


def grow(mask: np.ndarray, k: int = 1) -> np.ndarray:
    """Return the mask with every pixel added that is within ``k`` pixels of a missing one."""
    return dilation(np.asarray(mask, dtype=bool), disk(k), mode="ignore") if k > 0 else np.array(mask, dtype=bool)


def shrink(mask: np.ndarray, k: int = 1) -> np.ndarray:
    """Return the mask without the pixels within ``k`` pixels of a known one; beyond the border pixels are neither known nor missing."""
    return erosion(np.asarray(mask, dtype=bool), disk(k), mode="ignore") if k > 0 else np.array(mask, dtype=bool)
