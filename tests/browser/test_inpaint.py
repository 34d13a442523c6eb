"""Inpaint in a real browser: paint, erase, undo, invert, fill, compare, leave and come back, bring a photograph, take all of it along."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
from PIL import Image

STAGE = ".dpm-painter"


def missing(page) -> int:
    """How many pixels the page says are missing."""
    return int(page.locator(STAGE).get_by_text("Missing:").inner_text().split()[1].replace(",", ""))


def open_inpaint(one, query: str = ""):
    page = one.open(f"/inpaint{query}")
    page.locator(STAGE).get_by_text("Missing:").wait_for(timeout=30_000)
    one.settle()
    return page


def drag(page, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
    """Over the canvas, from and to shares of its width and height."""
    box = page.locator(f"{STAGE} canvas").first.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down(button=button)
    page.mouse.move(*at[1], steps=6)
    page.mouse.up(button=button)
    page.wait_for_timeout(700)


def fill(page) -> None:
    page.locator(".st-key-fill button").click()
    page.get_by_text("Filled:").wait_for(timeout=120_000)
    page.get_by_role("button", name="Download all (.zip)").wait_for(timeout=60_000)


def test_paint_fill_compare_leave_and_come_back(visit):
    one = visit()
    page = open_inpaint(one, "?picture_name=brick&n_True=1")
    assert missing(page) == 10_000
    drag(page, (0.44, 0.2), (0.56, 0.2))
    painted = missing(page)
    assert painted > 10_400
    drag(page, (0.44, 0.2), (0.48, 0.2), "right")
    erased = missing(page)
    assert 10_000 < erased < painted
    page.keyboard.press("Control+z")
    page.wait_for_timeout(500)
    assert missing(page) == painted
    page.locator(STAGE).get_by_role("button", name="Invert").click()
    page.wait_for_timeout(500)
    assert missing(page) == 65_536 - painted
    page.keyboard.press("Control+z")
    page.wait_for_timeout(500)
    fill(page)
    assert page.get_by_text("PSNR").count() == 2  # one completion and the baseline
    one.shot("inpaint-filled")
    page.get_by_role("link", name="Schedule", exact=True).first.click()
    page.get_by_role("heading", name="Schedule", level=1).wait_for()
    page.get_by_role("link", name="Inpaint", exact=True).first.click()
    page.get_by_role("heading", name="Inpaint", level=1).wait_for()
    page.locator(STAGE).get_by_text("Missing:").wait_for()
    one.settle()
    assert missing(page) == painted and page.get_by_text("PSNR").count() == 2
    page.get_by_role("button", name="Edit this completion").click()
    page.get_by_text("Missing: 0 of").wait_for(timeout=15_000)


def test_filling_goes_on_while_one_is_away(visit):
    """Fill, stop, fill again, look at another page and come back: it is still filling, and is seen to end."""
    one = visit()
    page = open_inpaint(one, "?picture_name=brick&n_True=2")
    page.locator(".st-key-fill button").click()
    page.locator(".st-key-stop_filling button:enabled").click(timeout=30_000)
    page.get_by_text("Stopped with").wait_for(timeout=30_000)
    page.locator(".st-key-fill button:enabled").click(timeout=30_000)
    page.get_by_text("Filling:").wait_for(timeout=30_000)
    page.get_by_role("link", name="Multiply", exact=True).first.click()
    page.get_by_role("heading", name="Multiply", level=1).wait_for()
    page.get_by_role("link", name="Inpaint", exact=True).first.click()
    page.get_by_role("heading", name="Inpaint", level=1).wait_for()
    page.get_by_text("Filled:").wait_for(timeout=120_000)
    assert page.get_by_text("Completion 2:").count() == 1


def test_a_photograph_of_ones_own(visit):
    """Brought, painted, filled; the archive holds its completion with every known pixel as it was, and the settings."""
    noise = np.random.default_rng(0).integers(-12, 13, (96, 120, 3))
    i, j = np.mgrid[:96, :120]
    photo = ((((i + j) // 8 % 2) * 120 + 60)[..., None] + noise).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(photo).save(png, "PNG")
    one = visit()
    page = open_inpaint(one, "?picture_name=own&n_True=2")
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.get_by_text("broken.png: The file is not a picture").first.wait_for(timeout=15_000)
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": png.getvalue()}
    )
    page.get_by_text("120 × 96 pixels").first.wait_for(timeout=15_000)
    one.settle()
    fill(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download all (.zip)").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        filled, mask = (np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in ("completion-1.png", "mask.png"))
        settings = json.loads(archive.read("settings.json"))
    hole = mask > 127
    assert np.array_equal(filled[~hole], photo[~hole]) and hole.sum() == missing(page)
    assert (np.abs(filled[hole].astype(int) - photo[hole]) < 60).mean() > 0.7
    assert settings["picture"] == "mine.png" and settings["completions"] == 2


def test_it_fits_both_themes_and_sizes(visit):
    one = visit()
    open_inpaint(one)
    for scheme, width in one.looks():
        one.check_fit("/inpaint")
        one.shot(f"inpaint-{scheme}-{width}")
