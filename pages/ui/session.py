"""What a session remembers, and the part of it that travels in the link."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import streamlit as st

MOMENT = ("t", "version", "layers", "colour", "pick")  # of one page's player: meaningless on another


def presenting() -> bool:
    """Presenter mode (?present=1): no sidebar, large type. Kept for the session once asked for."""
    if "present" in st.query_params:
        st.session_state["presenting"] = st.query_params["present"] == "1"
    return bool(st.session_state.get("presenting", False))


def hidden_controls() -> list[str]:
    """Names of controls that ?hide=a,b takes off the page; they keep their values."""
    if "hide" in st.query_params:
        st.session_state["hidden"] = [name for name in st.query_params["hide"].split(",") if name.isidentifier()]
    return list(st.session_state.get("hidden", []))


def complain(sentence: str) -> None:
    """An error beside the control that caused it; in presenter mode, where no control is seen, on the page."""
    if presenting():
        st.toast(sentence)
    else:
        st.error(sentence)


def keep_link(page: str) -> None:
    """Carry the link's parameters over when the person goes to another page: Streamlit drops them.

    Call at the start of every run, before any widget. Parameters already in the address win.
    """
    if st.session_state.get("page", page) != page:
        for key, value in st.session_state["link"].items():
            if key in MOMENT:
                continue
            if key not in st.query_params:
                st.query_params[key] = value
            if key in st.session_state.get("bound", ()):
                # a value that came by link belongs to the page left behind; writing it makes it the new page's
                st.session_state[key] = st.session_state[key]
    st.session_state["page"] = page
    st.session_state["link"] = {key: st.query_params.get_all(key) for key in st.query_params}


def linked(key: str, decode: Callable[[str], Any], default: Any) -> Any:
    """A value that lives in the session and enters it from the link; nonsense in the link is the default."""
    if key not in st.session_state:
        value = default
        if key in st.query_params:
            try:
                value = decode(st.query_params[key])
            except ValueError:
                value = default
        st.session_state[key] = value
    return st.session_state[key]


def put_in_link(key: str, text: str | None) -> None:
    """Show ``text`` as ?key=… in the address, or take it out when None."""
    if text is None:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != text:
        st.query_params[key] = text


def encode_points(points: list[list[float]]) -> str:
    """Control points (u, β) as link text: u:β pairs joined by '_'."""
    return "_".join(f"{u:.4g}:{beta:.5g}" for u, beta in points)


def decode_points(text: str) -> list[list[float]]:
    """The inverse of encode_points; ValueError unless 2 to 12 points with u rising in [0, 1], β in [1e-5, 1]."""
    return check_points([[float(part) for part in pair.split(":")] for pair in text.split("_")])


def check_points(points: Any) -> list[list[float]]:
    """Control points from outside, as lists of floats; ValueError when they are no schedule."""
    message = "A custom schedule needs 2 to 12 points (u, β) with u rising in [0, 1] and β in [1e-5, 1]."
    try:
        checked = [[float(u), float(beta)] for u, beta in points]
    except (TypeError, ValueError):
        raise ValueError(message) from None
    rising = all(a[0] <= b[0] for a, b in pairwise(checked))
    if not 2 <= len(checked) <= 12 or not rising or any(not (0 <= u <= 1 and 1e-5 <= b <= 1) for u, b in checked):
        raise ValueError(message)
    return checked


def encode_pick(t: int, x: float, y: float) -> str:
    """A picked point as link text."""
    return f"{t},{x:.3f},{y:.3f}"


def decode_pick(text: str) -> tuple[int, float, float]:
    """The inverse of encode_pick; ValueError on nonsense."""
    t, x, y = text.split(",")
    values = (int(t), float(x), float(y))
    if not (values[0] >= 1 and abs(values[1]) <= 20 and abs(values[2]) <= 20):
        raise ValueError("This picked point lies outside the plane.")
    return values


def data_uri(png: bytes) -> str:
    """A PNG as an image source that needs no request."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
