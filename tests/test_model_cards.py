"""The page of every shipped model: what its files say, a picture, and code that runs."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from docs import model_cards
from docs.checkpoint_tables import headers


def test_cards_are_what_the_files_say():
    """Written anew they are the same, there is one for each model and none besides, and a small picture of its samples."""
    made = model_cards.pages()
    written = {path.name: path.read_text() for path in model_cards.FOLDER.glob("*.md")}
    assert written == made and set(made) == {f"{name}.md" for name in headers()} | {"README.md"}
    pictures = {path.stem: path.stat().st_size for path in model_cards.PICTURES.iterdir()}
    assert set(pictures) == set(headers()) and max(pictures.values()) < 25_000


@pytest.mark.parametrize("name", ["swiss_roll_mlp", "mnist_unet_bound", "heartbeat_mlp"])
def test_the_snippet_runs(name):
    (code,) = re.findall(r"```python\n(.*?)```", model_cards.pages()[f"{name}.md"], re.S)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue().startswith("0 torch.Size([4, ")


def test_a_model_trained_in_two_runs_says_so():
    """Both commands in their order, and the steps of both."""
    header = headers()["digits_unet"]
    earlier = {"command": "python -m dpm_core train --name before", "steps": 3000}
    text = model_cards.card("digits_unet", header | {"earlier_runs": [earlier]}, {"digits_unet": {"purpose": "", "faults": []}})
    assert f"{earlier['command']}\n{header['command']}\n" in text and f"{header['steps'] + 3000:,} steps of" in text
    assert f"the last {header['steps']:,} in" in text
