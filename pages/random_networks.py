"""Random networks: signals and gradients in deep networks before training, and which depths can be trained."""

import streamlit as st

from pages.ui import page

page.open_page("random_networks")

from pages.ui.components.export_row import export_row
from pages.ui.lab.networks import question, trained_grid, views

with page.stop_on_error(ValueError, OSError):
    with st.sidebar:
        asked = question.controls()
    export = views.show(asked)
    trained = trained_grid.section(asked)
views.sources()
export_row(*export._replace(arrays={**(export.arrays or {}), **trained}))
