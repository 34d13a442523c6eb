"""DPM Explorer: ``streamlit run app.py``. The list of pages and their groups."""

import streamlit as st

from pages.ui import page, session
from pages.ui.hall import room

st.set_page_config("DPM Explorer", "🌀", layout="wide", initial_sidebar_state="auto")

session.identify()
presenting = session.presenting()
navigation = st.navigation(
    {
        # at the top of presenter mode the pages of a group without a name need no menu
        "" if presenting else "The process": [
            st.Page("pages/start.py", title="Start", url_path="start", default=True),
            st.Page("pages/forward.py", title="Forward", url_path="forward"),
            st.Page("pages/schedule.py", title="Schedule", url_path="schedule"),
            st.Page("pages/reverse.py", title="Reverse", url_path="reverse"),
        ],
        "Understand": [
            st.Page("pages/continuous.py", title="Continuous", url_path="continuous"),
            st.Page("pages/reversibility.py", title="Reversibility", url_path="reversibility"),
            st.Page("pages/paths.py", title="Paths", url_path="paths"),
            st.Page("pages/memory.py", title="Memory", url_path="memory"),
            st.Page("pages/relatives.py", title="Relatives", url_path="relatives"),
        ],
        "The model": [
            st.Page("pages/train.py", title="Train", url_path="train"),
            st.Page("pages/checkpoints.py", title="Checkpoints", url_path="checkpoints"),
        ],
        "Measure": [
            st.Page("pages/bound.py", title="Bound", url_path="bound"),
            st.Page("pages/likelihood.py", title="Likelihood", url_path="likelihood"),
        ],
        "Posterior": [
            st.Page("pages/multiply.py", title="Multiply", url_path="multiply"),
            st.Page("pages/guide.py", title="Guide", url_path="guide"),
            st.Page("pages/inpaint.py", title="Inpaint", url_path="inpaint"),
            st.Page("pages/denoise.py", title="Denoise", url_path="denoise"),
        ],
        "Lab": [
            st.Page("pages/lab.py", title="Lab", url_path="lab"),
            st.Page("pages/minimum_probability_flow.py", title="Minimum probability flow", url_path="minimum_probability_flow"),
            st.Page("pages/hamiltonian_monte_carlo.py", title="Hamiltonian Monte Carlo", url_path="hamiltonian_monte_carlo"),
            st.Page("pages/random_networks.py", title="Random networks", url_path="random_networks"),
            st.Page("pages/sum_of_functions.py", title="Sum of functions", url_path="sum_of_functions"),
        ],
        "Reference": [
            st.Page("pages/tour.py", title="Guided tour", url_path="tour"),
            st.Page("pages/glossary.py", title="Glossary", url_path="glossary"),
        ],
    },
    position="top" if presenting else "sidebar",
    expanded=True,
)
session.keep_link(navigation.url_path)
if not room.enter():
    page.run(navigation)
