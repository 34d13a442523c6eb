"""One stage as one compact byte string, and back.

Layout: b"DPM1", header length (uint32, little endian), JSON header (UTF-8), body. The body consists of blocks that
start at multiples of four bytes, counted from the start of the body. Coordinates are uint16, quantised over three
times the visible range; pixels uint8, or bits, eight to a byte, the first in the highest bit; counts of lines uint32;
bars of histograms float32. The blocks are named "<panel>/positions", "<panel>/pixels", "<panel>/<layer>/start",
"/end", "/points", "/lengths" (points of each line) and "/lines" (lines of each frame), and "cards/<number>/counts"
and "/curve", numbered from 0.
"""

from __future__ import annotations

import json
import math
import re
import struct

import numpy as np

from pages.ui.components.player.checks import instance_of, one_of, require
from pages.ui.components.player.panels import View
from pages.ui.components.player.readouts import Readout
from pages.ui.components.player.stage import Stage
from pages.ui.components.player.writer import MISSING, STEPS, PayloadWriter

MAGIC = b"DPM1"
LIMIT = 5_000_000  # bytes; larger messages make the page slow

_DIRECTIONS = ("forward", "backward", "pingpong")
_COLOURS = ("role", "position", "density")
_HEIGHTS = ("tall", "hero")


def pack(stage: Stage) -> bytes:
    """Return the bytes that `player` shows.

    Raises ValueError, with one sentence, when shapes disagree, a word is unknown or the result exceeds LIMIT bytes.
    """
    _check_stage(stage)
    lo, hi = float(stage.lo), float(stage.hi)
    times, labels = [int(t) for t in stage.times], [str(version) for version in stage.versions]
    writer = PayloadWriter(lo, hi, len(times), len(labels))
    panels = [panel.pack(writer) for panel in stage.panels]
    _check_ids(panels, stage.on)
    header = {
        "name": re.sub(r"[^A-Za-z0-9_-]+", "-", stage.name).strip("-") or "dpm",
        "times": times,
        "versions": labels,
        "versions_label": stage.versions_label,
        "T": int(stage.T),
        "lo": lo,
        "hi": hi,
        "low": writer.low,
        "span": writer.span,
        "panels": panels,
        "readouts": [readout.pack(f"cards/{number}", writer) for number, readout in enumerate(stage.readouts)],
        "caption": stage.caption,
        "on": list(stage.on),
        "duration": float(stage.duration),
        "autoplay": bool(stage.autoplay),
        "loop": bool(stage.loop),
        "direction": one_of(stage.direction, _DIRECTIONS, "direction"),
        "colour": one_of(stage.colour, _COLOURS, "colour"),
        "height": one_of(stage.height, _HEIGHTS, "height"),
        "clock": stage.clock,
        "start": None if stage.start is None else int(stage.start),
        "blocks": writer.blocks,
    }
    raw = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    size = 8 + len(raw) + writer.size
    what = "images" if any(panel["kind"] == "images" for panel in panels) else "particles"
    remedy = f"use fewer {what}, versions or frames" if labels else f"use fewer {what} or frames"
    require(size <= LIMIT, f"This trajectory takes {size / 1e6:.1f} MB and the limit is {LIMIT / 1e6:.0f} MB: {remedy}.")
    return b"".join([MAGIC, struct.pack("<I", len(raw)), raw, *writer.chunks])


def _check_stage(stage: Stage) -> None:
    """Check what does not depend on the contents of panels and cards."""
    lo, hi = float(stage.lo), float(stage.hi)
    require(len(stage.times) > 0, "A stage needs at least one time.")
    require(
        not isinstance(stage.versions, str) and len({str(version) for version in stage.versions}) == len(stage.versions),
        "The versions of a stage must be a list of different labels.",
    )
    require(math.isfinite(lo) and math.isfinite(hi) and lo < hi, f"lo must be below hi and both finite, not {lo} and {hi}.")
    require(1 <= len(stage.panels) <= 4, "A stage holds one to four panels.")
    require(len(stage.readouts) <= 4, "A stage holds at most four readouts.")
    require(
        math.isfinite(stage.duration) and stage.duration > 0,
        f"duration must be a positive number of seconds, not {stage.duration}.",
    )
    for panel in stage.panels:
        instance_of(panel, View, "A panel")
    for readout in stage.readouts:
        instance_of(readout, Readout, "A readout")


def _check_ids(panels: list[dict], on: tuple[str, ...]) -> None:
    """Require ids that are unique, and layers that exist among those switched on."""
    panel_ids = [panel["id"] for panel in panels]
    layer_ids = {layer["id"] for panel in panels for layer in panel["layers"]}
    require(
        len(set(panel_ids)) == len(panel_ids) and layer_ids.isdisjoint(panel_ids),
        "Every panel needs an id that no other panel or layer has.",
    )
    for name in on:
        require(name in layer_ids, f"{name!r} is switched on but no layer has this id.")


def unpack(payload: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the header and the blocks by name: the inverse of `pack`.

    Coordinates come back as float32 [..., 2] with NaN where missing, counts of lines as uint32, pixels as uint8 (bits
    eight to a byte), histograms as float32. Raises ValueError when the bytes are not a packed stage.
    """
    require(payload[:4] == MAGIC, "These bytes are not a packed stage.")
    (length,) = struct.unpack_from("<I", payload, 4)
    header = json.loads(payload[8 : 8 + length].decode("utf-8"))
    arrays = {}
    for block in header["blocks"]:
        count = math.prod(block["shape"])
        codes = np.frombuffer(payload, dtype="<" + block["type"], count=count, offset=8 + length + block["offset"]).reshape(block["shape"])
        if block["type"] == "u2":
            values = header["low"] + codes / float(STEPS) * header["span"]
            codes = np.where(codes == MISSING, np.nan, values).astype(np.float32)
        arrays[block["name"]] = codes
    return header, arrays
