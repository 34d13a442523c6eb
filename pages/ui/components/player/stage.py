"""A stage: everything that one player shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pages.ui.components.player.panels import View
from pages.ui.components.player.readouts import Readout


@dataclass(frozen=True)
class Stage:
    """Everything that one player shows.

    panels: one to four, side by side.
    times: the t of each of the F frames, in the order of the timeline.
    T: number of steps of the chain.
    lo, hi: visible range of both coordinates of particles; images ignore it.
    readouts: at most four cards.
    caption: plain text in which [word](layer-id) switches a layer on and off; <sub> and <sup> are allowed.
    on: ids of the layers that are switched on at the start.
    duration: seconds for the whole trajectory at speed 1.0.
    direction: "forward", "backward" or "pingpong" (forward, then backward).
    colour: of particles: "role" (one colour per panel), "position" (by their position in the first frame) or
        "density" (by the local density).
    height: "tall" or "hero".
    name: first part of the name of a downloaded picture.
    clock: players on one page with the same clock, unless it is empty, show the same t.
    start: t at which the player opens; without it, the end where playing starts.
    versions: labels of S versions of all panels, such as training steps, in the order of a second slider. It opens
        at the last version and stays at the last one when data with more versions arrives. Without labels there is
        one version and no slider.
    versions_label: what the versions are, in the singular.
    """

    panels: tuple[View, ...]
    times: Sequence[int]
    T: int
    lo: float = -3.0
    hi: float = 3.0
    readouts: tuple[Readout, ...] = ()
    caption: str = ""
    on: tuple[str, ...] = ()
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
