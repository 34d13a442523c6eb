"""Glossary: every symbol and term, with its formula, its unit and where the paper defines it."""

import streamlit as st

from pages.ui import page

page.open_page("glossary", computes=False)

from itertools import groupby

from pages.ui.lecture import glossary, glossary_view

words = st.text_input("Search", key="q", bind="query-params", max_chars=60, placeholder="KL, schedule, β …", width=420)
found = [entry for entry in glossary.entries().values() if entry.matches(words)]
if words:
    st.caption(f"{len(found)} of {len(glossary.entries())} entries contain “{words}”.")
glossary_view.show(groupby(found, lambda entry: entry.group))
