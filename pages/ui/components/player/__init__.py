"""The player of particles and images: a whole trajectory is sent once and played in the browser.

from pages.ui.components.player import Panel, Stage, pack, player
result = player(pack(Stage(...)), key="reverse")
result.pick    # None, or the point that was clicked, for one run only
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages.ui.components.common import ignore_change, register
from pages.ui.components.player.layers import Arrows, Lines, Mesh
from pages.ui.components.player.pack import pack, unpack
from pages.ui.components.player.panels import Images, Panel
from pages.ui.components.player.picks import clean_pick
from pages.ui.components.player.readouts import Formula, Histogram, Number
from pages.ui.components.player.stage import Stage

__all__ = [
    "Arrows", "Formula", "Histogram", "Images", "Lines", "Mesh", "Number", "Panel", "Stage", "clean_pick", "pack", "player", "unpack",
]  # fmt: skip

SCRIPTS = (
    "common/elements.js", "common/numbers.js", "common/theme.js", "common/lifecycle.js", "common/pointer.js", "common/message.js",
    "payload.js", "camera.js", "particles.js", "layers.js", "marks.js", "panel.js", "images.js",
    "controls.js", "histogram.js", "versions.js", "input.js", "share.js", "render.js", "playback.js", "stage.js", "component.js",
    "follow.js",
)  # fmt: skip

_component = register("dpm_player", "player", SCRIPTS)


def player(payload: bytes, key: str, on_pick: Callable[[], Any] | None = None) -> Any:
    """Show a packed stage and return the component's result.

    payload: bytes from `pack`. Other bytes under the same key replace the picture in place; time, play state, speed
        and switches stay as they are.
    key: widget key, unique on the page.
    on_pick: called without arguments before the rerun that follows a click.

    ``result.pick`` is None except in the run after a click, when it is a dictionary as the browser sent it: pass it
    through `clean_pick` before use.
    """
    return _component(key=key, data=payload, on_pick_change=on_pick or ignore_change, width="stretch", height="content")
