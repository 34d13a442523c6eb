"""The app as a person uses it, in a real Chromium."""

from __future__ import annotations

import json
import re
import signal
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Server, Visit, differ
from tests.browser.fresh_server import FORGOTTEN


def t_of(stage) -> int:
    return int(float(stage.get_attribute("data-t")))


def pixels(page, locator) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(locator.screenshot())).convert("RGB"), dtype=int)


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A server that a signal makes a fresh one again."""
    running = Server(tmp_path_factory.mktemp("fresh"), streamlit=[str(Path(__file__).with_name("fresh_server.py"))])
    yield running
    running.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/forward",
        "/reverse",
        "/schedule",
        "/continuous",
        "/reversibility",
        "/paths",
        "/memory",
        "/relatives",
        "/train",
        "/checkpoints",
        "/inpaint",
        "/denoise",
        "/multiply",
        "/guide",
        "/bound",
        "/likelihood",
        "/lab",
        "/minimum_probability_flow",
        "/hamiltonian_monte_carlo",
        "/random_networks",
        "/sum_of_functions",
        "/tour",
        "/glossary",
    ],
)
def test_first_visit_of_a_fresh_server_may_go_to_any_page(browser, fresh, path):
    fresh.process.send_signal(signal.SIGUSR1)
    fresh.wait_for_log(FORGOTTEN)
    one = Visit(browser, fresh.url)
    page = one.open(path)
    title = "Guided tour" if path == "/tour" else path[1:].replace("_", " ").capitalize()
    page.get_by_role("heading", name=title, level=1).wait_for(timeout=30_000)
    one.settle()
    assert page.get_by_text("Page not found").count() == 0
    assert page.locator('[data-testid="stSidebarNav"] a').count() == 24
    one.close()


@pytest.mark.parametrize("width,height", [(1440, 900), (390, 844)])
def test_every_page_in_both_themes_and_sizes(visit, width, height):
    one = visit(width=width, height=height)
    for path in ("/", "/schedule", "/forward", "/reverse"):
        page = one.open(path)
        if path != "/schedule":
            one.stage()
        else:
            page.locator(".dpm-curve svg").first.wait_for()
        for scheme in one.themes():
            one.check_fit(path)
            one.shot(f"{path.strip('/') or 'start'}-{scheme}-{width}")


def test_play_pause_scrub_and_keys(visit):
    one = visit()
    page = one.open("/forward")
    stage = one.stage()
    page.keyboard.press("Home")
    page.wait_for_function("e => Number(e.dataset.t) === 0", arg=stage.element_handle())
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("e => Number(e.dataset.t) === 11", arg=stage.element_handle())
    page.keyboard.press("Space")
    page.wait_for_function("e => e.dataset.playing === 'true' && Number(e.dataset.t) > 14", arg=stage.element_handle())
    page.keyboard.press("Space")
    page.wait_for_function("e => e.dataset.playing === 'false'", arg=stage.element_handle())
    draws = int(stage.get_attribute("data-draws"))
    page.wait_for_timeout(500)
    assert int(stage.get_attribute("data-draws")) - draws <= 1, "nothing is drawn while paused"
    page.keyboard.press("End")
    page.wait_for_function("e => Number(e.dataset.t) === 40", arg=stage.element_handle())
    scrub = stage.get_by_role("slider").first
    box = scrub.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.wait_for_function("e => Number(e.dataset.t) >= 17 && Number(e.dataset.t) <= 23", arg=stage.element_handle())
    assert 17 <= t_of(stage) <= 23


def test_the_cloud_moves_and_layers_toggle(visit):
    one = visit()
    page = one.open("/forward")
    stage = one.stage()
    canvas = stage.locator("canvas").first
    page.keyboard.press("Home")
    one.at(stage, 0)
    start = pixels(page, canvas)
    page.keyboard.press("End")
    one.at(stage, 40)
    end = pixels(page, canvas)
    assert (np.abs(start - end).sum(2) > 60).mean() > 0.02
    stage.get_by_role("button", name="contours").first.click()
    differ(lambda: pixels(page, canvas), end, 0.002)


def test_changing_a_control_replaces_the_picture_in_place(visit):
    one = visit()
    page = one.open("/forward")
    stage = one.stage()
    canvas = stage.locator("canvas").first
    before, box = pixels(page, canvas), stage.bounding_box()
    page.get_by_label("Seed", exact=True).fill("8")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("seed=8"))
    differ(lambda: pixels(page, canvas), before, 0.01)
    one.settle()
    assert stage.bounding_box() == box, "the stage must not move"


def test_a_link_reproduces_the_picture(visit):
    first = visit()
    page = first.open("/forward?data=Two+moons&seed=3&T=25&schedule=Cosine")
    stage = first.stage()
    page.keyboard.press("Home")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("e => Number(e.dataset.t) === 9", arg=stage.element_handle())
    stage.get_by_role("button", name=re.compile("link", re.I)).click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('t=9'))")
    link = page.evaluate("navigator.clipboard.readText()")
    page.mouse.move(5, 5)
    first.settle()
    seen = pixels(page, stage.locator("canvas").first)
    second = visit()
    page = second.page
    page.goto(link)
    stage = second.stage()
    second.settle()
    assert t_of(stage) == 9
    again = pixels(page, stage.locator("canvas").first)
    assert np.abs(again - seen).max() <= 2


def test_custom_schedule_by_dragging(visit):
    one = visit()
    page = one.open("/schedule?schedules=Custom%2C+drawn&schedules=Cosine")
    handle = page.locator(".dpm-curve .handle").nth(1)
    handle.wait_for()
    one.settle()
    strip = page.locator("img[alt^='The data at']").first
    before = strip.get_attribute("src")
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 90, steps=8)
    page.mouse.up()
    page.wait_for_url(re.compile("points="))
    for _ in range(50):
        page.wait_for_timeout(100)
        if strip.get_attribute("src") != before:
            break
    assert strip.get_attribute("src") != before
    points = query(page)["points"][0]
    one.shot("schedule-dragged")
    page.get_by_role("link", name="Forward", exact=True).click()
    page.get_by_role("heading", name="Forward", level=1).wait_for()
    page.goto(page.url.split("?")[0] + f"?schedule=Custom%2C+drawn&points={points}")
    one.stage()
    assert query(page)["points"][0] == points


def test_drawing_your_own_data(visit):
    one = visit()
    page = one.open("/forward?data=Draw+your+own")
    stage = one.stage()
    canvas = stage.locator("canvas").first
    page.keyboard.press("Home")
    one.at(stage, 0)
    one.settle()
    before = pixels(page, canvas)
    pad = page.locator(".dpm-sketch canvas").first
    page.locator(".dpm-sketch").get_by_role("button", name="Clear").click()
    one.settle()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] - 40, steps=12)
    page.mouse.up()
    page.wait_for_url(re.compile("draw="))
    differ(lambda: pixels(page, canvas), before, 0.01)
    one.settle()
    assert page.get_by_text("encountered an error").count() == 0
    link = page.url
    page.goto(link)
    one.stage()
    one.settle()
    assert query(page)["draw"] == parse_qs(urlparse(link).query)["draw"]
    one.shot("drawn")


def test_uploading_a_csv_good_and_bad(visit):
    one = visit()
    page = one.open("/forward?data=Upload+a+CSV")
    one.stage()
    picker = page.locator("input[type=file]")
    rng = np.random.default_rng(0)
    rows = "x,y\n" + "\n".join(f"{a:.3f},{b:.3f}" for a, b in rng.normal(size=(300, 2)))
    picker.set_input_files({"name": "mine.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    page.get_by_text("Showing mine.csv.").wait_for()
    bad = {
        "a,b\nhello,world\n": "has text among the numbers",
        "1\n2\n3\n": "has 1 numeric column",
        "1,2\nnan,3\n": "missing or not finite",
        "": "empty",
    }
    for text, sentence in bad.items():
        page.locator("input[type=file]").set_input_files({"name": "bad.csv", "mimeType": "text/csv", "buffer": text.encode()})
        page.locator('[data-testid="stAlert"]').get_by_text(sentence).wait_for()
        page.get_by_text("Showing mine.csv.").wait_for()
        assert page.locator('[data-testid="stAlert"]').count() == 1, "one sentence, and the good data stays"


def test_clicking_a_particle_shows_its_kernel(visit):
    one = visit()
    page = one.open("/reverse")
    stage = one.stage()
    page.locator(".js-plotly-plot").wait_for()  # the page is whole: what comes after the player is there too
    box = stage.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.42, box["y"] + box["height"] * 0.5)
    page.wait_for_url(re.compile("pick="))
    t, x, y = map(float, query(page)["pick"][0].split(","))
    assert t == t_of(stage) and abs(x) < 3 and abs(y) < 3
    page.get_by_text(f"Reverse step at the selected particle: t = {int(t)}").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()  # while a new one comes in the old one fades
    one.shot("reverse-picked")


def test_downloads(visit):
    one = visit()
    page = one.open("/reverse")
    stage = one.stage()
    for name, kind in (("NPZ", "npz"), ("CSV", "csv"), ("GIF", "gif")):
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("button", name=name, exact=True).click()
        path = download.value.path()
        if kind == "npz":
            with np.load(path) as arrays:
                assert arrays["left"].shape == (41, 3000, 2) and list(arrays["t"][[0, -1]]) == [40, 0]
        elif kind == "csv":
            header, *rows = path.read_text().splitlines()
            assert header.startswith("t,") and len(rows) == 41
        else:
            with Image.open(path) as image:
                assert image.n_frames == 41
    with page.expect_download() as download:
        stage.get_by_role("button", name=re.compile("PNG|image|picture", re.I)).first.click()
    with Image.open(download.value.path()) as image:
        assert image.width > 600


def test_presenter_mode_and_hidden_controls(visit):
    one = visit()
    page = one.open("/forward?present=1")
    one.stage()
    assert not page.locator('[data-testid="stSidebar"]').is_visible()
    size = page.evaluate("getComputedStyle(document.documentElement).fontSize")
    assert float(size.removesuffix("px")) > 18
    page.get_by_role("link", name="Reverse", exact=True).click()
    page.get_by_role("heading", name="Reverse", level=1).wait_for()
    one.stage()
    assert not page.locator('[data-testid="stSidebar"]').is_visible()
    one.shot("reverse-presenting")
    other = visit()
    page = other.open("/forward?hide=seed,T&seed=5")
    other.stage()
    assert not page.get_by_label("Seed", exact=True).is_visible()
    assert page.get_by_label("Particles").first.is_visible()


def test_pages_keep_controls_when_switching(visit):
    one = visit()
    page = one.open("/forward?seed=21&T=30")
    one.stage()
    page.get_by_role("link", name="Schedule", exact=True).click()
    page.get_by_role("heading", name="Schedule", level=1).wait_for()
    one.settle()
    assert page.get_by_label("Seed", exact=True).input_value() == "21"
    assert page.get_by_label("Steps T", exact=True).input_value() == "30"


def test_touch_plays(visit):
    one = visit(width=390, height=844, has_touch=True, is_mobile=True)
    page = one.open("/forward")
    stage = one.stage()
    stage.get_by_role("button", name=re.compile("play", re.I)).first.tap()
    page.wait_for_function("e => e.dataset.playing === 'true'", arg=stage.element_handle())


def test_a_large_trajectory_is_one_message_under_five_megabytes(visit):
    one = visit()
    sizes: list[int] = []
    one.page.on("websocket", lambda ws: ws.on("framereceived", lambda data: sizes.append(len(data))))
    one.open("/forward?particles=5000&T=99")
    one.stage()
    one.settle()
    assert 1_000_000 < max(sizes) < 5_000_000, json.dumps(sizes)
