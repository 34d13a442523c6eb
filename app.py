"""DPM Explorer: ``streamlit run app.py``."""

import streamlit as st

from pages.shared import state

st.set_page_config("DPM Explorer", "🌀", layout="wide", initial_sidebar_state="auto")

page = st.navigation(
    {
        "": [
            st.Page("pages/understand/home.py", title="Start", url_path="start", default=True),
            st.Page("pages/understand/schedule.py", title="Schedule", url_path="schedule"),
            st.Page("pages/understand/forward.py", title="Forward", url_path="forward"),
            st.Page("pages/understand/reverse.py", title="Reverse", url_path="reverse"),
            st.Page("pages/train/train.py", title="Train", url_path="train"),
            st.Page("pages/train/checkpoints.py", title="Checkpoints", url_path="checkpoints"),
        ],
        "Posterior": [
            st.Page("pages/posterior/inpaint.py", title="Inpaint", url_path="inpaint"),
            st.Page("pages/posterior/denoise.py", title="Denoise", url_path="denoise"),
            st.Page("pages/posterior/multiply.py", title="Multiply", url_path="multiply"),
        ],
        "Measure": [
            st.Page("pages/measure/bound.py", title="Bound", url_path="bound"),
            st.Page("pages/measure/likelihood.py", title="Likelihood", url_path="likelihood"),
        ],
    },
    position="top" if state.presenting() else "sidebar",
    expanded=True,
)
state.keep_link(page.url_path)
page.run()
