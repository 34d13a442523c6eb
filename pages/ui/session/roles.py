"""Who opens the page (DPM_ROLE): on one's own machine anybody; several people who share a server; or a lecturer and viewers."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import cache

import streamlit as st

from dpm_core.config import SettingError
from pages.ui.session.key import Key
from pages.ui.session.plain import plain

ROLES = ("", "shared", "lecture")
PARAMETER = LECTURER_COOKIE = "lecturer"
BROWSER_COOKIE = "dpm_browser"
_is_lecturer = Key("is_lecturer", False)
_explores = Key("explores", False)
_browser = Key("browser", "")


def role() -> str:
    """How the server is used: "", "shared" or "lecture". Raises SettingError for a DPM_ROLE that does not exist."""
    asked = os.environ.get("DPM_ROLE", "")
    if asked not in ROLES:
        raise SettingError(f"DPM_ROLE is {asked!r}; leave it empty, or set it to 'shared' or 'lecture'.")
    return asked


def in_lecture() -> bool:
    """Whether this server holds a lecture."""
    return role() == "lecture"


@cache
def lecturer_token() -> str:
    """The secret of the lecturer's link: $DPM_LECTURER, or one that is made now and printed."""
    token = os.environ.get("DPM_LECTURER", "")
    if not token:
        token = secrets.token_urlsafe(16)
        print(f"The lecturer opens the app with ?{PARAMETER}={token} added to its address.", flush=True)
    return token


def identify() -> None:
    """Take the lecturer's secret out of the link, before anything else sees it. Call first in every run.

    For a DPM_ROLE that does not exist there is one sentence and no page, as it is not known who may do what.
    """
    try:
        role()
    except SettingError as error:
        st.error(plain(str(error)))
        st.stop()
    if in_lecture() and not _is_lecturer.get():
        shown = (st.query_params.get(PARAMETER, ""), st.context.cookies.get(LECTURER_COOKIE, ""))
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


@cache
def _signature_key() -> bytes:
    """The key that signs cookies: $DPM_SECRET, or one of this server process."""
    return (os.environ.get("DPM_SECRET") or secrets.token_hex(16)).encode()


def _signed(id: str) -> str:
    return f"{id}.{hmac.new(_signature_key(), id.encode(), 'sha256').hexdigest()}"


def browser_cookie() -> str:
    """The cookie of this browser, signed: the one that it has sent, or a new one."""
    if not _browser.get():
        sent = st.context.cookies.get(BROWSER_COOKIE, "")
        id = sent.partition(".")[0]
        _browser.set(id if id and hmac.compare_digest(sent.encode(), _signed(id).encode()) else secrets.token_hex(16))
    return _signed(_browser.get())


def user() -> str:
    """Who uses this session, as a number that tells nobody who it is: the person that has logged in, where the server asks for that,
    or else the browser.
    """
    person = st.user.to_dict() if st.user else {}
    name = str(person.get("email") or person.get("sub") or "") if person.get("is_logged_in") else ""
    return hashlib.sha256((name or browser_cookie().partition(".")[0]).encode()).hexdigest()[:32]
