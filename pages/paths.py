"""Paths: flow matching, its paths from noise to data, and re-flow."""

import streamlit as st

from pages.ui import page

page.open_page("paths")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from pages.ui.components.export_row import export_row
from pages.ui.paths import question, views

with page.stop_on_error(CheckpointError, DataError, OSError):
    with st.sidebar:
        asked = question.controls()
    export = views.show(asked)
st.latex(r"x_s=a(s)\,x^{(0)}+b(s)\,\varepsilon,\qquad \frac{\mathrm dx}{\mathrm ds}=v(x,s)=a'(s)\,\hat x^{(0)}+b'(s)\,\hat\varepsilon")
st.caption(
    "Straight line: a = 1 − s, b = s (Lipman et al. 2023; Liu et al. 2023). Variance preserving: a² + b² = 1. Variance exploding: a = 1. "
    "x̂⁽⁰⁾ is the posterior mean of the data given x_s, and ε̂ = (x − a x̂⁽⁰⁾)/b."
)
export_row(*export)
