"""The basic controls. Every widget is bound to the link under its key."""

from __future__ import annotations

import streamlit as st

from pages.ui import session


def choose(label: str, titles: dict[str, str], key: str, default: str | None = None, help: str | None = None) -> str:
    """One of the keys of ``titles``. A link may name the key or the title; where another data set brings another default,
    a value that was never changed takes it."""
    names = list(titles)
    session.follow_default(key, default or names[0])
    session.accept_option_names(key, titles)
    index = names.index(default) if default else 0
    return session.bind(st.selectbox, label, names, index, titles.get, key=key, help=help)


def whole_number(label: str, low: int, high: int, default: int, key: str, step: int = 1, help: str | None = None) -> int:
    """A whole number, typed or stepped. Defaults as in :func:`choose`."""
    session.follow_default(key, default)
    return int(session.bind(st.number_input, label, low, high, default, step, key=key, help=help))


def seed() -> int:
    """The seed of all random numbers on the page."""
    return whole_number("Seed", 0, 9999, 7, "seed", help="Seed of the random numbers. The same seed gives the same picture.")


def particles(default: int = 3000) -> int:
    """The number of particles."""
    options = [500, 1000, 2000, 3000, 5000, 10000, 20000]
    return session.bind(st.select_slider, "Particles", options, default, key="particles")
