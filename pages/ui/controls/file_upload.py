"""File uploads: the last file that could be read stays in use until another one can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from dpm_core.data.errors import DataError
from pages.ui import session

T = TypeVar("T")


@dataclass
class Upload:
    """The last file of an uploader: its id, what is wrong with it ("" when nothing is), and the last value that could be read."""

    file_id: str = ""
    error: str = ""
    value: Any = None


def upload(label: str, types: list[str], key: str, read: Callable[[str, bytes], T]) -> T | None:
    """The value of the last file that ``read``, a function of its name and bytes, could read; None before the first.

    A file for which ``read`` raises a DataError is answered with its sentence beside the uploader. The link finds the file again
    after a reload, as long as the server keeps it.
    """
    file = st.file_uploader(label, type=types, key=key)
    uploads = session.UPLOADS.get()
    if key not in uploads:
        uploads[key] = Upload(value=_kept(session.UPLOADED[key], read))
    last = uploads[key]
    if file is not None and last.file_id != file.file_id:
        last.file_id, last.error = file.file_id, ""
        try:
            last.value = read(file.name, file.getvalue())
            session.UPLOADED[key].keep(file.name.encode() + b"\0" + file.getvalue())
        except DataError as error:
            last.error = f"{file.name}: {error}"
    if file is not None and last.error:
        session.complain(last.error)
    return last.value


def _kept(place: session.KeptKey, read: Callable[[str, bytes], T]) -> T | None:
    """The file that the link names, from an earlier session."""
    if not place.named():
        return None
    if (found := place.find()) is None:
        place.keep(None)
        session.complain("The uploaded file of this link is no longer on the server; upload it again.")
        return None
    name, _, raw = found.partition(b"\0")
    try:
        return read(name.decode(), raw)
    except (DataError, ValueError):  # of another uploader, whose name was exchanged in the link
        return None
