"""One trajectory, with its layers and numbers, as one compact byte string.

Layout: b"DPM1", header length (uint32, little endian), JSON header (UTF-8), body.
The body holds blocks that start at multiples of four bytes, counted from the start
of the body. Coordinates are uint16, quantised over three times the visible range,
because a panel wider than high also shows what lies beside [lo, hi].
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = b"DPM1"
LIMIT = 5_000_000  # bytes; a larger message makes the page sluggish
_MISSING = 65535  # code of a coordinate that is not finite
_STEPS = 65534  # largest code of a finite coordinate

_ROLES = ("data", "model", "exact", "noise")
_DIRECTIONS = ("forward", "backward", "pingpong")
_COLOURS = ("role", "position", "density")
_HEIGHTS = ("tall", "hero")
_ID = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*)\Z")  # ids travel in links


@dataclass(frozen=True)
class Arrows:
    """Drift field. start: [n, 2]; end: [F_l, n, 2], drawn as long as it is given."""

    id: str
    label: str
    role: str
    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class Lines:
    """Contours. frames: F_l lists of polylines, each [k, 2]."""

    id: str
    label: str
    role: str
    frames: list


@dataclass(frozen=True)
class Mesh:
    """Deforming grid. points: [F_l, rows, cols, 2]."""

    id: str
    label: str
    role: str
    points: np.ndarray


@dataclass(frozen=True)
class Panel:
    """One view of N particles. positions: [F, N, 2], in the units of lo and hi.

    Layers with the same id in several panels are switched together.
    """

    id: str
    label: str
    role: str
    positions: np.ndarray
    note: str = ""
    layers: tuple = ()


@dataclass(frozen=True)
class Number:
    """Card with one number. values: one per frame, or one for all frames."""

    title: str
    values: Sequence[float]
    digits: int = 3
    unit: str = ""
    note: str = ""
    spark: bool = False
    role: str = "model"


@dataclass(frozen=True)
class Formula:
    """Card with a formula. "{name}" in html becomes the current number.

    html: trusted markup written in this code base, never a visitor's text.
    values: name -> one number per frame, or one for all; whole numbers show without
        decimals, all others with `digits`.
    """

    title: str
    html: str
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    digits: int = 3


@dataclass(frozen=True)
class Stage:
    """Everything one player shows.

    times: the t of each of the F frames, in the order of the timeline.
    lo, hi: visible square range of both coordinates.
    caption: plain text in which [word](layer-id) switches a layer; <sub> and <sup>
        are kept.
    on: layer ids that are switched on at the start.
    duration: seconds for the whole trajectory at speed 1.0.
    clock: players on a page with the same non-empty clock move together.
    start: t at which the player opens; without it the end where playing starts.
    """

    panels: tuple
    times: Sequence[int]
    T: int
    lo: float
    hi: float
    readouts: tuple = ()
    caption: str = ""
    on: tuple = ()
    duration: float = 5.0
    autoplay: bool = False
    loop: bool = False
    direction: str = "forward"
    colour: str = "role"
    height: str = "tall"
    name: str = "dpm"
    clock: str = ""
    start: int | None = None


class _Body:
    """Collects aligned blocks and their table of contents."""

    def __init__(self, lo: float, hi: float):
        self.low, self.span = lo - (hi - lo), 3.0 * (hi - lo)
        self.blocks: list = []
        self.parts: list = []
        self.size = 0

    def add(self, name: str, array: np.ndarray) -> None:
        raw = array.tobytes()
        raw += bytes(-len(raw) % 4)
        code = "u2" if array.dtype.itemsize == 2 else "u4"
        self.blocks.append({"name": name, "offset": self.size, "shape": list(array.shape), "type": code})
        self.parts.append(raw)
        self.size += len(raw)

    def add_points(self, name: str, points: np.ndarray) -> None:
        """points: [..., 2] coordinates; a point with one bad coordinate is missing."""
        points = np.asarray(points, dtype=np.float64)
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        scaled = np.where(finite, (points - self.low) / self.span, 0.0)
        codes = np.rint(np.clip(scaled, 0.0, 1.0) * _STEPS)
        self.add(name, np.where(finite, codes, _MISSING).astype("<u2"))

    def add_counts(self, name: str, counts: Sequence[int]) -> None:
        self.add(name, np.asarray(counts, dtype="<u4"))


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _one_of(value: str, allowed: Sequence[str], what: str) -> str:
    _require(value in allowed, f"{what} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def _identifier(value: str, what: str) -> str:
    _require(
        isinstance(value, str) and bool(_ID.match(value)),
        f"{what} {value!r} must be letters, digits, '_' or '-', and not start with '-'.",
    )
    return value


def _shape(array: Any, ndim: int, what: str, layout: str) -> np.ndarray:
    array = np.asarray(array)
    _require(
        array.ndim == ndim and array.shape[-1] == 2 and array.size > 0,
        f"{what} must have shape {layout}, not {list(array.shape)}.",
    )
    return array


def _series(values: Any, frames: int, what: str) -> list:
    """[F] or [1] numbers as JSON-safe floats of six digits; None where not finite."""
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    _require(
        len(numbers) in (1, frames),
        f"{what} needs one value or one for each of {frames} frames, not {len(numbers)}.",
    )
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in numbers.tolist()]


def _pack_layer(layer: Any, prefix: str, body: _Body) -> dict:
    _identifier(layer.id, "Layer id")
    what = f"Layer {layer.id!r}"
    head = {
        "id": layer.id,
        "label": layer.label,
        "role": _one_of(layer.role, _ROLES, f"{what} role"),
    }
    if isinstance(layer, Arrows):
        start = _shape(layer.start, 2, f"{what} start", "[n, 2]")
        end = _shape(layer.end, 3, f"{what} end", "[F, n, 2]")
        _require(
            len(start) == end.shape[1],
            f"{what} has {len(start)} starts but {end.shape[1]} ends.",
        )
        body.add_points(f"{prefix}/start", start)
        body.add_points(f"{prefix}/end", end)
        return {**head, "kind": "arrows", "frames": len(end)}
    if isinstance(layer, Mesh):
        points = _shape(layer.points, 4, f"{what} points", "[F, rows, cols, 2]")
        body.add_points(f"{prefix}/points", points)
        return {**head, "kind": "mesh", "frames": len(points)}
    _require(isinstance(layer, Lines), f"{what} must be Arrows, Lines or Mesh.")
    _require(len(layer.frames) > 0, f"{what} needs at least one frame.")
    lines = [_shape(line, 2, f"{what} line", "[k, 2]") for frame in layer.frames for line in frame]
    points = np.concatenate(lines) if lines else np.empty((0, 2))
    body.add_points(f"{prefix}/points", points)
    body.add_counts(f"{prefix}/lengths", [len(line) for line in lines])
    body.add_counts(f"{prefix}/lines", [len(frame) for frame in layer.frames])
    return {**head, "kind": "lines", "frames": len(layer.frames)}


def _pack_panel(panel: Panel, frames: int, body: _Body) -> dict:
    _identifier(panel.id, "Panel id")
    positions = _shape(panel.positions, 3, f"Panel {panel.id!r} positions", "[F, N, 2]")
    _require(
        len(positions) == frames,
        f"Panel {panel.id!r} has {len(positions)} frames but the stage has {frames} times.",
    )
    body.add_points(f"{panel.id}/positions", positions)
    ids = [layer.id for layer in panel.layers]
    _require(len(set(ids)) == len(ids), f"Panel {panel.id!r} uses one layer id twice.")
    return {
        "id": panel.id,
        "label": panel.label,
        "role": _one_of(panel.role, _ROLES, f"Panel {panel.id!r} role"),
        "note": panel.note,
        "n": positions.shape[1],
        "layers": [_pack_layer(layer, f"{panel.id}/{layer.id}", body) for layer in panel.layers],
    }


def _pack_readout(readout: Any, frames: int) -> dict:
    _require(
        isinstance(readout, (Number, Formula)),
        f"A readout must be a Number or a Formula, not {type(readout).__name__}.",
    )
    what = f"Readout {readout.title!r}"
    head = {"title": readout.title, "digits": int(readout.digits)}
    if isinstance(readout, Number):
        return {
            **head,
            "kind": "number",
            "values": _series(readout.values, frames, what),
            "unit": readout.unit,
            "note": readout.note,
            "spark": bool(readout.spark),
            "role": _one_of(readout.role, _ROLES, f"{what} role"),
        }
    values = {name: _series(series, frames, f"{what} value {name!r}") for name, series in readout.values.items()}
    return {**head, "kind": "formula", "html": readout.html, "values": values}


def pack(stage: Stage) -> bytes:
    """Bytes for `player`.

    Raises ValueError, with one sentence, when shapes disagree, a word is unknown or
    the result exceeds LIMIT bytes.
    """
    times = [int(t) for t in stage.times]
    frames = len(times)
    lo, hi = float(stage.lo), float(stage.hi)
    _require(frames > 0, "A stage needs at least one time.")
    _require(
        math.isfinite(lo) and math.isfinite(hi) and lo < hi,
        f"lo must be below hi and both finite, not {lo} and {hi}.",
    )
    _require(1 <= len(stage.panels) <= 4, "A stage holds one to four panels.")
    _require(len(stage.readouts) <= 4, "A stage holds at most four readouts.")
    _require(
        math.isfinite(stage.duration) and stage.duration > 0,
        f"duration must be a positive number of seconds, not {stage.duration}.",
    )
    body = _Body(lo, hi)
    panels = [_pack_panel(panel, frames, body) for panel in stage.panels]
    panel_ids = [panel["id"] for panel in panels]
    layer_ids = {layer["id"] for panel in panels for layer in panel["layers"]}
    _require(
        len(set(panel_ids)) == len(panel_ids) and layer_ids.isdisjoint(panel_ids),
        "Every panel needs an id that no other panel or layer has.",
    )
    for name in stage.on:
        _require(name in layer_ids, f"{name!r} is switched on but no layer has this id.")
    header = {
        "name": re.sub(r"[^A-Za-z0-9_-]+", "-", stage.name).strip("-") or "dpm",
        "times": times,
        "T": int(stage.T),
        "lo": lo,
        "hi": hi,
        "low": body.low,
        "span": body.span,
        "panels": panels,
        "readouts": [_pack_readout(readout, frames) for readout in stage.readouts],
        "caption": stage.caption,
        "on": list(stage.on),
        "duration": float(stage.duration),
        "autoplay": bool(stage.autoplay),
        "loop": bool(stage.loop),
        "direction": _one_of(stage.direction, _DIRECTIONS, "direction"),
        "colour": _one_of(stage.colour, _COLOURS, "colour"),
        "height": _one_of(stage.height, _HEIGHTS, "height"),
        "clock": stage.clock,
        "start": None if stage.start is None else int(stage.start),
        "blocks": body.blocks,
    }
    head = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    raw = head.encode("utf-8")
    size = 8 + len(raw) + body.size
    _require(
        size <= LIMIT,
        f"This trajectory takes {size / 1e6:.1f} MB and the limit is {LIMIT / 1e6:.0f} MB: use fewer particles or frames.",
    )
    return b"".join([MAGIC, struct.pack("<I", len(raw)), raw, *body.parts])


def unpack(payload: bytes) -> tuple:
    """Inverse of `pack`: (header, {block name: array}).

    Coordinate blocks come back as float32 [..., 2] with NaN where missing, counts as
    uint32. Names: "panel/positions", "panel/layer/start", "/end", "/points",
    "/lengths" (points of each line) and "/lines" (lines in each frame).
    """
    _require(payload[:4] == MAGIC, "These bytes are not a packed stage.")
    (length,) = struct.unpack_from("<I", payload, 4)
    header = json.loads(payload[8 : 8 + length].decode("utf-8"))
    arrays = {}
    for block in header["blocks"]:
        count = math.prod(block["shape"])
        codes = np.frombuffer(payload, dtype="<" + block["type"], count=count, offset=8 + length + block["offset"]).reshape(block["shape"])
        if block["type"] == "u2":
            values = header["low"] + codes / float(_STEPS) * header["span"]
            codes = np.where(codes == _MISSING, np.nan, values).astype(np.float32)
        arrays[block["name"]] = codes
    return header, arrays


def clean_pick(value: Any, header: Mapping[str, Any]) -> dict | None:
    """A click checked against the header it belongs to, or None if it makes no sense.

    Returns {"t": int, "frame": int, "x": float, "y": float, "panel": str,
    "particle": int or None}. The header is the first item of `unpack`.
    """
    try:
        frame, x, y = int(value["frame"]), float(value["x"]), float(value["y"])
        sizes = {panel["id"]: panel["n"] for panel in header["panels"]}
        size = sizes[value["panel"]]
        particle = None if value.get("particle") is None else int(value["particle"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    known = 0 <= frame < len(header["times"]) and (particle is None or 0 <= particle < size)
    # Nothing further out than the quantised range can have been on the screen.
    low, high = header["low"], header["low"] + header["span"]
    if not known or not (low <= x <= high and low <= y <= high):
        return None
    return {
        "t": header["times"][frame],
        "frame": frame,
        "x": x,
        "y": y,
        "panel": value["panel"],
        "particle": particle,
    }
