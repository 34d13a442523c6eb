"""The connection is lost, the page is reloaded, the tab duplicated: the painting, the file and the run are still there."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Server, visits
from tests.browser.test_inpaint import STAGE, drag, missing
from tests.browser.test_train import TINY, press, steps, until_steps

AWAY = 30_000  # milliseconds without a connection
BACK = 90_000  # the same in which a page has found the server again


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server with its own runs and models."""
    running = Server(tmp_path_factory.mktemp("connection"))
    yield running
    running.stop()


@pytest.fixture
def visit(lab, browser):
    yield from visits(browser, lab.url)


class Line:
    """A page's connection to the server, which can be cut and mended."""

    def __init__(self, page):
        self.whole, self._ends = True, []
        page.route_web_socket(re.compile("_stcore/stream"), self._connect)
        page.route(re.compile("_stcore/(health|host-config)"), lambda route: route.continue_() if self.whole else route.abort())

    def _connect(self, route) -> None:
        if self.whole:
            self._ends.append((route, route.connect_to_server()))
        else:
            route.close()

    def cut(self) -> None:
        self.whole = False
        for ends in self._ends:
            for end in ends:
                end.close()
        self._ends = []


def noise() -> bytes:
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)).save(png, "PNG")
    return png.getvalue()


def open_painter(page) -> None:
    page.locator(STAGE).get_by_text("Missing:").wait_for(timeout=60_000)


def test_half_a_minute_without_a_connection(visit):
    """What is painted meanwhile is not lost, the run trains on, and every control works when the connection is back."""
    first, second = visit(), visit()
    lines = [Line(one.page) for one in (first, second)]
    train, paint = first.open(f"/train?{TINY}&keep=1"), second.open("/inpaint?picture_name=brick&n_True=1")
    press(train, "Start")
    before = until_steps(train, 0)
    open_painter(paint)
    second.settle()
    drag(paint, (0.1, 0.1), (0.3, 0.1))
    painted = missing(paint)
    for line in lines:
        line.cut()
    paint.wait_for_timeout(1000)
    drag(paint, (0.1, 0.2), (0.3, 0.2))
    both = missing(paint)
    assert both > painted > 10_000
    paint.wait_for_timeout(AWAY)
    for line in lines:
        line.whole = True
    reached = until_steps(train, steps(train))
    assert reached > before
    press(train, "Stop")
    train.locator(".st-key-train_buttons").get_by_role("button", name="Resume", exact=True).wait_for(timeout=BACK)
    paint.locator(".st-key-fill button").click(timeout=BACK)
    paint.get_by_text("Filled:").wait_for(timeout=BACK)
    assert missing(paint) == both
    for one in (first, second):
        one.errors.clear()  # of the connection


def test_reload_and_a_second_tab(visit):
    """An uploaded picture and its mask are there again, in a copy of the tab too; the run is the same one in both."""
    one = visit()
    page = one.open("/inpaint?picture_name=own&n_True=1")
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": noise()}
    )
    page.get_by_text("80 × 60 pixels").first.wait_for(timeout=15_000)
    one.settle()
    drag(page, (0.1, 0.1), (0.3, 0.1))
    painted = missing(page)
    assert painted > missing_of_a_fresh_picture()
    page.wait_for_function("location.search.includes('mask_kept')")
    page.reload()
    open_painter(page)
    assert missing(page) == painted and page.get_by_text("80 × 60 pixels").count() == 1
    copy = visit()
    copy.open(page.url.removeprefix(copy.url))
    open_painter(copy.page)
    assert missing(copy.page) == painted
    drag(copy.page, (0.1, 0.9), (0.3, 0.9))
    assert missing(copy.page) > painted == missing(page)


def missing_of_a_fresh_picture() -> int:
    """Pixels of the hole in the centre of the picture of this test."""
    from pages.ui.components.painter import masks

    return int(masks.centre((60, 80)).sum())


def test_a_run_in_two_tabs(visit):
    """The second tab finds the run by its link; what one does, the other sees; it trains on when one is closed."""
    one, two = visit(), visit()
    page = one.open(f"/train?{TINY}")
    press(page, "Start")
    until_steps(page, 0)
    page.reload()
    seen = until_steps(page, 0)
    copy = two.open(page.url.removeprefix(two.url))
    until_steps(copy, seen)
    page.close()
    until_steps(copy, steps(copy))
    press(copy, "Stop")
    copy.locator(".st-key-train_buttons").get_by_role("button", name="Resume", exact=True).wait_for(timeout=60_000)
