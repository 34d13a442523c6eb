"""Images as pictures to keep: rows, sheets and GIFs. uint8 in, uint8 out; no torch, no streamlit."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from dpm_core.palette import GROUND
from dpm_core.pictures import rgb


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """Grey ``[n, H, W]`` or colour ``[n, H, W, 3]`` images as colour, their pixels whole squares, nearly ``side`` high."""
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, -1)
    factor = max(1, side // images.shape[1])
    return colour.repeat(factor, 1).repeat(factor, 2)


def sheet(images: np.ndarray, columns: int, side: int, gap: int = 4, ground: str | None = None) -> np.ndarray:
    """Images row by row: RGBA with clear gaps, or RGB on a ``ground``."""
    large = enlarged(images, side)
    n, height, width, _ = large.shape
    rows = -(-n // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    out = np.zeros((*size, 4), np.uint8) if ground is None else np.broadcast_to(rgb(ground).astype(np.uint8), (*size, 3)).copy()
    for i, image in enumerate(large):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + height, x : x + width, :3] = image
        if ground is None:
            out[y : y + height, x : x + width, 3] = 255
    return out


def gif(panels: list[np.ndarray], dark: bool = False, size: int = 320, seconds: float = 5.0, hold: float = 1.0) -> bytes:
    """Panels ``[F, n, H, W]`` or ``[F, n, H, W, 3]`` side by side as an endlessly looping GIF that holds its last frame."""
    ground = GROUND.dark if dark else GROUND.light
    columns = int(np.ceil(np.sqrt(panels[0].shape[1])))
    frames = []
    for i in range(len(panels[0])):
        sheets = [sheet(panel[i], columns, size // columns, ground=ground) for panel in panels]
        space = np.broadcast_to(rgb(ground).astype(np.uint8), (len(sheets[0]), 16, 3))
        joined = np.concatenate([part for one in sheets for part in (one, space)][:-1], 1)
        frames.append(Image.fromarray(joined).quantize(128, dither=Image.Dither.NONE))
    wait = max(20, round(1000 * seconds / len(frames)))
    out = BytesIO()
    durations = [wait] * (len(frames) - 1) + [round(1000 * hold)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    return out.getvalue()
