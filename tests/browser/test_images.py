"""Images in a real browser: the Forward and the Reverse page at both sizes and themes."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from dpm_core import checkpoints
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import train_steps
from tests.browser.conftest import Server, differ, visits
from tests.browser.test_browser import pixels

MODEL = {"model": "Digits 8 × 8 · U-Net · T = 100 · tiny"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The app with a model of the digits that was trained for a moment."""
    folder = tmp_path_factory.mktemp("images")
    data = make_images("digits")
    training = TrainConfig(loss="simple", steps=60, batch=64, learning_rate=3e-3, ema=0.9)
    config = RunConfig(DataConfig("digits"), ScheduleConfig("log_snr", 100), NetworkConfig("unet", (("width", 8),)), training)
    model = build_model(config.network, GaussianDiffusion(make_schedule("log_snr", 100)), data.shape)
    *_, last = train_steps(model, data.batches(), training)
    checkpoints.save(checkpoints.Checkpoint("tiny", last.average, config, data.spec), folder / "own")
    running = Server(folder)
    yield running
    running.stop()


@pytest.fixture
def visit_images(own, browser):
    yield from visits(browser, own.url)


def test_images_in_both_themes_and_sizes(visit_images):
    one = visit_images()
    opened = {
        "images-forward": ("/forward", {"data": "Digits 8 × 8"}),
        "images-photo": ("/forward", {"data": "Your own picture"}),
        "images-reverse": ("/reverse", MODEL),
    }
    for name, (path, query) in opened.items():
        page = one.open(f"{path}?{urlencode(query)}")
        one.stage()
        for scheme, width in one.looks():
            one.check_fit(name)
            for place, name_of in ((0, name), (1e6, f"{name}-foot")):
                page.locator('[data-testid="stMain"]').evaluate("(e, place) => e.scrollTo(0, place)", place)
                one.shot(f"{name_of}-{scheme}-{width}")


def test_images_dissolve_and_a_seed_replaces_them_in_place(visit_images):
    one = visit_images()
    page = one.open(f"/forward?{urlencode({'data': 'Digits 8 × 8'})}")
    stage = one.stage()
    canvas, box = stage.locator("canvas").first, stage.bounding_box()
    page.keyboard.press("Home")
    one.at(stage, 0)
    clean = pixels(page, canvas)
    page.keyboard.press("End")
    differ(lambda: pixels(page, canvas), clean, 0.1)
    page.keyboard.press("Home")
    one.at(stage, 0)
    page.get_by_label("Seed", exact=True).fill("8")
    page.keyboard.press("Enter")
    page.wait_for_url("**seed=8**")
    differ(lambda: pixels(page, canvas), clean, 0.02)
    one.settle()
    assert stage.bounding_box() == box, "the stage must not move"


def test_a_click_shows_the_image_and_its_pixel(visit_images):
    one = visit_images(height=1400)
    page = one.open(f"/reverse?{urlencode(MODEL)}")
    stage = one.stage()
    box = stage.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_url("**pick=**")
    page.get_by_text("Image 12 at").or_(page.get_by_text("Image 8 at")).wait_for()
    one.shot("images-reverse-picked")


def test_rows_of_samplers(visit_images):
    one = visit_images()
    page = one.open(f"/reverse?{urlencode(MODEL | {'view': 'Compare samplers'})}")
    page.get_by_text("The same initial noise and number of steps").wait_for(timeout=60_000)
    page.locator("img[alt^='8 samples']").nth(2).wait_for(timeout=60_000)  # the caption may be on the screen before the rows
    assert page.locator("img[alt^='8 samples']").count() == 3
    one.shot("images-samplers")
