"""Rows of bits to click on: patterns of one's own, or the bits of a sequence that are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

__all__ = ["bit_pad", "check"]

_HERE = Path(__file__).parent
_COMPONENT = st.components.v2.component(
    "dpm_bit_pad",
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("../elements.js", "component.js")),
    isolate_styles=True,
)


def bit_pad(
    cells: str, columns: int, key: str, free: bool = False, label: str = "Bits", on_change: Callable[[], None] | None = None
) -> Any:
    """Show cells row by row: "0", "1" and, where ``free``, "." for a bit that may be either.

    Returns the component's state: ``result.cells`` is None before the first click, then a string from the browser, to be
    passed through :func:`check`. Other cells under the same key replace what is shown.
    """
    data = {"cells": cells, "columns": columns, "free": free, "label": label}
    return _COMPONENT(key=key, data=data, default={"cells": None}, on_cells_change=on_change or (lambda: None))


def check(cells: Any, count: int, free: bool = False) -> str:
    """Cells from outside as they are; ValueError unless a string of ``count`` cells."""
    allowed = set("01." if free else "01")
    if not isinstance(cells, str) or len(cells) != count or not set(cells) <= allowed:
        raise ValueError(f"These must be {count} cells of {' and '.join(sorted(allowed))}.")
    return cells
