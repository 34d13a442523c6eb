"""Streamlit's own reading of the link, made to read it again, and the controls of another session.

Streamlit reads the address when a page is loaded and when another page is chosen, but then the values that the session already
holds win. These functions hand parameters to Streamlit's own parser as on a first visit.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime import Runtime
from streamlit.runtime.state import get_session_state


def seed(key: str, text: str) -> None:
    """Give one control, not drawn yet, the value that ``text`` stands for, as if the link had said so."""
    st.query_params[key] = text
    with get_session_state().query_params() as stored:
        read_as_new({**stored._initial_query_params, key: [text]})


def unseed(key: str) -> None:
    """Take what the link says of one control, not drawn yet, as if it had said nothing."""
    del st.query_params[key]
    with get_session_state().query_params() as stored:
        read_as_new({name: values for name, values in stored._initial_query_params.items() if name != key})


def unbind() -> None:
    """Let parameters be written although widgets are bound to them; each widget binds itself again when it is drawn."""
    with get_session_state().query_params() as stored:
        for widget in list(stored._bindings_by_widget):
            stored.unbind_widget(widget)


def widget_states(session: str) -> list[WidgetState]:
    """What the browser of another session last reported of each of its controls."""
    found = Runtime.instance().get_app_session(session)
    return [] if found is None else found.session_state.get_widget_states()


def read_as_new(values: Mapping[str, list[str]]) -> None:
    """Have Streamlit seed the widgets from these values, as it does from the address of a first visit."""
    with get_session_state().query_params() as stored:
        stored.set_initial_query_params(urlencode(values, doseq=True))
