"""The text of the course, read once from course.toml: what each page says about itself, suggests and leads to."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pages.ui import session

FILE = Path(__file__).with_name("course.toml")


@dataclass(frozen=True)
class Action:
    """A suggestion: one sentence, and the link whose controls it sets."""

    text: str
    link: str

    @property
    def page(self) -> str:
        """The page that the link leads to."""
        return urlsplit(self.link).path.strip("/")

    @property
    def values(self) -> dict[str, list[str]]:
        """The controls that it sets, by their query names."""
        return session.parameters(self.link)


@dataclass(frozen=True)
class Lesson:
    """The text of one page. ``next`` is the page to read after it, ``reason`` why; both are "" on the last one."""

    name: str
    title: str
    subtitle: str
    learn: str = ""
    terms: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    next: str = ""
    reason: str = ""


@cache
def lessons() -> dict[str, Lesson]:
    """Every page's text by its name, in reading order."""
    return {name: _lesson(name, entry) for name, entry in tomllib.loads(FILE.read_text(encoding="utf-8")).items()}


def lesson(name: str, subtitle: str = "") -> Lesson:
    """The text of the page ``name``; for a page without an entry in course.toml its name as the title, and ``subtitle``."""
    return lessons().get(name) or Lesson(name, name.replace("_", " ").capitalize(), subtitle)


def _lesson(name: str, entry: dict[str, Any]) -> Lesson:
    follows = entry.get("next", {})
    return Lesson(
        name,
        entry["title"],
        entry["subtitle"],
        entry.get("learn", ""),
        tuple(entry.get("terms", ())),
        tuple(Action(action["text"], action["link"]) for action in entry.get("try", ())),
        follows.get("page", ""),
        follows.get("reason", ""),
    )
