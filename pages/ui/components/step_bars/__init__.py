"""Stacked bars over the steps t = 2..T: pointing at one moves every player of the same clock to that t, with no word to the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import streamlit as st

_HERE = Path(__file__).parent
_COMPONENT = st.components.v2.component(
    "dpm_step_bars",
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / name).read_text(encoding="utf-8") for name in ("../elements.js", "component.js")),
    isolate_styles=True,
)


def step_bars(parts: Mapping[str, tuple[np.ndarray, str]], T: int, unit: str, clock: str, key: str) -> int | None:
    """Draw ``parts``, label → (bits ``[T−1]`` for t = 2..T, role of the palette), one upon the other.

    Returns the t that was clicked last, or None. It comes from the browser: nonsense is None too.
    """
    data = {
        "T": int(T),
        "unit": unit,
        "clock": clock,
        "parts": [{"label": label, "role": role, "bits": [float(f"{b:.5g}") for b in bits]} for label, (bits, role) in parts.items()],
    }
    result = _COMPONENT(key=key, data=data, default={"t": None}, on_t_change=lambda: None)
    t = result.t
    whole = isinstance(t, int | float) and not isinstance(t, bool) and t == int(t)
    return int(t) if whole and 2 <= t <= T else None
