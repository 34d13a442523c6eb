"""The screenshots of README.md, taken from the running app: ``python -m docs.screenshots [page ...]``.

Each page is opened in a headless Chromium at a fixed link, so that the same code gives the same picture, and its main area is saved
as docs/images/PAGE.webp. Needs the packages of requirements-dev.txt and a Chromium (``make test`` installs both); about two minutes
for all pages on two cores. Run it again after a change of a page that is visible in its picture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from benchmarks._browser import browser, server

FOLDER = Path(__file__).parent / "images"
WIDTH, HEIGHT = 480, 300  # of a picture, pixels
LIMIT = 40_000  # bytes of a picture
WINDOW = {"width": 1180, "height": 720}
BUSY = "[data-testid=stStatusWidget], [data-testid=stSpinner], [data-testid=stSkeleton]"


def train(page: Page) -> None:
    """Train for half a minute, so that samples can be recognised."""
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_timeout(30_000)


def fill(page: Page) -> None:
    """Fill the hole that the page opens with."""
    page.get_by_role("button", name="Fill", exact=True).click()
    page.wait_for_timeout(12_000)


def train_pair(page: Page) -> None:
    """Train both models, and wait for what they have learned."""
    start = page.get_by_role("button", name="Train both")
    if start.count():  # unless they were trained before
        start.click()
    page.get_by_text("Export", exact=True).wait_for(timeout=120_000)  # log p(x) is computed last
    page.wait_for_timeout(2000)


def nothing(page: Page) -> None:
    """Leave the page as its link opens it."""


# page, link, what is done before the picture is taken
SHOTS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "start": ("/", nothing),
    "schedule": ("/schedule", nothing),
    "forward": ("/forward?t=12", nothing),
    "reverse": ("/reverse?t=12", nothing),
    "train": ("/train", train),
    "checkpoints": ("/checkpoints", nothing),
    "inpaint": ("/inpaint", fill),
    "denoise": ("/denoise", nothing),
    "multiply": ("/multiply", nothing),
    "continuous": ("/continuous", nothing),
    "reversibility": ("/reversibility", nothing),
    "paths": ("/paths", nothing),
    "memory": ("/memory", nothing),
    "relatives": ("/relatives?relatives_seconds=20", train_pair),
    "guide": ("/guide?strength=2", nothing),
    "bound": ("/bound", nothing),
    "likelihood": ("/likelihood", nothing),
    "lab": ("/lab", nothing),
    "minimum_probability_flow": ("/minimum_probability_flow", nothing),
    "hamiltonian_monte_carlo": ("/hamiltonian_monte_carlo?density=points&t=40", nothing),
    "random_networks": ("/random_networks", nothing),
    "sum_of_functions": ("/sum_of_functions", nothing),
}


def settle(page: Page) -> None:
    """Wait until the page has its title, computes nothing any more, and has drawn."""
    page.wait_for_selector(".st-key-next", timeout=120_000)  # the last thing on a page
    page.wait_for_timeout(1_500)
    page.wait_for_function(f"!document.querySelector('{BUSY}')", timeout=120_000)
    page.wait_for_timeout(4_000)


def picture(page: Page) -> bytes:
    """The main area from the title down, as a WebP picture of 480 × 300 pixels and at most 40 kB."""
    box = page.locator("[data-testid=stMainBlockContainer]").bounding_box()
    width = min(box["width"], WINDOW["width"] - box["x"])
    top = page.locator("h1").first.bounding_box()["y"] - 8
    shot = page.screenshot(clip={"x": box["x"], "y": top, "width": width, "height": width * HEIGHT / WIDTH})
    small = Image.open(BytesIO(shot)).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    for quality in range(90, 20, -5):
        out = BytesIO()
        small.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LIMIT:
            break
    return out.getvalue()


def main(names: list[str]) -> None:
    """Take the pictures of the pages named, or of all."""
    FOLDER.mkdir(exist_ok=True)
    with server() as address, browser() as chromium:
        for name in names or SHOTS:
            link, act = SHOTS[name]
            page = chromium.new_page(viewport=WINDOW, color_scheme="light")
            page.goto(address + link)
            settle(page)
            act(page)
            (FOLDER / f"{name}.webp").write_bytes(picture(page))
            print(f"docs/images/{name}.webp", (FOLDER / f"{name}.webp").stat().st_size, "bytes")
            page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
