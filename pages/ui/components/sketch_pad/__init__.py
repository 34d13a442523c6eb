"""A pad on which the user draws a data set in the plane."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from pages.ui import session
from pages.ui.components.common import ignore_change, register
from pages.ui.components.sketch_pad.codec import decode, encode, points, validate

__all__ = ["decode", "encode", "points", "sketch_pad", "strokes_on_pad", "validate"]

SCRIPTS = (
    "common/elements.js", "common/numbers.js", "common/theme.js", "common/lifecycle.js", "common/pointer.js",
    "strokes.js", "draw.js", "component.js",
)  # fmt: skip

_component = register("dpm_sketch", "sketch_pad", SCRIPTS)


def sketch_pad(strokes: list[list[int]] | None, key: str, on_strokes_change: Callable[[], None] | None = None) -> Any:
    """Show the pad with ``strokes`` on it and return the component's state; other strokes later replace the drawing.

    strokes: ``[[x0, y0, x1, y1, ...], ...]``, integers 0 to 255, y up; ``None`` for an empty pad.
    key: widget key, unique on the page.
    on_strokes_change: called without arguments before the rerun that follows a change.

    ``result.strokes`` has the same form after the first stroke, erasure, undo or clear and is ``None`` before. It comes
    from the browser: pass it through `validate`. It is lost when the page changes, so store a copy in the session.
    """
    checked = validate(strokes or [])
    return _component(
        key=key,
        data={"strokes": checked, "id": zlib.crc32(encode(checked).encode("ascii"))},
        default={"strokes": None},
        on_strokes_change=on_strokes_change or ignore_change,
    )


def strokes_on_pad(link: session.LinkKey, default: list[list[int]], key: str) -> list[list[int]]:
    """The strokes drawn on the pad ``key``. A message from the browser that makes no sense leaves the last strokes in place."""
    strokes = link.read(decode, default)
    result = sketch_pad(strokes, key=key)
    if result.strokes is not None:
        try:
            strokes = validate(result.strokes)
        except ValueError as error:
            session.complain(str(error))
    link.write(strokes, encode(strokes) if strokes != default else None)
    return strokes
