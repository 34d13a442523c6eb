"""Images as pictures for export: rows, sheets and GIFs. uint8 in, uint8 out."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dpm_core.figures.palette import GROUND, Role
from dpm_core.figures.rasters import animated, rgb, tile


def tinted(share: np.ndarray, role: Role, dark: bool) -> np.ndarray:
    """Return values 0..1 ``[..., H, W]``, such as bits, as colours ``[..., H, W, 3]`` between the background and the role's colour."""
    ground, ink = (rgb(colour.dark if dark else colour.light) for colour in (GROUND, role))
    return np.rint(ground + share[..., None] * (ink - ground)).astype(np.uint8)


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """Return grey ``[n, H, W]`` or colour ``[n, H, W, 3]`` images in colour, each pixel enlarged to a square, about ``side`` high."""
    colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, -1)
    factor = max(1, side // images.shape[1])
    return colour.repeat(factor, 1).repeat(factor, 2)


def sheet(images: np.ndarray, columns: int, side: int, gap: int = 4, ground: str | None = None) -> np.ndarray:
    """Return images arranged in rows: RGBA with transparent gaps, or RGB on a ``ground``."""
    large = enlarged(images, side)
    if ground is not None:
        return tile(large, columns, gap, rgb(ground).astype(np.uint8))
    return tile(np.concatenate([large, np.full_like(large[..., :1], 255)], -1), columns, gap, 0)


def gif(panels: list[np.ndarray], dark: bool = False, size: int = 320, seconds: float = 5.0, hold: float = 1.0) -> bytes:
    """Return panels ``[F, n, H, W]`` or ``[F, n, H, W, 3]`` side by side as a looping GIF that holds its last frame."""
    ground = GROUND.dark if dark else GROUND.light
    columns = int(np.ceil(np.sqrt(panels[0].shape[1])))
    frames = []
    for i in range(len(panels[0])):
        sheets = [sheet(panel[i], columns, size // columns, ground=ground) for panel in panels]
        space = np.broadcast_to(rgb(ground).astype(np.uint8), (len(sheets[0]), 16, 3))
        joined = np.concatenate([part for one in sheets for part in (one, space)][:-1], 1)
        frames.append(Image.fromarray(joined).quantize(128, dither=Image.Dither.NONE))
    return animated(frames, seconds, hold)
