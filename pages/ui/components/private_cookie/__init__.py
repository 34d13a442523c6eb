"""Remembers in one browser who it is, for the time after a reload. In a lecture no viewer gets the lecturer's."""

from __future__ import annotations

from pages.ui.components.common import register

__all__ = ["NAME", "private_cookie"]

NAME = "dpm_private_cookie"
SCRIPTS = ("component.js",)
_component = register(NAME, "private_cookie", SCRIPTS)


def private_cookie(name: str, value: str, days: int = 0) -> None:
    """Set a cookie for so many days; by default until the browser is closed."""
    _component(key=f"cookie_{name}", data={"name": name, "value": value, "seconds": days * 86_400}, height="content")
