"""What was uploaded or painted is found again by its link, by another session, as long as the server keeps it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.session import kept
from pages.ui.session.kept import Shelf
from tests.pages.test_pages import APP, check

GONE = "The uploaded file of this link is no longer on the server; upload it again."


@pytest.fixture(autouse=True)
def shelf(monkeypatch):
    """A server that has just been started."""
    monkeypatch.setattr(kept, "_shelf", Shelf())


def opened(page: str, query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page(f"pages/{page}.py").run())


def link(app: AppTest) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value[-1] for name, value in app.query_params.items()}


def captions(app: AppTest) -> list[str]:
    return [caption.value for caption in app.caption]


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_table_of_points(monkeypatch):
    """By the link alone; when the server has it no more, one sentence, and the link names it no more."""
    app = opened("forward", {"data": "upload"})
    table = "\n".join(f"{x},{y}" for x, y in np.random.default_rng(0).normal(size=(50, 2)))
    app.file_uploader(key="csv").set_value(("mine.csv", table.encode(), "text/csv"))
    check(app.run())
    assert "Showing mine.csv." in captions(app) and len(link(app)["csv_kept"]) == kept.NAME_LENGTH
    other = opened("forward", link(app))
    assert "Showing mine.csv." in captions(other) and not other.error and other.code[0].value == app.code[0].value
    monkeypatch.setattr(kept, "_shelf", Shelf())
    late = opened("forward", link(app))
    assert [error.value for error in late.error] == [GONE] and "csv_kept" not in link(late)
    check(late.run())
    assert not late.error


@pytest.mark.parametrize("name", ["", "0" * kept.NAME_LENGTH, "../x", "mine"])
def test_a_name_that_nobody_has(name):
    assert [error.value for error in opened("forward", {"data": "upload", "csv_kept": name}).error] == [GONE]


def test_a_picture_and_its_mask_but_not_the_mask_of_another_picture():
    app = opened("inpaint", {"picture_name": "own"})
    app.file_uploader(key="inpaint_file").set_value(("mine.png", png(), "image/png"))
    check(app.run())
    assert "mask_kept" not in link(app), "the hole that it begins with"
    mask = np.zeros((40, 60), bool)
    mask[3:9, 5:20] = True
    app.session_state["inpaint_mask"] = mask
    check(app.run())
    other = opened("inpaint", link(app))
    assert np.array_equal(other.session_state["inpaint_mask"], mask) and not other.error
    elsewhere = opened("inpaint", link(app) | {"picture_name": "brick"})
    assert elsewhere.session_state["inpaint_mask"].sum() == 10_000


def test_a_file_of_another_uploader_is_left_alone():
    """Its name was exchanged in the link: a picture is no table."""
    app = opened("inpaint", {"picture_name": "own"})
    app.file_uploader(key="inpaint_file").set_value(("mine.png", png(), "image/png"))
    check(app.run())
    other = opened("forward", {"data": "upload", "csv_kept": link(app)["inpaint_file_kept"]})
    assert "No file has been uploaded yet, so the swiss roll is shown." in captions(other)


def test_what_was_not_asked_for_the_longest_goes_first():
    """One item takes at most a quarter of the place: a large upload does not drive out what all others have painted."""
    small = Shelf(most=40)
    first, second = small.put(b"a" * 10), small.put(b"b" * 10)
    assert small.put(b"a" * 10) == first and small.find(first) == b"a" * 10
    names = [small.put(letter * 10) for letter in (b"c", b"d", b"e")]
    assert small.find(second) is None and all(small.find(name) for name in (first, *names))
    assert small.find(small.put(b"x" * 11)) is None and all(small.find(name) for name in (first, *names)) and small.find("") is None
