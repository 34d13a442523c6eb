"""Rows of bits to set by clicking: the user's own patterns, or the known bits of a sequence."""

from __future__ import annotations

import contextlib
from typing import Any

from pages.ui import session
from pages.ui.components.common import register

__all__ = ["bit_pad", "check"]

SCRIPTS = ("common/elements.js", "common/theme.js", "common/lifecycle.js", "component.js")

_component = register("dpm_bit_pad", "bit_pad", SCRIPTS)


def bit_pad(store: str, cells: str, columns: int, key: str, free: bool = False, label: str = "Bits") -> None:
    """Show cells row by row: "0", "1" and, where ``free``, "." for an unknown bit.

    store: session key that holds the cells after a click, from the start of the next run, if they pass `check`; cells
        that are not valid are ignored.
    cells: the cells shown now; other cells under the same key replace them.
    columns: cells per row.
    key: widget key, unique on the page.
    label: name for screen readers.
    """

    def save() -> None:
        with contextlib.suppress(ValueError):
            session.set_widget(store, check(session.component_state(key, "cells"), len(cells), free))

    data = {"cells": cells, "columns": columns, "free": free, "label": label}
    _component(key=key, data=data, default={"cells": None}, on_cells_change=save)


def check(cells: Any, count: int, free: bool = False) -> str:
    """Return cells that came from outside; ValueError unless they are a string of ``count`` cells."""
    allowed = set("01." if free else "01")
    if not isinstance(cells, str) or len(cells) != count or not set(cells) <= allowed:
        raise ValueError(f"The pattern must be a text of {count} characters out of {', '.join(sorted(allowed))}.")
    return cells
