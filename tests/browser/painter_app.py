"""A small app around the painter for its browser test: the canvas, and in words what the server knows."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import streamlit as st

from pages.ui.components import painter
from pages.ui.components.painter import masks

SIZES = {"photo": (180, 260), "small": (20, 28), "draw": (28, 28), "live": (120, 160), "compare": (120, 160)}


def picture(case: str) -> np.ndarray:
    """Smooth colours with a dark and a light quarter; black paper for a drawing."""
    height, width = SIZES[case]
    if case == "draw":
        return np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width] / max(height, width)
    return (255 * np.stack([x, 0.3 + 0.4 * np.sin(20 * x * y) ** 2, 1 - y], -1)).clip(0, 255).astype(np.uint8)


def tell(painted: painter.Painted) -> None:
    """What the server knows, as JSON; when it heard of a change, by its own clock."""
    if painted.revision != st.session_state.get("seen", 0):
        st.session_state["heard"] = time.time()
    st.session_state["seen"] = painted.revision
    if painted.problem:
        st.session_state["problem"] = painted.problem
    runs = masks.encode(painted.mask) if painted.drawing is None else masks.encode_drawing(painted.drawing)
    kept = {name: st.session_state.get(name) for name in ("heard", "problem", "tick")}
    with st.container(key="server"):
        st.text(json.dumps({"runs": runs, "revision": painted.revision, **kept}))


def canvas(case: str) -> None:
    state = st.session_state
    if case == "draw":
        painted = painter.paint(state["paper"], None, key="painter", mode="draw", height=420)
        state["paper"] = painted.drawing
        return tell(painted)
    image = picture(case)
    options: dict[str, Any] = {}
    if case == "compare":
        options["before"] = 255 - image
    if case == "live":
        # a completion that is another one in every run
        state["tick"] = state.get("tick", 0) + 1
        options |= {"result": np.full(image.shape, 5 * state["tick"] % 256, np.uint8), "filled": state["mask"]}
    painted = painter.paint(image, state["mask"], key="painter", **options)
    state["mask"] = painted.mask
    tell(painted)


def paint_page() -> None:
    st.title("Painter")
    state = st.session_state
    case = st.query_params.get("case", state.get("case", "photo"))
    state["case"] = case
    if "mask" not in state:
        state["mask"] = masks.centre(SIZES[case], 60) if case == "live" else np.zeros(SIZES[case], bool)
        state["paper"] = picture("draw")
    with st.container(horizontal=True):
        if st.button("Centre"):
            state["mask"] = masks.centre(SIZES[case], 20)
        if st.button("Start anew"):
            state["mask"] = np.zeros(SIZES[case], bool)
            state["paper"] = picture("draw")
        st.button("Run again")
        st.text_input("Words", key="words")
    st.fragment(canvas, run_every=0.2 if case == "live" else None)(case)


def other_page() -> None:
    st.title("Elsewhere")


if __name__ == "__main__":
    st.set_page_config("Painter", layout="wide", initial_sidebar_state="collapsed")
    st.navigation(
        [
            st.Page(paint_page, title="Painter", url_path="paint", default=True),
            st.Page(other_page, title="Elsewhere", url_path="elsewhere"),
        ],
        position="top",
    ).run()
