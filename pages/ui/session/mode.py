"""How the page is shown: presenter mode and hidden controls, which the link asks for, and the theme."""

from __future__ import annotations

import streamlit as st

from pages.ui.session.keys import HIDDEN_CONTROLS, PRESENTING
from pages.ui.session.plain import plain


def presenting() -> bool:
    """Presenter mode (?present=1): no sidebar, large type. It lasts for the session once asked for."""
    if "present" in st.query_params:
        PRESENTING.set(st.query_params["present"] == "1")
    return PRESENTING.get()


def hidden_controls() -> list[str]:
    """Names of controls that ?hide=a,b takes off the page; they keep their values."""
    if "hide" in st.query_params:
        HIDDEN_CONTROLS.set([name for name in st.query_params["hide"].split(",") if name.isidentifier()])
    return HIDDEN_CONTROLS.get()


def is_dark() -> bool:
    """Whether the browser shows the page in the dark theme."""
    return st.context.theme.type == "dark"


def complain(sentence: str) -> None:
    """An error beside the control that caused it; in presenter mode, where no control is seen, on the page."""
    if presenting():
        st.toast(plain(sentence))
    else:
        st.error(plain(sentence))
