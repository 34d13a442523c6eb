"""Cards beside the panels, whose numbers follow the time.

A new kind of card is one class here and its drawing in the scripts. S is the number of versions of the stage, F the
number of its times.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pages.ui.components.player.checks import ROLES, one_of, require, series
from pages.ui.components.player.writer import PayloadWriter


@dataclass(frozen=True)
class Readout(ABC):
    """Base of all cards. title: may hold <sub> and <sup>."""

    title: str

    @abstractmethod
    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        """Write the blocks of this card under the prefix, if it has any, and return its entry in the header. Raises ValueError."""

    @property
    def what(self) -> str:
        """Name of the card in error messages."""
        return f"Readout {self.title!r}"


@dataclass(frozen=True)
class Number(Readout):
    """Card with one number. values: one for all frames or one per frame: [1], [F], [S, 1] or [S, F].

    digits: decimals; spark: also draw the number over all frames, in the role's colour.
    """

    values: Sequence
    digits: int = 3
    unit: str = ""
    note: str = ""
    spark: bool = False
    role: str = "model"

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        return {
            "title": self.title,
            "digits": int(self.digits),
            "kind": "number",
            "values": series(self.values, writer.frames, writer.versions, self.what),
            "unit": self.unit,
            "note": self.note,
            "spark": bool(self.spark),
            "role": one_of(self.role, ROLES, f"{self.what} role"),
        }


@dataclass(frozen=True)
class Formula(Readout):
    """Card with a formula. "{name}" in html is replaced by the current number.

    html: trusted markup written in this code base, never a user's text.
    values: name -> numbers as in `Number`; whole numbers are shown without decimals, all others with ``digits``.
    """

    html: str
    values: Mapping[str, Sequence] = field(default_factory=dict)
    digits: int = 3

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        head = {"title": self.title, "digits": int(self.digits)}
        values = {
            name: series(numbers, writer.frames, writer.versions, f"{self.what} value {name!r}") for name, numbers in self.values.items()
        }
        return {**head, "kind": "formula", "html": self.html, "values": values}


@dataclass(frozen=True)
class Histogram(Readout):
    """Card with a histogram that follows the time.

    edges: [B + 1], increasing; they only label the axis, all bars have the same width.
    counts: [F, B] or [S, F, B], zero or more, in any unit.
    curve: [F, B] or [B], a reference in the unit of the counts, drawn as a line in the grey of noise; None for none.

    All frames share one vertical scale, chosen so that most of them fit; a higher bar is drawn with a break near its top.
    """

    edges: Sequence[float] | np.ndarray
    counts: np.ndarray
    curve: np.ndarray | None = None
    note: str = ""
    role: str = "model"

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        frames, versions = writer.frames, writer.versions
        edges = np.asarray(self.edges, dtype=np.float64)
        require(
            edges.ndim == 1 and len(edges) > 1 and bool(np.isfinite(edges).all() and (np.diff(edges) > 0).all()),
            f"{self.what} needs at least two edges that increase.",
        )
        bars = len(edges) - 1
        counts = np.asarray(self.counts, dtype=np.float64)
        shapes = [(frames, bars), (versions, frames, bars)] if versions else [(frames, bars)]
        require(
            counts.shape in shapes,
            f"{self.what} counts must have shape {' or '.join(str(list(shape)) for shape in shapes)}, not {list(counts.shape)}.",
        )
        writer.add_floats(f"{prefix}/counts", counts)
        arrays = [counts]
        if self.curve is not None:
            curve = np.asarray(self.curve, dtype=np.float64)
            require(
                curve.shape in ((bars,), (frames, bars)),
                f"{self.what} curve must have shape [{bars}] or [{frames}, {bars}], not {list(curve.shape)}.",
            )
            writer.add_floats(f"{prefix}/curve", curve)
            arrays.append(curve)
        require(
            all(bool(np.isfinite(array).all() and (array >= 0).all()) for array in arrays),
            f"{self.what} needs counts and a curve that are finite and not negative.",
        )
        return {
            "kind": "histogram",
            "title": self.title,
            "edges": edges.tolist(),
            "note": self.note,
            "role": one_of(self.role, ROLES, f"{self.what} role"),
        }
