"""Inpaint: mark the missing part of a picture, and fill it."""

import streamlit as st

from pages.ui import page

page.open_page("inpaint")

from pages.ui import session
from pages.ui.inpainting import bit_completion, controls, pictures, views
from pages.ui.inpainting.filling import Filling

with page.stop_on_error(ValueError):  # of files and checkpoints
    with st.sidebar:
        choice = pictures.choose()
    if choice == "bits":
        bit_completion.show()
        st.stop()
    picture = choice if isinstance(choice, pictures.Picture) else pictures.drawn()
    with st.sidebar:
        how = controls.settings(picture)
base = controls.base(picture, how[2])
filling = session.FILLING.get(Filling)
busy = filling is not None and filling.busy
st.fragment(views.stage, run_every=views.POLL if busy else None)(picture, base, how, busy)
st.caption(
    "At every reverse step the known pixels are reset to their values (noised to level t), which samples, approximately, from the "
    "posterior over the missing pixels. Each seed gives one posterior sample; where samples differ, the missing content is uncertain."
)
