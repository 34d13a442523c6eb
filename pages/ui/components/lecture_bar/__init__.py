"""The bar of a lecture, which also carries what the lecturer's players show to the players of the viewers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pages.ui.components.common import ignore_change, register

__all__ = ["NAME", "lecture_bar"]

NAME = "dpm_lecture_bar"
SCRIPTS = ("common/elements.js", "component.js")
_component = register(NAME, "lecture_bar", SCRIPTS)


def lecture_bar(data: Mapping[str, Any], key: str, on_moment: Callable[[], Any] | None = None) -> None:
    """Show the bar.

    data: "role" is "lecturer", "follower" or "explorer"; for the lecturer also "viewers", their number, "moment", what the
        players show, as the bar has sent it, and "link", the controls as they stand in the address.
    key: widget key, unique on the page.
    on_moment: called when the lecturer's players show something else; the field "moment" of the component's state has it.
    """
    _component(key=key, data=dict(data), on_moment_change=on_moment or ignore_change, height="content")
