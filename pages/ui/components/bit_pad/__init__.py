"""Rows of bits to click on: patterns of one's own, or the bits of a sequence that are known."""

import contextlib
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


def bit_pad(store: str, cells: str, columns: int, key: str, free: bool = False, label: str = "Bits") -> None:
    """Show cells row by row: "0", "1" and, where ``free``, "." for a bit that may be either.

    What is clicked stands in the session under ``store`` from the beginning of the run that follows, once it has passed
    :func:`check`; nonsense from the browser leaves what was there. Other cells under the same key replace what is shown.
    """

    def keep() -> None:
        with contextlib.suppress(ValueError):
            st.session_state[store] = check(st.session_state[key].cells, len(cells), free)

    data = {"cells": cells, "columns": columns, "free": free, "label": label}
    _COMPONENT(key=key, data=data, default={"cells": None}, on_cells_change=keep)


def check(cells: Any, count: int, free: bool = False) -> str:
    """Cells from outside as they are; ValueError unless a string of ``count`` cells."""
    allowed = set("01." if free else "01")
    if not isinstance(cells, str) or len(cells) != count or not set(cells) <= allowed:
        raise ValueError(f"These must be {count} cells of {' and '.join(sorted(allowed))}.")
    return cells
