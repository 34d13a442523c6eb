"""One trajectory, with its layers and numbers, as one compact byte string.

Layout: b"DPM1", header length (uint32, little endian), JSON header (UTF-8), body.
The body holds blocks that start at multiples of four bytes, counted from the start
of the body. Coordinates are uint16, quantised over three times the visible range,
because a panel wider than high also shows what lies beside [lo, hi]. Pixels are uint8
as given, or bits, eight to a byte, the first the highest; the bars of histograms float32.
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .parts import Arrows, Formula, Histogram, Images, Lines, Mesh, Number, Panel, Stage

MAGIC = b"DPM1"
LIMIT = 5_000_000  # bytes; a larger message makes the page sluggish
_MISSING = 65535  # code of a coordinate that is not finite
_STEPS = 65534  # largest code of a finite coordinate
_TALLEST = 16384  # rows of pixels in one canvas that every browser can hold

_ROLES = ("data", "model", "exact", "noise")
_DIRECTIONS = ("forward", "backward", "pingpong")
_COLOURS = ("role", "position", "density")
_HEIGHTS = ("tall", "hero")
_ID = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*)\Z")  # ids travel in links


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
        code = array.dtype.kind + str(array.dtype.itemsize)
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

    def add_floats(self, name: str, values: np.ndarray) -> None:
        self.add(name, np.asarray(values, dtype="<f4"))


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


def _series(values: Any, frames: int, versions: int, what: str) -> list:
    """Numbers as JSON-safe floats of six digits, None where not finite: [F] or [1], with versions also [S, F] or [S, 1]."""
    numbers = np.asarray(values, dtype=np.float64)
    if versions and numbers.ndim == 2:
        _require(
            len(numbers) == versions,
            f"{what} has values for {len(numbers)} versions but the stage has {versions}.",
        )
        return [_series(row, frames, 0, what) for row in numbers]
    numbers = numbers.reshape(-1)
    _require(
        len(numbers) in (1, frames),
        f"{what} needs one value or one for each of {frames} frames, not {len(numbers)}.",
    )
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in numbers.tolist()]


def _require_axes(array: np.ndarray, versioned: bool, frames: int, versions: int, what: str) -> None:
    """The leading axes of a panel's data are [S, F] or, where all versions share it, [F]."""
    if versioned:
        _require(
            len(array) == versions,
            f"{what} has {len(array)} versions but the stage has {versions}.",
        )
    found = array.shape[1 if versioned else 0]
    _require(found == frames, f"{what} has {found} frames but the stage has {frames} times.")


def _pack_layer(layer: Any, prefix: str, versions: int, body: _Body) -> dict:
    _identifier(layer.id, "Layer id")
    what = f"Layer {layer.id!r}"
    head = {
        "id": layer.id,
        "label": layer.label,
        "role": _one_of(layer.role, _ROLES, f"{what} role"),
    }
    if isinstance(layer, Arrows):
        start = _shape(layer.start, 2, f"{what} start", "[n, 2]")
        versioned = bool(versions) and np.ndim(layer.end) == 4
        end = _shape(layer.end, 4 if versioned else 3, f"{what} end", "[F, n, 2]")
        _require(
            not versioned or len(end) == versions,
            f"{what} has {len(end)} versions but the stage has {versions}.",
        )
        _require(
            len(start) == end.shape[-2],
            f"{what} has {len(start)} starts but {end.shape[-2]} ends.",
        )
        body.add_points(f"{prefix}/start", start)
        body.add_points(f"{prefix}/end", end)
        return {**head, "kind": "arrows", "frames": end.shape[-3], "versioned": versioned}
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


def _pack_panel(panel: Any, frames: int, versions: int, body: _Body) -> dict:
    _require(
        isinstance(panel, (Panel, Images)),
        f"A panel must be a Panel or Images, not {type(panel).__name__}.",
    )
    _identifier(panel.id, "Panel id")
    what = f"Panel {panel.id!r}"
    head = {
        "id": panel.id,
        "label": panel.label,
        "role": _one_of(panel.role, _ROLES, f"{what} role"),
        "note": panel.note,
    }
    if isinstance(panel, Images):
        return {**head, **_pack_images(panel, frames, versions, body), "layers": []}
    versioned = bool(versions) and np.ndim(panel.positions) != 3
    layout = "[S, F, N, 2] or [F, N, 2]" if versions else "[F, N, 2]"
    positions = _shape(panel.positions, 4 if versioned else 3, f"{what} positions", layout)
    _require_axes(positions, versioned, frames, versions, what)
    body.add_points(f"{panel.id}/positions", positions)
    ids = [layer.id for layer in panel.layers]
    _require(len(set(ids)) == len(ids), f"{what} uses one layer id twice.")
    layers = [_pack_layer(layer, f"{panel.id}/{layer.id}", versions, body) for layer in panel.layers]
    return {**head, "kind": "particles", "n": positions.shape[-2], "versioned": versioned, "layers": layers}


def _pack_images(panel: Images, frames: int, versions: int, body: _Body) -> dict:
    what = f"Panel {panel.id!r}"
    pixels = np.asarray(panel.pixels)
    colour = pixels.ndim >= 5 and pixels.shape[-1] == 3
    axes = pixels.ndim - colour
    layout = "[S, F, n, H, W] or [F, n, H, W]" if versions else "[F, n, H, W]"
    _require(
        axes == 4 or (axes == 5 and versions > 0),
        f"{what} pixels must have shape {layout}, with a last axis of 3 for colour, not {list(pixels.shape)}.",
    )
    versioned = axes == 5
    _require(pixels.size > 0, f"{what} has no pixels.")
    _require(pixels.dtype == np.uint8, f"{what} pixels must be uint8, not {pixels.dtype}.")
    _require_axes(pixels, versioned, frames, versions, what)
    n, height, width = pixels.shape[axes - 3 : axes]
    _require(
        n * height <= _TALLEST and width <= _TALLEST,
        f"{what} has {n} images of {height} × {width} pixels: use fewer or smaller ones.",
    )
    _require(
        panel.columns is None or 1 <= panel.columns <= n,
        f"{what} columns must be 1 to {n}, not {panel.columns}.",
    )
    _require(
        len(panel.captions) in (0, n),
        f"{what} needs one caption for each of {n} images, not {len(panel.captions)}.",
    )
    _require(not (colour and (panel.tint or panel.bits)), f"{what} has colours of its own: only grey images take tint or bits.")
    if panel.bits:
        _require(int(pixels.max()) <= 1, f"{what} pixels must be 0 and 1 to be sent as bits.")
        pixels = np.packbits(pixels.reshape(*pixels.shape[: axes - 3], -1), axis=-1)  # each frame begins with a byte of its own
    body.add(f"{panel.id}/pixels", pixels)
    return {
        "kind": "images",
        "tint": bool(panel.tint or panel.bits),
        "bits": bool(panel.bits),
        "n": n,
        "height": height,
        "width": width,
        "channels": 3 if colour else 1,
        "versioned": versioned,
        "columns": None if panel.columns is None else int(panel.columns),
        "captions": [str(caption) for caption in panel.captions],
    }


def _pack_readout(readout: Any, place: int, frames: int, versions: int, body: _Body) -> dict:
    _require(
        isinstance(readout, (Number, Formula, Histogram)),
        f"A readout must be a Number, a Formula or a Histogram, not {type(readout).__name__}.",
    )
    what = f"Readout {readout.title!r}"
    if isinstance(readout, Histogram):
        return _pack_histogram(readout, f"cards/{place}", frames, versions, body)
    head = {"title": readout.title, "digits": int(readout.digits)}
    if isinstance(readout, Number):
        return {
            **head,
            "kind": "number",
            "values": _series(readout.values, frames, versions, what),
            "unit": readout.unit,
            "note": readout.note,
            "spark": bool(readout.spark),
            "role": _one_of(readout.role, _ROLES, f"{what} role"),
        }
    values = {name: _series(series, frames, versions, f"{what} value {name!r}") for name, series in readout.values.items()}
    return {**head, "kind": "formula", "html": readout.html, "values": values}


def _pack_histogram(card: Histogram, prefix: str, frames: int, versions: int, body: _Body) -> dict:
    what = f"Readout {card.title!r}"
    edges = np.asarray(card.edges, dtype=np.float64)
    _require(
        edges.ndim == 1 and len(edges) > 1 and bool(np.isfinite(edges).all() and (np.diff(edges) > 0).all()),
        f"{what} needs at least two edges that rise.",
    )
    bars = len(edges) - 1
    counts = np.asarray(card.counts, dtype=np.float64)
    shapes = [(frames, bars), (versions, frames, bars)] if versions else [(frames, bars)]
    _require(
        counts.shape in shapes,
        f"{what} counts must have shape {' or '.join(str(list(shape)) for shape in shapes)}, not {list(counts.shape)}.",
    )
    body.add_floats(f"{prefix}/counts", counts)
    parts = [counts]
    if card.curve is not None:
        curve = np.asarray(card.curve, dtype=np.float64)
        _require(
            curve.shape in ((bars,), (frames, bars)),
            f"{what} curve must have shape [{bars}] or [{frames}, {bars}], not {list(curve.shape)}.",
        )
        body.add_floats(f"{prefix}/curve", curve)
        parts.append(curve)
    _require(
        all(bool(np.isfinite(part).all() and (part >= 0).all()) for part in parts),
        f"{what} needs counts and a curve that are finite and not negative.",
    )
    return {
        "kind": "histogram",
        "title": card.title,
        "edges": edges.tolist(),
        "note": card.note,
        "role": _one_of(card.role, _ROLES, f"{what} role"),
    }


def pack(stage: Stage) -> bytes:
    """Bytes for `player`.

    Raises ValueError, with one sentence, when shapes disagree, a word is unknown or
    the result exceeds LIMIT bytes.
    """
    times = [int(t) for t in stage.times]
    labels = [str(version) for version in stage.versions]
    frames, versions = len(times), len(labels)
    lo, hi = float(stage.lo), float(stage.hi)
    _require(frames > 0, "A stage needs at least one time.")
    _require(
        not isinstance(stage.versions, str) and len(set(labels)) == versions,
        "The versions of a stage must be a list of different labels.",
    )
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
    panels = [_pack_panel(panel, frames, versions, body) for panel in stage.panels]
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
        "versions": labels,
        "versions_label": stage.versions_label,
        "T": int(stage.T),
        "lo": lo,
        "hi": hi,
        "low": body.low,
        "span": body.span,
        "panels": panels,
        "readouts": [_pack_readout(readout, i, frames, versions, body) for i, readout in enumerate(stage.readouts)],
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
    what = "images" if any(panel["kind"] == "images" for panel in panels) else "particles"
    remedy = f"use fewer {what}, versions or frames" if versions else f"use fewer {what} or frames"
    _require(
        size <= LIMIT,
        f"This trajectory takes {size / 1e6:.1f} MB and the limit is {LIMIT / 1e6:.0f} MB: {remedy}.",
    )
    return b"".join([MAGIC, struct.pack("<I", len(raw)), raw, *body.parts])


def unpack(payload: bytes) -> tuple:
    """Inverse of `pack`: (header, {block name: array}).

    Coordinate blocks come back as float32 [..., 2] with NaN where missing, counts as
    uint32, pixels as uint8 (of bits eight to a byte), histograms as float32. Names: "panel/positions",
    "panel/pixels", "panel/layer/start", "/end", "/points", "/lengths" (points of each
    line) and "/lines" (lines in each frame), "cards/0/counts" and "/curve" of the
    first readout.
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


def _index(value: Any, size: int) -> int:
    """A whole number from 0 to size - 1. Raises ValueError or TypeError on anything else."""
    if isinstance(value, bool) or value != int(value) or not 0 <= value < size:
        raise ValueError
    return int(value)


def clean_pick(value: Any, header: Mapping[str, Any]) -> dict | None:
    """A click checked against the header it belongs to, or None if it makes no sense.

    Returns {"t": int, "frame": int, "version": int or None, "panel": str} and, for
    particles, {"x": float, "y": float, "particle": int or None} in the units of the
    stage; for images {"image": int, "x": column, "y": row} as whole numbers. The
    header is the first item of `unpack`.
    """
    try:
        panel = {panel["id"]: panel for panel in header["panels"]}[value["panel"]]
        frame = _index(value["frame"], len(header["times"]))
        version = _index(value["version"], len(header["versions"])) if header["versions"] else None
        moment = {"t": header["times"][frame], "frame": frame, "version": version, "panel": panel["id"]}
        if panel["kind"] == "images":
            return {
                **moment,
                "image": _index(value["image"], panel["n"]),
                "x": _index(value["x"], panel["width"]),
                "y": _index(value["y"], panel["height"]),
            }
        x, y = float(value["x"]), float(value["y"])
        particle = None if value.get("particle") is None else _index(value["particle"], panel["n"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    # Nothing further out than the quantised range can have been on the screen.
    low, high = header["low"], header["low"] + header["span"]
    if not (low <= x <= high and low <= y <= high):
        return None
    return {**moment, "x": x, "y": y, "particle": particle}
