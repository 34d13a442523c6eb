"""Continuous: the limit of many small steps as a differential equation, its reversals and their solvers."""

import streamlit as st

from pages.ui import page

page.open_page("continuous")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui.components.export_row import export_row
from pages.ui.continuous import question, views

with page.stop_on_error(CheckpointError, DataError, ScheduleError, OSError):
    with st.sidebar:
        asked = question.controls()
    export = views.show(asked)
st.latex(r"\mathrm dx=\left[\tfrac12 x+\tfrac12\left(1+\kappa^2\right)\nabla\log q_\tau(x)\right]\mathrm d\tau+\kappa\,\mathrm dw")
st.latex(r"\nabla\log q(x^{(t)})=\frac{\sqrt{\bar\alpha_t}\,\mathrm E\left[x^{(0)}\mid x^{(t)}\right]-x^{(t)}}{1-\bar\alpha_t}")
st.caption(
    "Above: the equations that reverse the diffusion, backwards in τ = −log ᾱ (Anderson 1982; Song et al. 2021). Below: the score follows "
    "from the posterior mean, which every model of these pages computes (Tweedie's formula)."
)
export_row(*export)
