"""Denoise: an image seen through noise, and what it may have been."""

import streamlit as st

from pages.ui import page
from pages.ui.posterior import denoise_compute, denoise_views

page.open_page("Denoise", "An image is seen through noise. Multiplied by what was seen, the model draws what it may have been.")
try:
    with st.sidebar:
        ref, how = denoise_views.settings()
    with page.working("Denoising …"):
        found = denoise_compute.result(ref, how)
except ValueError as error:  # of data, pictures and checkpoints, in one sentence
    st.error(str(error))
    st.stop()
denoise_views.show(found)
st.caption(
    "y = x⁽⁰⁾ + σ z, so √ᾱ_t y is a state of the chain where its noise is as strong as σ. From there down every step is the model's own, "
    "and the samples follow p(x | y). The paper multiplies each step of the whole chain by N(y; x⁽ᵗ⁾, σ²) instead, "
    "which counts y again and again. The mean of the samples is nearest to the truth in the mean square; a single one looks most like it."
)
page.take_along(
    "dpm-denoise",
    denoise_views.python(ref, how),
    {name: value for name, value in found._asdict().items() if value is not None and name != "sigma_levels"},
)
