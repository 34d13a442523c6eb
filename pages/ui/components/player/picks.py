"""Clicks in a player, as the browser reports them. Nothing in them is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Pick = Mapping[str, Any]


def clean_pick(value: Any, header: Mapping[str, Any]) -> dict | None:
    """Return a click that has been checked against the header of the stage, or None if it is not valid.

    Returns {"t": int, "frame": int, "version": int or None, "panel": str} and, for particles,
    {"x": float, "y": float, "particle": int or None} in the units of the stage; for images
    {"image": int, "x": column, "y": row} as whole numbers. The header is the first item of `unpack`.
    """
    try:
        panel = {panel["id"]: panel for panel in header["panels"]}[value["panel"]]
        frame = _index(value["frame"], len(header["times"]))
        version = _index(value["version"], len(header["versions"])) if header["versions"] else None
        place = _PLACES[panel["kind"]](value, panel, header)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return {"t": header["times"][frame], "frame": frame, "version": version, "panel": panel["id"], **place}


def _on_particles(value: Pick, panel: Mapping[str, Any], header: Mapping[str, Any]) -> dict:
    x, y = float(value["x"]), float(value["y"])
    particle = None if value.get("particle") is None else _index(value["particle"], panel["n"])
    low, high = header["low"], header["low"] + header["span"]
    # Nothing outside the quantised range can have been on the screen; NaN fails this comparison too.
    if not (low <= x <= high and low <= y <= high):
        raise ValueError
    return {"x": x, "y": y, "particle": particle}


def _on_images(value: Pick, panel: Mapping[str, Any], header: Mapping[str, Any]) -> dict:
    sizes = {"image": panel["n"], "x": panel["width"], "y": panel["height"]}
    return {name: _index(value[name], size) for name, size in sizes.items()}


_PLACES: dict[str, Callable[[Pick, Mapping[str, Any], Mapping[str, Any]], dict]] = {"particles": _on_particles, "images": _on_images}


def _index(value: Any, size: int) -> int:
    """Return a whole number from 0 to size - 1. Raises ValueError or TypeError on anything else."""
    if isinstance(value, bool) or value != int(value) or not 0 <= value < size:
        raise ValueError
    return int(value)
