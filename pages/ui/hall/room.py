"""What a page does in a lecture: the lecturer's is copied, a viewer's shows the copy, and both have a bar."""

from __future__ import annotations

import json

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui import session
from pages.ui.components.lecture_bar import lecture_bar
from pages.ui.components.private_cookie import private_cookie
from pages.ui.hall.broadcast import broadcast

MOMENT_BYTES = 20_000  # of what all players of a page show
REMEMBER_DAYS = 365  # for which a browser is known again, where people share a server
COUNT_EVERY = 5.0  # seconds between two counts of the viewers


def enter() -> bool:
    """Take part in the lecture, if there is one; return whether this session shows the lecturer's page instead of its own.

    Call once in every run, after ``st.navigation``.
    """
    if session.role() == "shared":
        private_cookie(session.BROWSER_COOKIE, session.browser_cookie(), REMEMBER_DAYS)
    if not session.in_lecture():
        return False
    context = get_script_run_ctx()
    assert context is not None
    if session.is_lecturer():
        if broadcast().lead(context.session_id):
            st.rerun()
        private_cookie(session.LECTURER_COOKIE, session.lecturer_token())
        st.fragment(_bar_of_lecturer, run_every=COUNT_EVERY)()
        return False
    if session.explores():
        lecture_bar({"role": "explorer"}, key="lecture_bar")
        return False
    lecture_bar({"role": "follower"}, key="lecture_bar")
    st.title("DPM Explorer")
    st.write("The lecture has not begun. This page changes by itself when it does.")
    broadcast().follow(context.session_id)
    return True


def _bar_of_lecturer() -> None:
    """The lecturer's bar; with it travels what the players show, which never reaches the server otherwise."""
    data = {"role": "lecturer", "viewers": broadcast().followers, "moment": session.MOMENT.get(), "link": session.link_as_text()}
    lecture_bar(data, key="lecture_bar", on_moment=_take_moment)


def _take_moment() -> None:
    """Remember what the lecturer's players show now, if it is the list of records that the bar sends."""
    text = session.component_state("lecture_bar", "moment")
    try:
        if isinstance(text, str) and len(text) <= MOMENT_BYTES and isinstance(json.loads(text), list):
            session.MOMENT.set(text)
    except (ValueError, RecursionError):
        pass
