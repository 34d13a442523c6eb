"""A guided tour: stops with a title, a link to a page of this program and notes for the speaker, read from a small text file.

The format, one block for each stop::

    # Title of the stop
    link: /reverse?model=exact&T=5
    Notes for the speaker, any number of lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pages.ui import session

FILE = Path(__file__).with_name("tour.txt")
MOST_BYTES, MOST_STOPS, LONGEST_TITLE, LONGEST_LINK = 64_000, 60, 80, 2000
RESERVED = ("tour", "present")  # parameters that the tour itself sets


class TourError(ValueError):
    """What is wrong with a tour file, in one sentence that names the line."""


@dataclass(frozen=True)
class Stop:
    """One stop: the page and its parameters come from ``link``."""

    title: str
    link: str
    notes: str

    @property
    def page(self) -> str:
        """The name of the page, "start" for ``/``."""
        return urlsplit(self.link).path.strip("/") or "start"

    @property
    def values(self) -> dict[str, list[str]]:
        """The controls that the stop sets, by their query names."""
        return session.parameters(self.link)


@dataclass(frozen=True)
class Tour:
    """The stops in order. ``name`` is "" for the tour that ships, else eight digits made from the file."""

    stops: tuple[Stop, ...]
    text: str
    name: str = ""

    def position(self, number: int) -> str:
        """The value of ``?tour=`` at stop ``number`` (from 1)."""
        return f"{number}-{self.name}" if self.name else str(number)


@cache
def shipped(pages: tuple[str, ...]) -> Tour:
    """The tour that comes with the program; ``pages`` are the names of the pages there are."""
    text = FILE.read_text(encoding="utf-8")
    return Tour(parse(text, pages), text)


def own(raw: bytes, pages: Collection[str]) -> Tour:
    """A tour from the bytes of a file. Raises TourError."""
    if len(raw) > MOST_BYTES:
        raise TourError(f"The file has {len(raw):,} bytes; at most {MOST_BYTES:,} are allowed.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TourError(f"Line {line}: the file is not UTF-8 text.") from None
    return Tour(parse(text, pages), text, hashlib.sha256(text.encode()).hexdigest()[:8])


def parse(text: str, pages: Collection[str]) -> tuple[Stop, ...]:
    """The stops of a tour file. Raises TourError."""
    blocks: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# "):
            blocks.append((number, _title(number, line), []))
        elif blocks:
            blocks[-1][2].append(line)
        elif line.strip():
            raise TourError(f"Line {number}: a tour begins with a title, a line such as “# The forward process”.")
    if not blocks:
        raise TourError("Line 1: the file has no stop; a stop begins with a line such as “# The forward process”.")
    if len(blocks) > MOST_STOPS:
        raise TourError(f"Line {blocks[MOST_STOPS][0]}: a tour has at most {MOST_STOPS} stops.")
    return tuple(_stop(*block, pages) for block in blocks)


def _title(number: int, line: str) -> str:
    title = line[2:].strip()
    if not title:
        raise TourError(f"Line {number}: the title is empty.")
    if len(title) > LONGEST_TITLE:
        raise TourError(f"Line {number}: the title has {len(title)} characters; at most {LONGEST_TITLE} are allowed.")
    return title


def _stop(number: int, title: str, lines: list[str], pages: Collection[str]) -> Stop:
    if not lines or not lines[0].startswith("link:"):
        raise TourError(f"Line {number + 1}: a line such as “link: /reverse?T=5” must follow the title.")
    link = lines[0].removeprefix("link:").strip()
    try:
        _check(link, pages)
    except ValueError as error:
        raise TourError(f"Line {number + 1}: {error}") from None
    return Stop(title, link, "\n".join(lines[1:]).strip())


def _check(link: str, pages: Collection[str]) -> None:
    if len(link) > LONGEST_LINK:
        raise ValueError(f"the link has {len(link):,} characters; at most {LONGEST_LINK:,} are allowed.")
    if not link.startswith("/") or link.startswith("//") or "\\" in link:
        raise ValueError("the link must lead to a page of this program and begin with “/”, such as “/reverse?T=5”.")
    name = urlsplit(link).path.strip("/") or "start"
    if name not in pages:
        raise ValueError(f"there is no page “/{name[:40]}”; the pages are {', '.join(pages)}.")
    for reserved in RESERVED:
        if reserved in session.parameters(link):
            raise ValueError(f"the parameter “{reserved}” is set by the tour itself and must not be in a link.")
