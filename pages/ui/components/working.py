"""The sign at the foot of the sidebar that something is computed, and the device in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show at the foot of the sidebar, where it moves nothing, that something is computed; then the device in use."""
    slot = st.sidebar.empty()
    with slot, st.spinner(label, show_time=True):
        yield
    slot.caption(f"Device: {device()}")


def device() -> str:
    """The device in use, in words: work in the plane is too small for a GPU, so it stays on the CPU."""
    import torch

    idle = torch.cuda.is_available() or torch.backends.mps.is_available()
    return f"CPU · {torch.get_num_threads()} thread" + (" (the GPU is not used: the work is too small for it)" if idle else "")
