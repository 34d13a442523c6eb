"""Log SNR and β_t of several noise schedules, of which one can be edited by its control points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from pages.ui.components.common import ignore_change, register

__all__ = ["curve_editor"]

SCRIPTS = (
    "common/elements.js", "common/numbers.js", "common/theme.js", "common/lifecycle.js", "common/pointer.js",
    "schedule.js", "plot.js", "legend.js", "control_points.js", "component.js",
)  # fmt: skip

_component = register("dpm_curve", "curve_editor", SCRIPTS)


def curve_editor(spec: dict[str, Any], key: str, on_points_change: Callable[[], None] | None = None) -> Any:
    """Draw every schedule in two plots, with control points for the one named "custom", and return the component's state.

    spec
        ``T``       int, the number of steps
        ``curves``  list of ``{"name", "label", "beta": [T], "log_snr": [T]}``; an infinite log SNR may be ``None`` or
                    ``inf``. An optional ``slot`` (0 to 8) fixes colour and dash; otherwise a schedule has the first
                    free one for as long as it is shown.
        ``points``  ``[[u, beta], ...]`` with step t = 1 + u (T − 1), or ``None`` for no control points. "custom" is
                    then drawn from the points, linear in log10 β between them.
        ``rev``     optional int; a new value resets the control points to ``points`` even if ``points`` has not
                    changed since the user moved them.
    key: widget key, unique on the page.
    on_points_change: called without arguments before the rerun that follows an edit.

    ``result.points`` is ``[[u, beta], ...]`` sorted by u after the first edit and ``None`` before. It comes from the
    browser: check it before use.
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
    return _component(key=key, data=data, default={"points": None}, on_points_change=on_points_change or ignore_change)


def _numbers(values: Iterable[float | None]) -> list[float | None]:
    """Six significant digits are finer than a pixel and halve the payload; JSON has no infinity."""
    return [float(f"{value:.6g}") if value is not None and math.isfinite(value) else None for value in values]
