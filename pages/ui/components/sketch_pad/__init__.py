"""A pad on which a person draws their own data set in the plane."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from .codec import decode, encode, points, validate

__all__ = ["decode", "encode", "points", "sketch_pad", "validate"]

_HERE = Path(__file__).parent

_COMPONENT = st.components.v2.component(
    "dpm_sketch",
    html='<div class="dpm-sketch"></div>\n',
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js=(_HERE / "component.js").read_text(encoding="utf-8"),
    isolate_styles=True,
)


def sketch_pad(
    strokes: list[list[int]] | None,
    key: str,
    on_strokes_change: Callable[[], None] | None = None,
) -> Any:
    """Show the pad with ``strokes`` on it; a later call with other strokes replaces the drawing.

    strokes  ``[[x0, y0, x1, y1, ...], ...]``, integers 0 to 255, y up; ``None`` for an empty pad.

    Returns the component's state: ``result.strokes`` has the same form after the first stroke,
    erasure, undo or clear and is ``None`` before.  It comes from the browser: pass it through
    ``validate``.  It is lost when the page changes, so keep a copy in the session.
    """
    checked = validate(strokes or [])
    return _COMPONENT(
        key=key,
        data={"strokes": checked, "id": zlib.crc32(encode(checked).encode("ascii"))},
        default={"strokes": None},
        on_strokes_change=on_strokes_change or (lambda: None),
    )
