"""The paper's tables compared with the shipped models, as measured by benchmarks.paper_tables."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

MEASURED = Path(__file__).resolve().parents[3] / "benchmarks" / "paper_tables.json"


@st.cache_data(max_entries=1, show_spinner=False)
def measured() -> dict:
    """Return the tables with the command and date that made them; empty where the file does not exist."""
    try:
        return json.loads(MEASURED.read_text())
    except (OSError, ValueError):
        return {}


def show(title: str, names: list[str], words: str) -> None:
    """Show the named tables under one title, with a sentence on what they can be compared with."""
    st.markdown(f"**{title}**")
    found = measured()
    if not found:
        st.caption("The measured values are not available: run `python -m benchmarks.paper_tables` to compute them.")
        return
    for name in [name for name in names if name in found["tables"]]:
        columns, rows = found["tables"][name]["columns"], found["tables"][name]["rows"]
        st.dataframe([dict(zip(columns, (cell.replace("-", "−") for cell in row))) for row in rows], hide_index=True, width="stretch")
    st.caption(f"{words} Measured by `{found['command']}` on {found['date']}.")
