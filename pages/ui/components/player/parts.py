"""What a stage is made of: panels, the layers over them, the cards beside them.

Where `Stage.versions` are given, S is their number and arrays marked [S, ...] may have
a leading axis for them; without it the array is the same for all versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Arrows:
    """Drift field. start: [n, 2]; end: [S, F_l, n, 2], drawn as long as it is given."""

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
    """One view of N particles. positions: [S, F, N, 2], in the units of lo and hi.

    Layers with the same id in several panels are switched together.
    """

    id: str
    label: str
    role: str
    positions: np.ndarray
    note: str = ""
    layers: tuple = ()


@dataclass(frozen=True)
class Images:
    """One view of n images at each time, always shown as they are at the nearest frame.

    pixels: uint8, grey [S, F, n, H, W] or colour [S, F, n, H, W, 3]; a last axis of 3
        after at least four others is colour.
    role: colour of the dot in the legend.
    columns: images per row; None chooses full rows that fill the panel best.
    captions: short plain texts, one under each image, or none.
    tint: grey images are drawn from the ground (0) to the role's colour (255), and a
        single one fills the panel: its pixels need not be square.
    bits: the pixels hold 0 and 1 only; they are sent as bits and drawn with tint.
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


@dataclass(frozen=True)
class Number:
    """Card with one number. values: one per frame, or one for all frames: [S, F] or [S, 1]."""

    title: str
    values: Sequence
    digits: int = 3
    unit: str = ""
    note: str = ""
    spark: bool = False
    role: str = "model"


@dataclass(frozen=True)
class Formula:
    """Card with a formula. "{name}" in html becomes the current number.

    html: trusted markup written in this code base, never a visitor's text.
    values: name -> numbers as in Number; whole numbers show without
        decimals, all others with `digits`.
    """

    title: str
    html: str
    values: Mapping[str, Sequence] = field(default_factory=dict)
    digits: int = 3


@dataclass(frozen=True)
class Histogram:
    """Card with a histogram that follows the clock.

    edges: [B + 1], rising; they only label the axis, bars are equally wide.
    counts: [S, F, B], zero or more, in any unit.
    curve: [F, B] or [B] reference in the unit of the counts, a line in the grey of
        noise; None for none.

    All frames share one scale, at which most of them fit; a bar that is higher still
    shows a break near its top.
    """

    title: str
    edges: Sequence[float]
    counts: np.ndarray
    curve: np.ndarray | None = None
    note: str = ""
    role: str = "model"


@dataclass(frozen=True)
class Stage:
    """Everything one player shows.

    times: the t of each of the F frames, in the order of the timeline.
    lo, hi: visible square range of both coordinates of particles; images ignore it.
    caption: plain text in which [word](layer-id) switches a layer; <sub> and <sup>
        are kept.
    on: layer ids that are switched on at the start.
    duration: seconds for the whole trajectory at speed 1.0.
    clock: players on a page with the same non-empty clock move together.
    start: t at which the player opens; without it the end where playing starts.
    versions: labels of S versions of all panels, such as training steps, in the order
        of a second slider, which opens at the last one and stays at the last one when
        data with more versions arrives. Without them there is one version, no slider.
    versions_label: what the versions are, in the singular.
    """

    panels: tuple
    times: Sequence[int]
    T: int
    lo: float = -3.0
    hi: float = 3.0
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
    versions: Sequence[str] = ()
    versions_label: str = "training step"
