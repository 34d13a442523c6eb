"""The views of the Minimum probability flow page, and the controls of each."""

from __future__ import annotations

import streamlit as st

from pages.ui.kinds.records import Export
from pages.ui.lab.ising import couplings, plane, question, states


def show() -> Export:
    """The chosen view with its controls. Raises ValueError."""
    with st.sidebar:
        name = question.view()
        if name == "states":
            asked_states = question.states_controls()
        elif name == "plane":
            asked_plane = question.plane_controls()
        else:
            asked, names = question.couplings_controls()
    if name == "states":
        return states.show(asked_states)
    if name == "plane":
        return plane.show(asked_plane)
    return couplings.show(asked, names)
