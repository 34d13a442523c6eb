"""The kinds of data. To add one: a folder beside these with an object of a class derived from Kind, and one line in KINDS."""

from __future__ import annotations

from pages.ui.kinds.base import Kind, Source
from pages.ui.kinds.bits import BITS
from pages.ui.kinds.images import IMAGES
from pages.ui.kinds.points import POINTS

KINDS: dict[str, Kind] = {kind.name: kind for kind in (POINTS, BITS, IMAGES)}


def of(source: Source) -> Kind:
    """The kind of a source."""
    return KINDS[source.kind]


def of_data(data_name: str) -> Kind:
    """The kind of a data set of a run by its name. Raises ValueError for an unknown one."""
    for kind in KINDS.values():
        if kind.owns(data_name):
            return kind
    raise ValueError(f"Unknown data set {data_name!r}.")


def titles(exact: bool = False) -> dict[str, str]:
    """All data sets in the menu by name; with ``exact`` only those whose exact reverse kernel can be computed."""
    return {name: title for kind in KINDS.values() for name, title in kind.titles(exact).items()}


def owner(menu_name: str) -> Kind:
    """The kind that has a name in the menu. Raises ValueError for an unknown one."""
    for kind in KINDS.values():
        if menu_name in kind.titles():
            return kind
    raise ValueError(f"Unknown data set {menu_name!r}.")


__all__ = ["KINDS", "Kind", "Source", "of", "of_data", "owner", "titles"]
