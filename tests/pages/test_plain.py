"""Text from outside is never read as Markdown, and the server is not shown to others unless asked."""

from __future__ import annotations

import ast
import tomllib

import pytest

from pages.ui.session import plain
from tests.pages.test_pages import APP

ROOT = APP.parent


@pytest.mark.parametrize(
    "text", ["[click](https://example.org)", "**bold** _it_ `code`", ":red[x] :smile: $x^2$", "<b>x</b> # a | b ~~c~~ \\"]
)
def test_no_character_keeps_its_meaning(text):
    """Every character that CommonMark or Streamlit reads has a backslash before it, and nothing is lost."""
    shown = plain(text)
    assert shown.replace("\\", "") == text.replace("\\", "")
    for i, character in enumerate(shown):
        if character in "`*_[]<>#$~|" or (character == ":" and shown[i + 1 : i + 2].isalpha()):
            assert shown[i - 1] == "\\"


def test_errors_go_through_it():
    """st.error shows a literal text, or what ``plain`` returns."""
    for path in (ROOT / "pages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "error" and node.args:
                shown = node.args[0]
                plain_call = isinstance(shown, ast.Call) and getattr(shown.func, "attr", getattr(shown.func, "id", "")) == "plain"
                assert plain_call or isinstance(shown, ast.Constant), f"{path}:{node.lineno}"


def test_the_server_is_not_open_to_others():
    server = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]
    assert server["address"] == "localhost" and server["enableXsrfProtection"] and not server["enableStaticServing"]
