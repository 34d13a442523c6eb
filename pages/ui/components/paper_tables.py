"""The paper's tables beside what ships here, as benchmarks.paper_tables measured it."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

MEASURED = Path(__file__).resolve().parents[3] / "benchmarks" / "paper_tables.json"


@st.cache_data(max_entries=1, show_spinner=False)
def measured() -> dict:
    """The tables with the command and date that made them; empty where the file is not beside the app."""
    try:
        return json.loads(MEASURED.read_text())
    except (OSError, ValueError):
        return {}


def show(title: str, names: list[str], words: str) -> None:
    """Some of the tables under one title, with a sentence on what they can and cannot be compared to."""
    st.markdown(f"**{title}**")
    found = measured()
    if not found:
        st.caption("The measured values are not here; `python -m benchmarks.paper_tables` makes them.")
        return
    for name in [name for name in names if name in found["tables"]]:
        columns, rows = found["tables"][name]["columns"], found["tables"][name]["rows"]
        st.dataframe([dict(zip(columns, (cell.replace("-", "−") for cell in row))) for row in rows], hide_index=True, width="stretch")
    st.caption(f"{words} Measured by `{found['command']}` on {found['date']}.")
