"""The player of particles and images: a whole trajectory is sent once and played in the browser.

from pages.ui.components.player import Panel, Stage, pack, player
result = player(pack(Stage(...)), key="reverse")
result.pick    # None, or where the visitor clicked, for one run only
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from .pack import (
    Arrows,
    Formula,
    Histogram,
    Images,
    Lines,
    Mesh,
    Number,
    Panel,
    Stage,
    clean_pick,
    pack,
    unpack,
)

__all__ = [
    "Arrows",
    "Formula",
    "Histogram",
    "Images",
    "Lines",
    "Mesh",
    "Number",
    "Panel",
    "Stage",
    "clean_pick",
    "pack",
    "player",
    "unpack",
]

_HERE = Path(__file__).parent
# One ES module reaches the browser; the order only puts helpers before their use.
_SCRIPTS = (
    "../elements.js",
    "payload.js",
    "draw.js",
    "images.js",
    "controls.js",
    "histogram.js",
    "versions.js",
    "input.js",
    "share.js",
    "component.js",
)

_component = st.components.v2.component(
    "dpm_player",
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    isolate_styles=True,
)


def _nothing() -> None:
    """Stand-in callback: the result has a `pick` field only when one is given."""


def player(payload: bytes, key: str, on_pick: Callable[[], Any] | None = None):
    """Show a packed stage.

    payload: bytes from `pack`. Sending other bytes under the same key replaces the
        picture in place; time, play state, speed and switches stay as they are.
    key: widget key, unique on the page.
    on_pick: called without arguments before the rerun that follows a click.

    Returns the component result. `result.pick` is None except in the run after a
    click, when it is a dictionary as sent by the browser: pass it through `clean_pick`
    before use.
    """
    return _component(
        key=key,
        data=payload,
        on_pick_change=on_pick or _nothing,
        width="stretch",
        height="content",
    )
