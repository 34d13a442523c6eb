"""Text from outside on the page: shown as it is, never as Markdown."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """``text`` for an element that reads Markdown, so that its characters stand for themselves: no links, colours, formulas or icons."""
    return re.sub(r"([\\`*_\[\]<>#$~|]|:(?=\w))", r"\\\1", text)
