"""What the page and the browser agree on: whose mask counts when both may change it at any time.

The browser keeps its own mask, so that painting never waits. It gives it up only for a new *revision*, and names
with each message the revision it painted on: a message about an older one comes too late and is not heard.
Nothing here imports Streamlit.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from pages.ui.components.painter import masks
from pages.ui.components.painter.masks import MaskError


def known_pictures(message: Any) -> frozenset[int]:
    """Checksums of the pictures that the browser says it has; it asks for those that it turns out to lack."""
    have = message.get("have") if isinstance(message, dict) else None
    return frozenset(one for one in have[:4] if type(one) is int) if isinstance(have, list) else frozenset()


class Agreement:
    """The mask (bool) or drawing (uint8) under one key, [H, W]."""

    def __init__(self, plane: np.ndarray):
        self.plane = plane.copy()
        self.changes = 0
        # A tab that outlives the server must not take a new session's first revision for its own last one.
        self.revision = secrets.randbelow(2**31)
        self._heard: Any = None

    def offer(self, plane: np.ndarray) -> None:
        """The page's mask. One that is not the last agreed on was changed by the page, and the browser must take it."""
        if plane.dtype == self.plane.dtype and np.array_equal(plane, self.plane):
            return
        self.plane = plane.copy()
        self.changes += 1
        self.revision += 1

    def hear(self, message: Any) -> str:
        """The browser's last message, the same again in every run until there is a new one.

        Takes its mask, unless it comes too late. Returns one sentence when it cannot be believed, else "".
        """
        if message is None or message == self._heard:
            return ""
        self._heard = message
        try:
            plane = self._read(message)
        except MaskError as error:
            self.revision += 1  # the browser shows something else by now: it returns to the mask that is kept
            return str(error)
        if plane is not None and not np.array_equal(plane, self.plane):
            self.plane = plane
            self.changes += 1
        return ""

    def _read(self, message: Any) -> np.ndarray | None:
        if isinstance(message, dict) and message.get("have") == [] and message.get("revision") is message.get("runs") is None:
            return None  # only asks for the pictures
        if not isinstance(message, dict) or type(message.get("revision")) is not int:
            raise MaskError("A message from the browser could not be read, so the last mask was kept.")
        if message["revision"] != self.revision:
            return None
        read = masks.decode if self.plane.dtype == bool else masks.decode_drawing
        return read(message.get("runs"), self.plane.shape)
