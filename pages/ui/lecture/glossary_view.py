"""How the glossary page shows its entries."""

from __future__ import annotations

import re
from collections.abc import Iterable

import streamlit as st

from pages.ui.lecture.glossary import Entry

STYLE = """
<style>
.st-key-glossary { max-width: 52rem; gap: 0.5rem; }
.st-key-glossary h2 { padding: 1.6rem 0 0.3rem; }
.st-key-glossary h3 { padding: 1.1rem 0 0.5rem; }
.st-key-glossary .katex-display { margin: 0.5rem 0; text-align: left; overflow: auto hidden; }
.st-key-glossary .katex-display > .katex { text-align: left; font-size: 1.1em; }
.st-key-glossary p { margin-bottom: 0.35rem; }
</style>
"""


def show(groups: Iterable[tuple[str, Iterable[Entry]]]) -> None:
    """Every group under its heading; each entry has an anchor of its name."""
    st.html(STYLE)
    with st.container(key="glossary"):
        for group, entries in groups:
            st.header(group, anchor=False)
            for entry in entries:
                st.subheader(entry.term, anchor=entry.name)
                st.markdown(f"{entry.sentence}\n\n{_display(entry.formula)}\n\n:small[:gray[Unit: {entry.unit} · {_source(entry.source)}]]")


def _display(formula: str) -> str:
    """A formula that is LaTeX alone as a line of its own."""
    return f"$$\n{formula[1:-1]}\n$$" if re.fullmatch(r"\$[^$]+\$", formula) else formula


def _source(source: str) -> str:
    """The source as a sentence part: places in the paper as they are, other origins with their capital letter."""
    return source[0].upper() + source[1:]
