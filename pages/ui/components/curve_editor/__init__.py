"""Log-SNR and β_t of several noise schedules, with one of them editable by hand."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent

_COMPONENT = st.components.v2.component(
    "dpm_curve",
    html='<div class="dpm-curve"></div>\n',
    css=(_HERE / "component.css").read_text(encoding="utf-8"),
    js=(_HERE / "component.js").read_text(encoding="utf-8"),
    isolate_styles=True,
)


def _numbers(values: Iterable[float | None]) -> list[float | None]:
    """Six significant digits are finer than a pixel and halve the payload; JSON has no infinity."""
    return [float(f"{value:.6g}") if value is not None and math.isfinite(value) else None for value in values]


def curve_editor(
    spec: dict[str, Any],
    key: str,
    on_points_change: Callable[[], None] | None = None,
) -> Any:
    """Draw every schedule in two plots; drag the handles of the one named "custom".

    spec
        ``T``       int, the number of steps
        ``curves``  list of ``{"name", "label", "beta": [T], "log_snr": [T]}``; infinite log-SNR
                    may be ``None`` or ``inf``.  An optional ``slot`` (0 to 7) fixes colour and
                    dash; otherwise a schedule keeps the first free one for as long as it is shown.
        ``points``  ``[[u, beta], ...]`` with step t = 1 + u (T − 1), or ``None`` for no handles.
                    "custom" is then drawn from the points, linear in log10 β between them.
        ``rev``     optional int; a new value makes the handles return to ``points`` even when
                    ``points`` is what it was before the person moved them.

    Returns the component's state: ``result.points`` is ``[[u, beta], ...]`` sorted by u after the
    first edit and ``None`` before.  It comes from the browser: check it before use.
    """
    points = spec.get("points")
    data = {
        "T": int(spec["T"]),
        "rev": int(spec.get("rev", 0)),
        "points": None if points is None else [[float(u), float(beta)] for u, beta in points],
        "curves": [
            {
                "name": curve["name"],
                "label": curve["label"],
                "slot": curve.get("slot"),
                "beta": _numbers(curve["beta"]),
                "log_snr": _numbers(curve["log_snr"]),
            }
            for curve in spec["curves"]
        ],
    }
    return _COMPONENT(
        key=key,
        data=data,
        default={"points": None},
        on_points_change=on_points_change or (lambda: None),
    )
