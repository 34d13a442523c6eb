"""What every page has: its title and sentence, presenter mode, hidden controls, and exports."""

from __future__ import annotations

import csv
import gc
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import torch

from dpm_core.figures.palette import GROUND
from pages.ui import session

_STYLE = """
<style>
[data-testid="stSidebarNav"]::before { content: "◉ DPM Explorer"; display: block; font-weight: 650; padding: 0.2rem 0 0.8rem 0.6rem; }
[data-testid="stMainBlockContainer"] { padding: 2.6rem clamp(1rem, 2.6vw, 3rem) 3rem; max-width: 1560px; }
[data-testid="stSidebarHeader"] { height: 2.2rem; }
.dpm-sentence { opacity: 0.74; max-width: 46rem; margin: -0.9rem 0 0.2rem; }
[data-testid="stMultiSelectTagsContainer"] [data-tag] { background: transparent; color: inherit; box-shadow: inset 0 0 0 1px currentColor; }
[data-testid="stElementContainer"][data-stale="true"] { opacity: 1; transition: none; }  /* what is there stays until the new comes */
.st-key-train_buttons { gap: 0.4rem; }
.st-key-train_buttons button { padding-inline: 0.65rem; }
@media (max-width: 640px) {  /* on a telephone the buttons of a run come before its stage */
  .st-key-train_place [data-testid="stColumn"]:last-child,
  .st-key-train_place [data-testid="stColumn"]:last-child > [data-testid="stVerticalBlock"],
  .st-key-train_place [data-testid="stColumn"]:last-child > [data-testid="stVerticalBlock"] > [data-testid="stLayoutWrapper"],
  .st-key-train_place [data-testid="stColumn"]:last-child > * > * > [data-testid="stVerticalBlock"] { display: contents; }
  .st-key-train_place [data-testid="stLayoutWrapper"]:has(> .st-key-train_buttons) { order: -1; }
}
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"]:hover { color: %s; }
%s
</style>
"""
_PRESENT = """
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] { display: none; }
html { font-size: 125%; }
[data-testid="stMainBlockContainer"] { max-width: none; padding-top: 4.2rem; }
"""


APP = Path(__file__).resolve().parents[2] / "app.py"
_run = threading.local()  # Streamlit runs a page in a thread of its own


def run(navigation: Any) -> None:
    """Run the page that ``st.navigation`` chose. Only app.py calls this."""
    _run.by_app = True
    try:
        navigation.run()
    finally:
        _run.by_app = False


@cache
def _spare_the_collector(modules: int) -> None:
    """Leave the objects of imported modules out of every garbage collection from now on; once per number of modules.

    Streamlit collects after each run of a page or fragment. With torch imported that is half a million objects:
    215 ms each time, in which nothing else runs, no training step either.
    """
    gc.freeze()


def open_page(title: str, sentence: str) -> None:
    """Title, one plain sentence, and the styles that the link asks for. The first call of every page.

    When the first visit to a fresh server is to /forward, Streamlit 1.67 runs pages/forward.py by itself, as app.py has not
    named the pages yet. The page then hands over to app.py, which runs it again in its place.
    """
    if not getattr(_run, "by_app", False):
        runpy.run_path(str(APP))
        st.stop()
    _spare_the_collector(len(sys.modules))
    # work in the plane is too small to share: a second thread gains a tenth on an idle machine and
    # loses twentyfold when the browser wants its core
    torch.set_num_threads(1)
    rules = [f".st-key-{name} {{ display: none; }}" for name in session.hidden_controls()]
    if session.presenting():
        rules.append(_PRESENT)
    ground = GROUND.dark if st.context.theme.type == "dark" else GROUND.light
    st.html(_STYLE % (ground, "\n".join(rules)))
    st.title(title, anchor=False)
    st.html(f'<p class="dpm-sentence">{sentence}</p>')


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show that something is computed, at the foot of the sidebar, where it moves nothing; then the device in use."""
    slot = st.sidebar.empty()
    with slot, st.spinner(label, show_time=True):
        yield
    slot.caption(f"Device: {device()}")


def device() -> str:
    """The device in use, in words: work in the plane is too small for a GPU, so it stays on the processor."""
    idle = torch.cuda.is_available() or torch.backends.mps.is_available()
    return f"CPU · {torch.get_num_threads()} thread" + (" (the GPU rests: this is too little work for it)" if idle else "")


def take_along(
    name: str,
    python: str,
    arrays: Mapping[str, np.ndarray] | None = None,
    table: Mapping[str, Sequence[float]] | None = None,
    gif: Callable[[], bytes] | None = None,
) -> None:
    """Downloads of what the page shows, made when asked for, and the Python that made it."""
    with st.container(horizontal=True, vertical_alignment="center", key="take"):
        st.markdown("Take it with you", width="content")
        if gif:
            st.download_button("GIF", gif, f"{name}.gif", "image/gif", on_click="ignore", type="tertiary")
        if table:
            st.download_button("CSV", lambda: _csv(table), f"{name}.csv", "text/csv", on_click="ignore", type="tertiary")
        if arrays:
            st.download_button("NPZ", lambda: _npz(arrays), f"{name}.npz", on_click="ignore", type="tertiary")
        with st.popover("Python", type="tertiary"):
            st.caption("Runs as it stands beside the `dpm_core` folder.")
            st.code(python, language="python")


def _csv(table: Mapping[str, Sequence[float]]) -> bytes:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(table)
    writer.writerows(zip(*table.values()))
    return out.getvalue().encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()
