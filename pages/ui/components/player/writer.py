"""The binary part of a packed stage: arrays as aligned blocks, and their table of contents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MISSING = 65535  # code of a coordinate that is not finite
STEPS = 65534  # largest code of a finite coordinate


class PayloadWriter:
    """Collects blocks of one stage.

    frames: number F of times; versions: number S of versions, 0 where the stage has none.
    blocks: table of contents for the header; chunks: the bytes of each block; size: bytes so far.

    Coordinates are quantised to uint16 over three times the visible range, because a panel that is wider than high
    also shows what lies beside [lo, hi].
    """

    def __init__(self, lo: float, hi: float, frames: int, versions: int):
        self.low, self.span = lo - (hi - lo), 3.0 * (hi - lo)
        self.frames, self.versions = frames, versions
        self.blocks: list[dict] = []
        self.chunks: list[bytes] = []
        self.size = 0

    def add(self, name: str, array: np.ndarray) -> None:
        """Append an array as it is; the block is padded to a multiple of four bytes."""
        raw = array.tobytes()
        raw += bytes(-len(raw) % 4)
        code = array.dtype.kind + str(array.dtype.itemsize)
        self.blocks.append({"name": name, "offset": self.size, "shape": list(array.shape), "type": code})
        self.chunks.append(raw)
        self.size += len(raw)

    def add_points(self, name: str, points: np.ndarray) -> None:
        """Append coordinates [..., 2], quantised; a point with a coordinate that is not finite is marked as missing."""
        points = np.asarray(points, dtype=np.float64)
        finite = np.isfinite(points).all(axis=-1, keepdims=True)
        scaled = np.where(finite, (points - self.low) / self.span, 0.0)
        codes = np.rint(np.clip(scaled, 0.0, 1.0) * STEPS)
        self.add(name, np.where(finite, codes, MISSING).astype("<u2"))

    def add_counts(self, name: str, counts: Sequence[int]) -> None:
        """Append whole numbers as uint32."""
        self.add(name, np.asarray(counts, dtype="<u4"))

    def add_floats(self, name: str, values: np.ndarray) -> None:
        """Append numbers as float32."""
        self.add(name, np.asarray(values, dtype="<f4"))
