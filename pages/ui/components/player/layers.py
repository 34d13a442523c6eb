"""Layers that are drawn over the particles of a panel.

A new kind of layer is one class here and its drawing in ``layers.js``. S is the number of versions of the stage, F_l
the number of frames of the layer, which may be smaller than that of the stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pages.ui.components.player.checks import ROLES, coordinates, identifier, one_of, require
from pages.ui.components.player.writer import PayloadWriter


@dataclass(frozen=True)
class Layer(ABC):
    """Base of all layers. id: also its name in links; label: its switch; role: its colour."""

    id: str
    label: str
    role: str

    @abstractmethod
    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        """Write the blocks of this layer under the prefix and return its entry in the header. Raises ValueError."""

    @property
    def what(self) -> str:
        """Name of the layer in error messages."""
        return f"Layer {self.id!r}"

    def head(self) -> dict:
        """Entries of the header that all layers have. Raises ValueError."""
        identifier(self.id, "Layer id")
        return {"id": self.id, "label": self.label, "role": one_of(self.role, ROLES, f"{self.what} role")}


@dataclass(frozen=True)
class Arrows(Layer):
    """Vector field. start: [n, 2]; end: [F_l, n, 2] or [S, F_l, n, 2]: each arrow is drawn from start to end."""

    start: np.ndarray
    end: np.ndarray

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        head, versions = self.head(), writer.versions
        start = coordinates(self.start, 2, f"{self.what} start", "[n, 2]")
        versioned = bool(versions) and np.ndim(self.end) == 4
        end = coordinates(self.end, 4 if versioned else 3, f"{self.what} end", "[F, n, 2]")
        require(not versioned or len(end) == versions, f"{self.what} has {len(end)} versions but the stage has {versions}.")
        require(len(start) == end.shape[-2], f"{self.what} has {len(start)} starts but {end.shape[-2]} ends.")
        writer.add_points(f"{prefix}/start", start)
        writer.add_points(f"{prefix}/end", end)
        return {**head, "kind": "arrows", "frames": end.shape[-3], "versioned": versioned}


@dataclass(frozen=True)
class Lines(Layer):
    """Polylines such as contours. frames: F_l lists of polylines, each [k, 2]."""

    frames: list

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        head = self.head()
        require(len(self.frames) > 0, f"{self.what} needs at least one frame.")
        lines = [coordinates(line, 2, f"{self.what} line", "[k, 2]") for frame in self.frames for line in frame]
        writer.add_points(f"{prefix}/points", np.concatenate(lines) if lines else np.empty((0, 2)))
        writer.add_counts(f"{prefix}/lengths", [len(line) for line in lines])
        writer.add_counts(f"{prefix}/lines", [len(frame) for frame in self.frames])
        return {**head, "kind": "lines", "frames": len(self.frames)}


@dataclass(frozen=True)
class Mesh(Layer):
    """Grid that is deformed over time. points: [F_l, rows, cols, 2]."""

    points: np.ndarray

    def pack(self, prefix: str, writer: PayloadWriter) -> dict:
        head = self.head()
        points = coordinates(self.points, 4, f"{self.what} points", "[F, rows, cols, 2]")
        writer.add_points(f"{prefix}/points", points)
        return {**head, "kind": "mesh", "frames": len(points)}
