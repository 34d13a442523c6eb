"""Strokes drawn on the pad: checks, text for links, points in the plane.

A drawing is a list of strokes; a stroke is a flat list ``[x0, y0, x1, y1, ...]`` of integers from
0 to 255 with y pointing up.  A drawing holds at most 400 points.
"""

import base64
import binascii
from typing import Any

import numpy as np

MAX_POINTS = 400
SIDE = 255

# 400 strokes of one point take three bytes each; base64 turns three bytes into four letters.
_MAX_TEXT = MAX_POINTS * 4
_BAD_LINK = "The drawing in this link cannot be read: copy the complete link again, or draw a new shape."


def validate(strokes: Any) -> list[list[int]]:
    """Return a checked copy of strokes that came from outside. Raises ValueError."""
    if not isinstance(strokes, list):
        raise ValueError("The drawing is not a list of strokes: clear the pad and draw again.")
    total = 0
    for stroke in strokes:
        if not isinstance(stroke, list) or not stroke or len(stroke) % 2:
            raise ValueError("A stroke is not a list of x, y pairs: clear the pad and draw again.")
        total += len(stroke) // 2
        if total > MAX_POINTS:
            raise ValueError(f"The drawing has more than {MAX_POINTS} points: erase a part or draw a shorter shape.")
        # bool is a subclass of int, so the type itself is compared.
        if any(type(value) is not int or not 0 <= value <= SIDE for value in stroke):
            raise ValueError(f"A coordinate is not a whole number from 0 to {SIDE}: clear the pad and draw again.")
    return [list(stroke) for stroke in strokes]


def encode(strokes: list[list[int]]) -> str:
    """Return the strokes as base64url text without padding; the same drawing always gives the same text.

    Each stroke is its number of points (one byte below 128, else two: low seven bits first)
    followed by one byte per coordinate.
    """
    packed = bytearray()
    for stroke in validate(strokes):
        count = len(stroke) // 2
        packed += bytes([count]) if count < 128 else bytes([count & 127 | 128, count >> 7])
        packed += bytes(stroke)
    return base64.urlsafe_b64encode(bytes(packed)).decode("ascii").rstrip("=")


def decode(text: str) -> list[list[int]]:
    """Return the strokes of a text: the inverse of `encode`. Raises ValueError on any text that `encode` cannot have made."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise ValueError(_BAD_LINK)
    strokes = []
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        start = 0
        while start < len(packed):
            count = packed[start]
            start += 1
            if count > 127:
                count = count & 127 | packed[start] << 7
                start += 1
            strokes.append(list(packed[start : start + 2 * count]))
            start += 2 * count
        # Truncated strokes, stray bits and overlong counts all fail to come back as they were.
        if encode(strokes) != text:
            raise ValueError(_BAD_LINK)
    except (binascii.Error, IndexError, ValueError) as error:
        raise ValueError(_BAD_LINK) from error
    return strokes


def points(strokes: list[list[int]]) -> np.ndarray:
    """Return the points of all strokes, float64 [n, 2] in [-1, 1], x to the right and y up; [0, 2] for an empty pad."""
    flat = [value for stroke in strokes for value in stroke]
    return np.asarray(flat, dtype=np.float64).reshape(-1, 2) * (2.0 / SIDE) - 1.0
