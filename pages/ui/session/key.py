"""A value of a browser session, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import streamlit as st

T = TypeVar("T")


class Key(Generic[T]):
    """One value of the session; ``default`` until it is set. A mutable default is made anew for every session by a function."""

    def __init__(self, name: str, default: T | Callable[[], T]):
        self.name, self._default = name, default

    def get(self) -> T:
        """The value."""
        if self.name not in st.session_state:
            st.session_state[self.name] = self._default() if callable(self._default) else self._default
        return st.session_state[self.name]

    def set(self, value: T) -> None:
        """Remember another value."""
        st.session_state[self.name] = value

    def pop(self) -> T:
        """The value, which is the default again afterwards."""
        value = self.get()
        del st.session_state[self.name]
        return value


class ObjectKey:
    """One object of the session, or none. Reading it names its class, so that the result is typed."""

    def __init__(self, name: str):
        self.name = name

    def get(self, kind: type[T]) -> T | None:
        """The object; None when there is none of this class."""
        value = st.session_state.get(self.name)
        return value if isinstance(value, kind) else None

    def set(self, value: object) -> None:
        """Remember another object, or None."""
        st.session_state[self.name] = value


class LinkKey:
    """A value that is part of the link under ``?name=``: it enters the session from there, and is shown there."""

    def __init__(self, name: str):
        self.name = name

    def read(self, decode: Callable[[str], T], default: T) -> T:
        """The value; text in the link that ``decode`` refuses with a ValueError gives the default."""
        if self.name not in st.session_state:
            value = default
            if self.name in st.query_params:
                try:
                    value = decode(st.query_params[self.name])
                except ValueError:
                    value = default
            st.session_state[self.name] = value
        return st.session_state[self.name]

    def write(self, value: object, text: str | None) -> None:
        """Remember a value and show it in the link as ``text``; None takes it out of the link."""
        self.remember(value)
        self.show(text)

    def remember(self, value: object) -> None:
        """Remember a value without changing the link."""
        st.session_state[self.name] = value

    def show(self, text: str | None) -> None:
        """Show ``text`` in the link, or take it out when None."""
        if text is None:
            if self.name in st.query_params:
                del st.query_params[self.name]
        elif st.query_params.get(self.name) != text:
            st.query_params[self.name] = text
