"""The link: carried from page to page, and opened inside the running session without a reload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn
from urllib.parse import parse_qs, urlencode, urlsplit

import streamlit as st

from pages.ui.session import former_links
from pages.ui.session.kept import KEPT
from pages.ui.session.keys import (
    BOUND_WIDGETS,
    CURRENT_PAGE,
    DIGIT_DRAWING,
    LINK,
    PICTURE_SHOWN,
    PLAYER_STATE,
    UNBOUND,
    UPLOADS,
)  # fmt: skip
from pages.ui.session.streamlit_link import read_as_new, unbind

Parameters = Mapping[str, list[str]]


def keep_link(page: str) -> None:
    """Carry the link's parameters over when the person goes to another page: Streamlit drops them.

    Call at the start of every run, before any widget. Parameters already in the address win.
    """
    former_links.translate()
    if CURRENT_PAGE.get() not in ("", page):
        for key, value in LINK.get().items():
            if key in PLAYER_STATE:
                continue
            if key not in st.query_params:
                st.query_params[key] = value
            if key in BOUND_WIDGETS.get():
                # a value that came by link belongs to the page left behind; writing it makes it the new page's
                st.session_state[key] = st.session_state[key]
    CURRENT_PAGE.set(page)
    LINK.set({key: st.query_params.get_all(key) for key in st.query_params})


def parameters(link: str) -> dict[str, list[str]]:
    """The query parameters of a link such as ``/reverse?model=exact&T=5``."""
    return parse_qs(urlsplit(link).query, keep_blank_values=True)


def link_as_text() -> str:
    """The controls of the page that is shown, as they stand in its address after the question mark."""
    return urlencode({key: st.query_params.get_all(key) for key in st.query_params}, doseq=True)


def set_controls(values: Parameters) -> None:
    """Set these controls of the page that is shown and leave the others as they are. For a callback: it runs before the page."""
    _forget(values)
    unbind()
    for key, texts in values.items():
        st.query_params[key] = texts
    read_as_new(values)


def open_link(page: str, values: Parameters, shown: str) -> NoReturn:
    """Show ``page`` as on a first visit by this link: a control that the link does not name has its default. ``shown``: the page now."""
    _forget([*BOUND_WIDGETS.get(), *UNBOUND])
    if any(name.endswith(KEPT) for name in values):
        _forget([UPLOADS.name, PICTURE_SHOWN.name, DIGIT_DRAWING.name])
    unbind()
    LINK.set({})  # nothing is carried over from the page that is left
    if page != shown:
        st.switch_page(f"pages/{page}.py", query_params=values)
    st.query_params.from_dict(values)
    read_as_new(values)
    st.rerun()


def _forget(keys: Iterable[str]) -> None:
    for key in list(keys):
        if key in st.session_state:
            del st.session_state[key]
