"""Images as pictures to keep: rows, sheets and GIFs. uint8 in, uint8 out; no torch, no streamlit."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dpm_core.figures.palette import GROUND, Role
from dpm_core.figures.rasters import animated, rgb, tile


def tinted(share: np.ndarray, role: Role, dark: bool) -> np.ndarray:
    """Shares 0..1 ``[..., H, W]``, such as bits, as colour ``[..., H, W, 3]`` from the ground to the role's."""
    ground, ink = (rgb(colour.dark if dark else colour.light) for colour in (GROUND, role))
    return np.rint(ground + share[..., None] * (ink - ground)).astype(np.uint8)


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """Grey ``[n, H, W]`` or colour ``[n, H, W, 3]`` images as colour, their pixels whole squares, nearly ``side`` high."""
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, -1)
    factor = max(1, side // images.shape[1])
    return colour.repeat(factor, 1).repeat(factor, 2)


def sheet(images: np.ndarray, columns: int, side: int, gap: int = 4, ground: str | None = None) -> np.ndarray:
    """Images row by row: RGBA with clear gaps, or RGB on a ``ground``."""
    large = enlarged(images, side)
    if ground is not None:
        return tile(large, columns, gap, rgb(ground).astype(np.uint8))
    return tile(np.concatenate([large, np.full_like(large[..., :1], 255)], -1), columns, gap, 0)


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
    return animated(frames, seconds, hold)
