"""What the components share: how their files are read, and the scripts in this folder that several of them use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

__all__ = ["ignore_change", "read_scripts", "register"]

COMPONENTS = Path(__file__).resolve().parent.parent


def read_scripts(folder: str, scripts: Sequence[str]) -> str:
    """Return the scripts of one component, joined into one ES module in the given order.

    folder: name of the component's folder below ``components``.
    scripts: file names in that folder, or ``"common/<name>.js"`` for a shared script. A script that only defines
        functions may stand anywhere; one that runs code at load, such as a constant, must follow what it uses.
    """
    paths = [COMPONENTS / name if name.startswith("common/") else COMPONENTS / folder / name for name in scripts]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def register(name: str, folder: str, scripts: Sequence[str]) -> Callable[..., Any]:
    """Register a component with Streamlit and return the function that shows it. Call once, at import.

    name: the component's name, unique in the program.
    folder, scripts: as in `read_scripts`; the folder also holds ``component.css``, which follows ``common/theme.css``.
    """
    css = "".join((COMPONENTS / place).read_text(encoding="utf-8") for place in ("common/theme.css", f"{folder}/component.css"))
    return st.components.v2.component(name, css=css, js=read_scripts(folder, scripts), isolate_styles=True)


def ignore_change() -> None:
    """Callback that does nothing: Streamlit creates a field of the result only where a callback is given for it."""
