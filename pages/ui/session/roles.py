"""Who may do what: on one's own machine everybody everything; in a lecture (DPM_ROLE=lecture) only the lecturer may change things."""

from __future__ import annotations

import hmac
import os
import secrets
from functools import cache

import streamlit as st

from pages.ui.session.key import Key

PARAMETER = COOKIE = "lecturer"
READ_ONLY = "Only the lecturer can start or change runs and models here."
_is_lecturer = Key("is_lecturer", False)
_explores = Key("explores", False)


def in_lecture() -> bool:
    """Whether this server holds a lecture. Raises ValueError for a DPM_ROLE that does not exist."""
    role = os.environ.get("DPM_ROLE", "")
    if role not in ("", "lecture"):
        raise ValueError(f"DPM_ROLE is {role!r}; leave it empty, or set it to 'lecture'.")
    return role == "lecture"


@cache
def lecturer_token() -> str:
    """The secret of the lecturer's link: $DPM_LECTURER, or one that is made now and printed."""
    token = os.environ.get("DPM_LECTURER", "")
    if not token:
        token = secrets.token_urlsafe(16)
        print(f"The lecturer opens the app with ?{PARAMETER}={token} added to its address.", flush=True)
    return token


def identify() -> None:
    """Take the lecturer's secret out of the link, before anything else sees it. Call first in every run."""
    if in_lecture() and not _is_lecturer.get():
        shown = (st.query_params.get(PARAMETER, ""), st.context.cookies.get(COOKIE, ""))
        _is_lecturer.set(any(hmac.compare_digest(text.encode(), lecturer_token().encode()) for text in shown))
    if PARAMETER in st.query_params:
        del st.query_params[PARAMETER]


def is_lecturer() -> bool:
    """Whether this session has shown the lecturer's secret, in its link or, after a reload, as a cookie."""
    return _is_lecturer.get()


def explores() -> bool:
    """Whether a viewer has left the lecture (?follow=0) to try things; lasts for the session."""
    if "follow" in st.query_params:
        _explores.set(st.query_params["follow"] == "0")
    return _explores.get()


def may_change() -> bool:
    """Whether this session may start, change and remove runs and models."""
    return not in_lecture() or is_lecturer()
