"""Lab: what four neighbours share with diffusion models, each with a live picture."""

import streamlit as st

from pages.ui import page

page.open_page("lab")

from pages.ui.components.export_row import export_row
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.lab.story import text, thumbnails

with st.sidebar:
    seed = widgets.seed()
with working("Preparing four pictures …"):
    payload = thumbnails.payload(seed)
player(payload, key="lab")
text.show()
export_row("dpm-lab", thumbnails.python_of(seed), thumbnails.arrays(seed))
