"""Images in rows on a page, and as an animation."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core.figures import image_sheets
from dpm_core.figures.rasters import frame_numbers, png
from pages.ui.components.data_uri import data_uri

GIF_FRAMES = 61


def animation(panels: tuple[np.ndarray, ...], dark: bool) -> bytes:
    """Panels of grey levels as a GIF of at most GIF_FRAMES frames."""
    keep = frame_numbers(len(panels[0]), GIF_FRAMES)
    return image_sheets.gif([panel[keep] for panel in panels], dark)


def row(images: np.ndarray, columns: int | None = None, side: int = 128) -> bytes:
    """Images beside each other, or in ``columns``, as a PNG."""
    return png(image_sheets.sheet(images, columns or len(images), side, gap=8))


def show_row(picture: bytes, labels: list[str], alt: str, share: float = 1 / 8) -> None:
    """A PNG of images in columns, a label under each; a column is at most ``share`` of the page wide."""
    spans = "".join(f"<span>{label}</span>" for label in labels)
    st.html(
        f'<div style="max-width:{min(100, 100 * len(labels) * share):g}%">'
        f'<img src="{data_uri(picture)}" alt="{alt}" style="width:100%;display:block;image-rendering:pixelated">'
        f'<div style="display:grid;grid-template-columns:repeat({len(labels)},1fr);text-align:center;font-size:0.8rem;opacity:0.72;'
        f'font-variant-numeric:tabular-nums">{spans}</div></div>'
    )
