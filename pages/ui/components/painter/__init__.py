"""The painter: the user marks the missing part of a picture, or draws one.

from pages.ui.components import painter
from pages.ui.components.painter import masks

if session.MASK.get() is None:
    session.MASK.set(masks.centre(image.shape))
painted = painter.paint(image, session.MASK.get(), key="painter")
session.MASK.set(painted.mask)

The page stores the mask in its own session key, as above, so that it survives reruns and changes of page. The page may
replace it at any time (by a preset or an upload): the canvas shows the new mask in the next run, and undo in the
browser restores the former one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pages.ui import session
from pages.ui.components.common import ignore_change, register
from pages.ui.components.painter import masks
from pages.ui.components.painter.masks import MaskError
from pages.ui.components.painter.pack import check_mask, check_picture, pack
from pages.ui.components.painter.sync import PlaneSync, known_pictures

__all__ = ["MaskError", "Painted", "masks", "paint"]

SCRIPTS = (
    "common/elements.js", "common/numbers.js", "common/theme.js", "common/lifecycle.js", "common/pointer.js", "common/message.js",
    "payload.js", "raster.js", "outline.js", "history.js", "view.js", "draw.js", "toolbar.js", "pointer.js", "keys.js", "component.js",
)  # fmt: skip

_component = register("dpm_painter", "painter", SCRIPTS)


class Painted(NamedTuple):
    """What is on the canvas.

    mask: bool [H, W], True where the picture is missing.
    drawing: uint8 [H, W] in mode "draw", else None.
    revision: number of changes of the mask or drawing so far, by the page or by the user.
    problem: one sentence when a message from the browser was not valid and was ignored, else "".
    """

    mask: np.ndarray
    drawing: np.ndarray | None
    revision: int
    problem: str


def paint(
    image: np.ndarray,
    mask: np.ndarray | None,
    *,
    key: str,
    mode: str = "mask",
    result: np.ndarray | None = None,
    filled: np.ndarray | None = None,
    before: np.ndarray | None = None,
    height: int | None = None,
) -> Painted:
    """Show the canvas and return what is on it.

    image: uint8 [H, W] or [H, W, 3]; in mode "draw" the drawing so far, uint8 [H, W].
    mask: bool [H, W], the mask that this function returned last, or another one that the page now wants; in mode
        "draw" it is not used and may be None.
    key: widget key, unique on the page.
    result: uint8, a completion, shown inside the hole in place of the veil. It may change at any rate: zoom, undo and
        a stroke in progress are not affected.
    filled: bool [H, W], the mask for which the result was made, so that what was painted since then is shown as
        missing; None for the current mask.
    before: uint8, the original to compare with; None to compare a result with the image.
    height: of the canvas in CSS pixels; None for the usual height of a stage.

    Call it in every run of its page or fragment. Raises ValueError when an argument does not fit the others, but never
    because of what the browser sends.
    """
    check_picture("image", image)
    plane = image if mode == "draw" else mask
    if mode != "draw":
        check_mask("mask", mask, image.shape[:2])
    assert plane is not None
    sync = _sync(key, plane)
    sync.offer(plane)
    # Streamlit has the browser's message before the component is called. It is applied first, so that the canvas is sent
    # what it already shows and can be built anew at any time.
    message = _message(session.widget_value(key, None))
    problem = sync.receive(message)
    now = sync.plane
    payload = pack(
        now if mode == "draw" else image, None if mode == "draw" else now, sync.revision,
        mode=mode, result=result, filled=filled, before=before, height=height, known=known_pictures(message),
    )  # fmt: skip
    state = _component(
        key=key, data=payload, default={"painting": None}, on_painting_change=ignore_change, width="stretch", height="content"
    )
    problem = sync.receive(_message(state)) or problem
    now = sync.plane.copy()
    if mode == "draw":
        return Painted(np.zeros(now.shape, dtype=bool) if mask is None else mask, now, sync.changes, problem)
    return Painted(now, None, sync.changes, problem)


def _sync(key: str, plane: np.ndarray) -> PlaneSync:
    """The state of synchronisation under this key. Its session key belongs to no widget, so it survives a change of page."""
    slot = session.ObjectKey(f"{key}_sync")
    if (stored := slot.get(PlaneSync)) is None:
        slot.set(stored := PlaneSync(plane))
    return stored


def _message(state: Any) -> Any:
    """The browser's last message in the component's state, or None."""
    try:
        return state["painting"]
    except (KeyError, TypeError):
        return None
