"""What a person has brought or painted: the server keeps it for a while under a name that stands in the link.

A reload, a second tab or a browser that was away for long finds it again by the link, and so does whoever receives the link.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import streamlit as st

KEPT = "_kept"  # how the names of such parameters of a link end
MOST = 100 << 20  # bytes of everything that is kept together; what was not asked for the longest goes first
LARGEST = 4  # one item may take a quarter of the place
NAME_LENGTH = 20  # hexadecimal digits: nobody guesses one, and the same bytes have the same one


class Shelf:
    """Bytes by their names. Safe to use from several threads."""

    def __init__(self, most: int = MOST):
        self._most, self._lock = most, threading.Lock()
        self._items: OrderedDict[str, bytes] = OrderedDict()

    def put(self, data: bytes) -> str:
        """Keep ``data``, unless it would take the place of too much else; return its name."""
        name = hashlib.sha256(data).hexdigest()[:NAME_LENGTH]
        if len(data) > self._most // LARGEST:
            return name
        with self._lock:
            self._items[name] = data
            self._items.move_to_end(name)
            while sum(map(len, self._items.values())) > self._most:
                self._items.popitem(last=False)
        return name

    def find(self, name: str) -> bytes | None:
        """The bytes of this name, or None when there are none, or none any more."""
        with self._lock:
            if name in self._items:
                self._items.move_to_end(name)
            return self._items.get(name)


_shelf = Shelf()


class KeptKey:
    """Bytes whose name is part of the link under ``?name=``."""

    def __init__(self, name: str):
        self.name = name

    def keep(self, data: bytes | None) -> None:
        """Keep other bytes and name them in the link; None takes the name out of the link."""
        token = None if data is None else _shelf.put(data)
        if token is None:
            if self.name in st.query_params:
                del st.query_params[self.name]
        elif st.query_params.get(self.name) != token:
            st.query_params[self.name] = token

    def named(self) -> bool:
        """Whether the link names some bytes, which may be gone."""
        return self.name in st.query_params

    def find(self) -> bytes | None:
        """The bytes that the link names; None when it names none, or the server has them no more."""
        return _shelf.find(st.query_params.get(self.name, ""))
