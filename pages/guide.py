"""Guide: samples of the class that is asked for, by a classifier as r(x) and by a class-conditional network."""

import streamlit as st

from pages.ui import page

page.open_page("guide")

from pages.ui import kinds
from pages.ui.components.export_row import export_row
from pages.ui.guide import image_views, plane_views, target

VIEWS = {"points": plane_views.show, "images": image_views.show}

with page.stop_on_error(ValueError, OSError):  # of data, checkpoints, schedules and factors
    with st.sidebar:
        name = target.choose_data()
    export = VIEWS[kinds.of_data(name).name](name)
st.latex(
    r"\tilde p(x^{(0)})\propto p(x^{(0)})\,p(y\mid x^{(0)})^{\gamma},\qquad "
    r"r(x^{(t)})=p(y\mid x^{(t)})^{\gamma},\qquad "
    r"\hat\varepsilon=\varepsilon(x^{(t)})+\gamma\left[\varepsilon(x^{(t)},y)-\varepsilon(x^{(t)})\right]"
)
st.caption(
    "Left: the density that is asked for. Middle: a classifier as the factor r of section 2.5 of the paper, evaluated at each noisy state "
    "(Dhariwal & Nichol 2021). Right: classifier-free guidance of the predicted noise, with γ = 1 + w (Ho & Salimans 2021). All three "
    "agree at γ = 1 if model and classifier are exact."
)
export_row(*export)
