"""Widgets: their values, and their binding to the link."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from pages.ui.session.keys import BOUND_WIDGETS
from pages.ui.session.streamlit_link import seed, unseed

T = TypeVar("T")


def bind(widget: Callable[..., Any], *args: Any, key: str, **options: Any) -> Any:
    """A widget whose value is part of the link under its key; :func:`keep_link` carries it from page to page."""
    BOUND_WIDGETS.get().add(key)
    asked = st.query_params.get(key)
    if (widget is st.number_input and _is_infinite(asked)) or (widget is st.segmented_control and asked == ""):
        unseed(key)  # Streamlit 1.67 raises OverflowError where a link says inf, and chooses nothing where it says nothing
    return widget(*args, key=key, bind="query-params", **options)


def _is_infinite(text: str | None) -> bool:
    try:
        return text is not None and math.isinf(float(text))
    except ValueError:
        return False


def widget_value(key: str, default: T) -> T:
    """The value of a widget, which may not have been drawn yet."""
    return st.session_state.get(key, default)


def component_state(key: str, name: str) -> Any:
    """A value in the state of a component (Components v2), as the browser sent it; None before the first."""
    return getattr(st.session_state.get(key), name, None)


def set_widget(key: str, value: object) -> None:
    """Set a widget's value before it is drawn, or from a callback."""
    st.session_state[key] = value


def follow_default(key: str, default: object) -> None:
    """Where other data bring another default, a widget whose value was never changed takes it."""
    before = st.session_state.setdefault(f"default_{key}", default)
    if before != default and st.session_state.get(key) == before:
        st.session_state[key] = default
    st.session_state[f"default_{key}"] = default


def accept_option_names(key: str, titles: dict[str, str]) -> None:
    """Let a link name an option by its key instead of its title, before the widget is drawn."""
    if key not in st.session_state and (asked := st.query_params.get(key)) in titles:
        seed(key, titles[asked])


def asked_in_link(key: str) -> str | None:
    """What the link says under a key."""
    return st.query_params.get(key)
