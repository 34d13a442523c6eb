"""Stacked bars over the steps t = 2..T. Pointing at a bar shows its t in every player of the same clock, in the browser alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pages.ui.components.common import ignore_change, register

__all__ = ["step_bars"]

SCRIPTS = (
    "common/elements.js", "common/numbers.js", "common/theme.js", "common/lifecycle.js", "common/pointer.js", "chart.js", "component.js",
)  # fmt: skip

_component = register("dpm_step_bars", "step_bars", SCRIPTS)


def step_bars(parts: Mapping[str, tuple[np.ndarray, str]], T: int, unit: str, clock: str, key: str) -> int | None:
    """Draw stacked bars and return the t that was clicked last, or None.

    parts: label → (bits [T − 1] for t = 2..T, role of the palette), in the order of stacking.
    T: number of steps of the chain.
    unit: unit of the bits, shown at the axis.
    clock: of the players that follow the pointer; "" for none.
    key: widget key, unique on the page.

    The t comes from the browser; a value that is not valid is returned as None.
    """
    data = {
        "T": int(T),
        "unit": unit,
        "clock": clock,
        "parts": [{"label": label, "role": role, "bits": [float(f"{b:.5g}") for b in bits]} for label, (bits, role) in parts.items()],
    }
    t = _component(key=key, data=data, default={"t": None}, on_t_change=ignore_change).t
    whole = isinstance(t, int | float) and not isinstance(t, bool) and t == int(t)
    return int(t) if whole and 2 <= t <= T else None
