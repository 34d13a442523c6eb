"""The painter: a person marks what is missing of a picture, or draws one.

from pages.shared import painter
from pages.ui.components.painter import masks

if "mask" not in st.session_state:
    st.session_state["mask"] = masks.centre(image.shape)
painted = painter.paint(image, st.session_state["mask"], key="painter")
st.session_state["mask"] = painted.mask

The page keeps the mask, in a session key of its own as above, so that it survives reruns and changes of page. The
page may put any other mask there (a preset, an upload) and the canvas takes it at the next run; undo in the browser
brings the former one back.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.ui.components.painter import masks
from pages.ui.components.painter.agreement import Agreement, known_pictures
from pages.ui.components.painter.masks import MaskError
from pages.ui.components.painter.pack import check_mask, check_picture, pack

__all__ = ["MaskError", "Painted", "masks", "paint"]

_HERE = Path(__file__).parent
# One ES module reaches the browser; the order only puts helpers before their use.
_SCRIPTS = (
    "../elements.js",
    "payload.js",
    "raster.js",
    "outline.js",
    "history.js",
    "view.js",
    "draw.js",
    "toolbar.js",
    "pointer.js",
    "keys.js",
    "component.js",
)

_component = st.components.v2.component(
    "dpm_painter",
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    isolate_styles=True,
)


class Painted(NamedTuple):
    """mask: bool [H, W], True where the picture is missing.
    drawing: uint8 [H, W] in mode "draw", else None.
    revision: one more with every change of the mask or drawing, whoever made it.
    problem: one sentence when a message from the browser could not be believed and was left out, else "".
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
    mask: bool [H, W], the mask this function returned last or another one that the page now wants; in mode "draw"
        it is not used and may be None.
    key: widget key, unique on the page.
    result: uint8, a completion, shown inside the hole in place of the veil. It may change at any rate: zoom, undo
        and a stroke under the pointer stay as they are.
    filled: bool [H, W], the mask for which the result was made, so that what was painted since is seen as missing;
        None for the current mask.
    before: uint8, the truth or the original, to compare with; None to compare a result with the image.
    height: of the canvas in CSS pixels; None for the usual height of a stage.

    Call it in every run of its page or fragment. Raises ValueError when an argument does not fit the others, never
    for what the browser sends.
    """
    check_picture("image", image)
    plane = image if mode == "draw" else mask
    if mode != "draw":
        check_mask("mask", mask, image.shape[:2])
    assert plane is not None
    agreement = _agreement(key, plane)
    agreement.offer(plane)
    # Streamlit has the browser's message before the component is called: heard first, the canvas is sent what it
    # already shows and can be built anew at any time.
    message = _message(st.session_state.get(key))
    problem = agreement.hear(message)
    now = agreement.plane
    payload = pack(
        now if mode == "draw" else image, None if mode == "draw" else now, agreement.revision,
        mode=mode, result=result, filled=filled, before=before, height=height, known=known_pictures(message),
    )  # fmt: skip
    state = _component(
        key=key,
        data=payload,
        default={"painting": None},
        on_painting_change=lambda: None,
        width="stretch",
        height="content",
    )
    problem = agreement.hear(_message(state)) or problem
    now = agreement.plane.copy()
    if mode == "draw":
        return Painted(np.zeros(now.shape, dtype=bool) if mask is None else mask, now, agreement.changes, problem)
    return Painted(now, None, agreement.changes, problem)


def _agreement(key: str, plane: np.ndarray) -> Agreement:
    """The one under this key. It lives in a session key that no widget owns, so it stays when the page changes."""
    name = f"{key}_agreement"
    kept = st.session_state.get(name)
    if not isinstance(kept, Agreement):
        kept = st.session_state[name] = Agreement(plane)
    return kept


def _message(state: object) -> object:
    try:
        return state["painting"]  # type: ignore[index]
    except (KeyError, TypeError):
        return None
