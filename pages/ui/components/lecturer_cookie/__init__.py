"""Remembers in the lecturer's browser who it is, for the time after a reload. No viewer gets this component."""

from __future__ import annotations

from pages.ui.components.common import register

__all__ = ["NAME", "lecturer_cookie"]

NAME = "dpm_lecturer_cookie"
_component = register(NAME, "lecturer_cookie", ("component.js",))


def lecturer_cookie(secret: str) -> None:
    """Set the cookie ``lecturer``, until the browser is closed."""
    _component(key="lecturer_cookie", data=secret, height="content")
