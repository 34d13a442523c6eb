"""The holes that benchmarks.inpainting_peers fills: squares at random places, writing over the picture, a wire, a person."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SQUARES = (32, 64, 100)  # pixels
SHAPES = ("writing", "wire", "person")
NAMES = (*(f"{size} px" for size in SQUARES), *SHAPES)
MARGIN = 16  # pixels: between a square and the border


def hole(name: str, picture: str, side: int, seed: int) -> np.ndarray:
    """The hole, bool ``[side, side]``; the place of a square follows from the picture's name and the seed."""
    if name in SHAPES:
        return _drawn(name, side)
    size = int(name.split()[0])
    top, left = np.random.default_rng([seed, size, *picture.encode()]).integers(MARGIN, side - MARGIN - size, 2)
    missing = np.zeros((side, side), bool)
    missing[top : top + size, left : left + size] = True
    return missing


def _drawn(name: str, side: int) -> np.ndarray:
    """Letters or a cable 5 pixels thick, or a figure of 56 × 156, in a picture of 256 pixels and scaled with the side."""
    image = Image.new("L", (side, side))
    draw, s = ImageDraw.Draw(image), side / 256
    if name == "writing":
        font = ImageFont.load_default(size=34 * s)
        for k, line in enumerate(("the pixels", "under these", "letters are", "missing")):
            draw.text((20 * s, (36 + 48 * k) * s), line, fill=255, font=font)
    elif name == "wire":
        draw.line([(x * s, (120 + 30 * np.cos(x / 80)) * s) for x in range(0, 260, 4)], fill=255, width=round(4 * s))
    else:
        draw.ellipse([112 * s, 60 * s, 144 * s, 96 * s], fill=255)
        draw.rounded_rectangle([100 * s, 94 * s, 156 * s, 160 * s], 14 * s, fill=255)
        for left in (106, 130):
            draw.rectangle([left * s, 150 * s, (left + 20) * s, 216 * s], fill=255)
    return np.asarray(image) > 100
