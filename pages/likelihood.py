"""Likelihood: log p of single data."""

import streamlit as st

from pages.ui import page

page.open_page("likelihood")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from pages.ui import kinds
from pages.ui.components import paper_tables
from pages.ui.components.export_row import export_row
from pages.ui.controls import widgets
from pages.ui.kinds import menu

with page.stop_on_error(CheckpointError, DataError, OSError), st.sidebar:
    model, seed = menu.model_of(menu.choose_model("likelihood_of")), widgets.seed()
with page.stop_on_error(ValueError):  # such as images that are not available
    export = kinds.of(model.source).show_likelihood(model, seed)
paper_tables.show(
    "Table 2 of the paper: MNIST by Parzen windows",
    ["digits"],
    "Parzen-window estimates depend strongly on the window width: training images used as samples score 346 bits, more than any model. "
    "Pixels lie in [0, 1].",
)
export_row(*export)
