"""Denoise: an image observed through noise, and posterior samples of it."""

import streamlit as st

from pages.ui import page

page.open_page("denoise")

from pages.ui.components.export_row import export_row
from pages.ui.components.working import working
from pages.ui.posterior import denoise_compute, denoise_views

with page.stop_on_error(ValueError):  # of data, pictures and checkpoints
    with st.sidebar:
        ref, how = denoise_views.settings()
    with working("Denoising …"):
        found = denoise_compute.result(ref, how)
denoise_views.show(found)
st.caption(
    "The observation is y = x⁽⁰⁾ + σ z with z ~ N(0, I), so √ᾱₜ y is a state of the chain at the time t at which its noise is as strong "
    "as σ. From there on every step is that of the model, and the samples follow p(x | y). The paper multiplies each step of the whole "
    "chain by N(y; x⁽ᵗ⁾, σ²) instead, which uses y several times. The posterior mean has the smallest mean squared error; a posterior "
    "sample has the statistics of the data."
)
export_row(*denoise_views.export(ref, how, found))
