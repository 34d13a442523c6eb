"""Panels of a stage: one view of particles, or of images, at each time.

A new kind of panel is one class here and its drawing in the scripts. S is the number of versions of the stage, F the
number of its times; arrays marked [S, F, ...] may omit the first axis, and are then the same for all versions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pages.ui.components.player.checks import ROLES, coordinates, identifier, instance_of, leading_axes, one_of, require
from pages.ui.components.player.layers import Layer
from pages.ui.components.player.writer import PayloadWriter

_MAX_SIDE = 16384  # pixels: height and width of the largest canvas that every browser supports


class View(ABC):
    """Base of all panels, which have the fields id, label, role (the colour of the dot in the legend) and note."""

    id: str
    label: str
    role: str
    note: str

    @abstractmethod
    def pack(self, writer: PayloadWriter) -> dict:
        """Write the blocks of this panel and return its entry in the header. Raises ValueError."""

    @property
    def what(self) -> str:
        """Name of the panel in error messages."""
        return f"Panel {self.id!r}"

    def head(self) -> dict:
        """Entries of the header that all panels have. Raises ValueError."""
        identifier(self.id, "Panel id")
        return {"id": self.id, "label": self.label, "role": one_of(self.role, ROLES, f"{self.what} role"), "note": self.note}


@dataclass(frozen=True)
class Panel(View):
    """One view of N particles. positions: [S, F, N, 2], in the units of the stage's lo and hi.

    Layers with the same id in several panels are switched together.
    """

    id: str
    label: str
    role: str
    positions: np.ndarray
    note: str = ""
    layers: tuple[Layer, ...] = ()

    def pack(self, writer: PayloadWriter) -> dict:
        head = self.head()
        versioned = bool(writer.versions) and np.ndim(self.positions) != 3
        layout = "[S, F, N, 2] or [F, N, 2]" if writer.versions else "[F, N, 2]"
        positions = coordinates(self.positions, 4 if versioned else 3, f"{self.what} positions", layout)
        leading_axes(positions, versioned, writer.frames, writer.versions, self.what)
        writer.add_points(f"{self.id}/positions", positions)
        for layer in self.layers:
            instance_of(layer, Layer, "A layer")
        ids = [layer.id for layer in self.layers]
        require(len(set(ids)) == len(ids), f"{self.what} uses one layer id twice.")
        layers = [layer.pack(f"{self.id}/{layer.id}", writer) for layer in self.layers]
        return {**head, "kind": "particles", "n": positions.shape[-2], "versioned": versioned, "layers": layers}


@dataclass(frozen=True)
class Images(View):
    """One view of n images, shown without interpolation at the nearest frame.

    pixels: uint8, grey [S, F, n, H, W] or colour [S, F, n, H, W, 3]; a last axis of 3 after at least four others
        is colour.
    columns: images per row; None chooses full rows that fill the panel best.
    captions: plain text under each image, or none.
    tint: grey images are drawn from the background (0) to the role's colour (255), and a single one fills the panel:
        its pixels need not be square.
    bits: the pixels are 0 or 1 only; they are sent as bits and drawn with tint.
    """

    id: str
    label: str
    role: str
    pixels: np.ndarray
    note: str = ""
    columns: int | None = None
    captions: Sequence[str] = ()
    tint: bool = False
    bits: bool = False

    def pack(self, writer: PayloadWriter) -> dict:
        head, pixels, colour, axes = self.head(), *self._layout(writer)
        n, height, width = pixels.shape[axes - 3 : axes]
        self._check_display(n, height, width, colour)
        if self.bits:
            require(int(pixels.max()) <= 1, f"{self.what} pixels must be 0 and 1 to be sent as bits.")
            pixels = np.packbits(pixels.reshape(*pixels.shape[: axes - 3], -1), axis=-1)  # each frame starts at a new byte
        writer.add(f"{self.id}/pixels", pixels)
        return {
            **head,
            "kind": "images",
            "tint": bool(self.tint or self.bits),
            "bits": bool(self.bits),
            "n": n,
            "height": height,
            "width": width,
            "channels": 3 if colour else 1,
            "versioned": axes == 5,
            "columns": None if self.columns is None else int(self.columns),
            "captions": [str(caption) for caption in self.captions],
            "layers": [],
        }

    def _layout(self, writer: PayloadWriter) -> tuple[np.ndarray, bool, int]:
        """Checked pixels, whether they are coloured, and their number of axes without the one of colour."""
        pixels, versions = np.asarray(self.pixels), writer.versions
        colour = pixels.ndim >= 5 and pixels.shape[-1] == 3
        axes = pixels.ndim - colour
        layout = "[S, F, n, H, W] or [F, n, H, W]" if versions else "[F, n, H, W]"
        require(
            axes == 4 or (axes == 5 and versions > 0),
            f"{self.what} pixels must have shape {layout}, with a last axis of 3 for colour, not {list(pixels.shape)}.",
        )
        require(pixels.size > 0, f"{self.what} has no pixels.")
        require(pixels.dtype == np.uint8, f"{self.what} pixels must be uint8, not {pixels.dtype}.")
        leading_axes(pixels, axes == 5, writer.frames, versions, self.what)
        return pixels, colour, axes

    def _check_display(self, n: int, height: int, width: int, colour: bool) -> None:
        """Raise ValueError where the options do not fit the images."""
        require(
            n * height <= _MAX_SIDE and width <= _MAX_SIDE,
            f"{self.what} has {n} images of {height} × {width} pixels: use fewer or smaller ones.",
        )
        require(self.columns is None or 1 <= self.columns <= n, f"{self.what} columns must be 1 to {n}, not {self.columns}.")
        require(len(self.captions) in (0, n), f"{self.what} needs one caption for each of {n} images, not {len(self.captions)}.")
        require(not (colour and (self.tint or self.bits)), f"{self.what} has colour images: only grey images accept tint or bits.")
