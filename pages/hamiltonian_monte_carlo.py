"""Hamiltonian Monte Carlo: sampling without detailed balance, beside samplers that keep it."""

import streamlit as st

from pages.ui import page

page.open_page("hamiltonian_monte_carlo")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from pages.ui.components.export_row import export_row
from pages.ui.lab.hmc import question, views

with page.stop_on_error(CheckpointError, DataError, OSError, ValueError):
    with st.sidebar:
        asked = question.controls()
    export = views.SHOW[question.view()](asked)
export_row(*export)
