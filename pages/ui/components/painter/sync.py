"""Synchronisation of a mask or drawing that both the page and the browser may change at any time.

The browser has its own copy, so that painting never waits for the server. It replaces this copy only when the server
sends a new *revision*, and each of its messages names the revision that it was painted on: a message about an older
revision arrives too late and is ignored. This module does not import Streamlit.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from pages.ui.components.painter import masks
from pages.ui.components.painter.masks import MaskError


def known_pictures(message: Any) -> frozenset[int]:
    """Return the checksums of the pictures that the browser reports to have; it requests those that it lacks after all."""
    have = message.get("have") if isinstance(message, dict) else None
    return frozenset(one for one in have[:4] if type(one) is int) if isinstance(have, list) else frozenset()


class PlaneSync:
    """The mask (bool) or drawing (uint8) of one canvas.

    plane: [H, W], the current one; changes: number of changes so far; revision: of the plane that the browser must show.
    """

    def __init__(self, plane: np.ndarray):
        self.plane = plane.copy()
        self.changes = 0
        # Random, so that a tab that was open before the server restarted does not take a new session's first revision for
        # the last one it knows.
        self.revision = secrets.randbelow(2**31)
        self._last_message: Any = None

    def offer(self, plane: np.ndarray) -> None:
        """Take the page's plane. If it differs from the current one, the page has changed it and the browser must show it."""
        if plane.dtype == self.plane.dtype and np.array_equal(plane, self.plane):
            return
        self.plane = plane.copy()
        self.changes += 1
        self.revision += 1

    def receive(self, message: Any) -> str:
        """Take the plane in the browser's last message, which is the same in every run until there is a new one.

        Returns one sentence when the message is not valid, else "". A message about an older revision is ignored.
        """
        if message is None or message == self._last_message:
            return ""
        self._last_message = message
        try:
            plane = self._read(message)
        except MaskError as error:
            self.revision += 1  # the browser shows something else by now: it must return to the current plane
            return str(error)
        if plane is not None and not np.array_equal(plane, self.plane):
            self.plane = plane
            self.changes += 1
        return ""

    def _read(self, message: Any) -> np.ndarray | None:
        """The plane in a message, or None where it holds none or is about an older revision. Raises MaskError."""
        if isinstance(message, dict) and message.get("have") == [] and message.get("revision") is message.get("runs") is None:
            return None  # a request for the pictures
        if not isinstance(message, dict) or type(message.get("revision")) is not int:
            raise MaskError("A message from the browser could not be read, so the previous mask was restored.")
        if message["revision"] != self.revision:
            return None
        read = masks.decode if self.plane.dtype == bool else masks.decode_drawing
        return read(message.get("runs"), self.plane.shape)
