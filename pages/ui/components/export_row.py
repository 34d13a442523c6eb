"""The row of downloads at the end of a page."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import streamlit as st


def export_row(
    name: str,
    python: str,
    arrays: Mapping[str, np.ndarray] | None = None,
    table: Mapping[str, Sequence[Any]] | None = None,
    gif: Callable[[], bytes] | None = None,
) -> None:
    """Draw the row of downloads of what the page shows, each made on request, and the Python code that makes the same."""
    with st.container(horizontal=True, vertical_alignment="center", key="export"):
        st.markdown("Export", width="content")
        if gif:
            st.download_button("GIF", gif, f"{name}.gif", "image/gif", on_click="ignore", type="tertiary")
        if table:
            st.download_button("CSV", lambda: _csv(table), f"{name}.csv", "text/csv", on_click="ignore", type="tertiary")
        if arrays:
            st.download_button("NPZ", lambda: _npz(arrays), f"{name}.npz", on_click="ignore", type="tertiary")
        with st.popover("Python", type="tertiary"):
            st.caption("Run this in the folder that contains `dpm_core`.")
            st.code(python, language="python")


def _csv(table: Mapping[str, Sequence[Any]]) -> bytes:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(table)
    writer.writerows(zip(*table.values()))
    return out.getvalue().encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = BytesIO()
    named: dict[str, Any] = dict(arrays)  # the stub of savez_compressed takes every name for its option allow_pickle
    np.savez_compressed(out, **named)
    return out.getvalue()
