"""Inpaint: paint over what is missing, and see it filled."""

import streamlit as st

from pages.ui import page
from pages.ui.components.painter import paint
from pages.ui.inpainting import controls, pictures, views
from pages.ui.inpainting.filling import Filling
from pages.ui.kinds.bits import completion

POLL = 0.4  # seconds between two looks at a hole being filled

page.open_page(
    "Inpaint", "Paint over what is missing. Each step back from noise is multiplied by what is known, and the hole fills itself."
)
try:
    with st.sidebar:
        picture = pictures.choose()
    if picture == "bits":
        completion.show()
        st.stop()
    if picture == "drawn":
        picture = pictures.drawn()
    with st.sidebar:
        name, n, seed, options = controls.settings(picture)
except ValueError as error:  # of files and checkpoints, in one sentence
    st.error(str(error))
    st.stop()
base = controls.base(picture, seed)


def fill() -> None:
    """What the button does: whatever is painted by now, with what the controls say."""
    controls.begin(base, st.session_state["inpaint_mask"], name, n, seed, options)


def stage(polled: bool) -> None:
    """The painter, its buttons and, while something is filled, what there is of it."""
    filling: Filling | None = st.session_state["inpaint_filling"]
    shown = {} if filling is None else views.shown(filling)
    painted = paint(base, st.session_state["inpaint_mask"], key="inpaint_canvas", before=picture.pixels, **shown)
    st.session_state["inpaint_mask"] = painted.mask
    running = filling is not None and filling.running
    with st.container(horizontal=True, vertical_alignment="center", key="inpaint_buttons"):
        st.button("Fill", on_click=fill, type="primary", key="fill", disabled=running, width=84)
        st.button("Stop", on_click=filling and filling.stop, key="stop_filling", disabled=not running, width=84)
        views.mask_menu(base.shape[:2], seed)
        titles = views.IN_THE_HOLE
        if running:
            st.segmented_control(
                "In the hole", list(titles), default="guess", format_func=titles.get, key="in_the_hole", label_visibility="collapsed"
            )
        if st.session_state["inpaint_base"] is not None:
            st.button("Back to the original", on_click=views.start_anew, key="anew", type="tertiary")
    for problem in (painted.problem, st.session_state.get("inpaint_problem"), filling and filling.problem):
        if problem:
            st.error(problem)
    if filling is not None and not filling.problem:
        views.result(filling, picture)
    if (filling is not None and filling.busy) != polled:
        st.rerun()


busy = (filling := st.session_state["inpaint_filling"]) is not None and filling.busy
st.fragment(stage, run_every=POLL if busy else None)(busy)
st.caption(
    "What is known is held fast at every step of the way down, so the model is sampled from its posterior: p(x) times a factor that "
    "allows only what can be seen. Fill again with another seed: each completion is one draw, and where they differ nobody can know."
)
