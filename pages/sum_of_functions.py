"""Sum of functions: an optimiser with a quadratic model of every minibatch, beside SGD, Adam and L-BFGS."""

import streamlit as st

from pages.ui import page

page.open_page("sum_of_functions")

from pages.ui.components.export_row import export_row
from pages.ui.lab.optimiser import digits, question, views

with st.sidebar:
    asked = question.controls()
export = digits.show(asked) if isinstance(asked, question.Digits) else views.show(asked)
export_row(*export)
