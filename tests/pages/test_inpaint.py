"""The Inpaint page: it opens ready, fills with patches and with models that fit, keeps the mask, and says every error in one sentence."""

from __future__ import annotations

import io
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.components.painter import masks
from pages.ui.inpainting import controls, views
from pages.ui.inpainting.rules import RULE_TITLES
from tests.pages.test_pages import APP, check


def open_inpaint(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/inpaint.py").run())


def fill(app: AppTest) -> AppTest:
    """Press Fill and wait until all is done."""
    check(app.button(key="fill").click().run())
    filling = app.session_state["inpaint_filling"]
    assert filling is not None and filling.wait(120)
    return check(app.run())


def test_it_opens_with_a_hole_in_the_middle():
    app = open_inpaint()
    mask = app.session_state["inpaint_mask"]
    assert mask.shape == (256, 256) and mask.sum() == 100 * 100 and mask[128, 128] and not app.error
    assert app.selectbox(key="filler_large").value == controls.PATCHES and not app.button(key="fill").disabled


@pytest.mark.parametrize("preset", list(controls.PRESETS))
def test_presets(preset):
    app = open_inpaint(picture_name="digits")
    check(app.button(key=f"preset_{preset}").click().run())
    mask = app.session_state["inpaint_mask"]
    assert mask.shape == (8, 8) and np.array_equal(mask, controls.preset((8, 8), preset, 7)) and 0 < mask.sum() < 64


def test_patches_fill_a_photograph_and_a_completion_can_be_painted_on():
    app = open_inpaint(picture_name="camera", n_True="2")
    small = np.zeros_like(app.session_state["inpaint_mask"])
    small[100:120, 140:165] = True
    app.session_state["inpaint_mask"] = small
    app = fill(app)
    filling = app.session_state["inpaint_filling"]
    assert len(filling.done) == 2 and filling.baseline is not None
    words = [caption.value for caption in app.caption]
    assert sum("PSNR" in text and "SSIM" in text for text in words) == 3
    with zipfile.ZipFile(io.BytesIO(views.archive(filling, "camera", "own patches"))) as zipped:
        assert sorted(zipped.namelist()) == ["completion-1.png", "completion-2.png", "mask.png", "settings.json"]
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(zipped.read("completion-2.png")))), filling.done[1])
        assert np.array_equal(masks.read_png(zipped.read("mask.png"), small.shape), small)
    app = check(app.button(key="use_1").click().run())
    assert np.array_equal(app.session_state["inpaint_base"], filling.done[1]) and not app.session_state["inpaint_mask"].any()
    app = check(app.button(key="fill").click().run())
    assert [error.value for error in app.error] == ["No pixel is marked as missing; paint the region to fill."]
    app = check(app.button(key="anew").click().run())
    assert app.session_state["inpaint_base"] is None


@pytest.mark.parametrize("rule", list(RULE_TITLES))
def test_a_model_fills_a_digit(rule):
    app = open_inpaint(picture_name="digits", known_rule=rule, fill_steps="10", n_False="2", jump="2", resamplings="2")
    assert app.selectbox(key="filler_small").value == "digits_unet"
    app = fill(app)
    filling = app.session_state["inpaint_filling"]
    assert len(filling.done) == 2 and filling.task.options["rule"] == rule and not app.error
    truth, missing = filling.task.picture, filling.task.missing
    assert all(np.array_equal(one[~missing], truth[~missing]) for one in filling.done)


def test_the_mask_survives_another_page_and_another_picture_has_its_own():
    app = open_inpaint(picture_name="digits")
    app.session_state["inpaint_mask"] = np.eye(8, dtype=bool)
    app = check(app.run())
    app = check(app.switch_page("pages/schedule.py").run())
    app = check(app.switch_page("pages/inpaint.py").run())
    assert np.array_equal(app.session_state["inpaint_mask"], np.eye(8, dtype=bool))
    app = check(app.selectbox(key="picture_name").set_value("grass").run())
    assert app.session_state["inpaint_mask"].shape == (256, 256)


def test_stopping_keeps_the_page():
    app = open_inpaint()
    check(app.button(key="fill").click().run())
    filling = app.session_state["inpaint_filling"]
    end = time.monotonic() + 60
    while filling.latest is None and time.monotonic() < end:
        time.sleep(0.02)
    app = check(app.button(key="stop_filling").click().run())
    assert filling.wait(30) and len(filling.done) < 4
    assert not check(app.run()).button(key="fill").disabled


def test_a_drawing_begins_empty():
    app = open_inpaint(picture_name="drawn")
    assert app.segmented_control(key="drawing_step").value == "Draw" and "fill" not in [button.key for button in app.button]
    drawing = np.zeros((28, 28), np.uint8)
    drawing[4:24, 13:16] = 255
    app.session_state["inpaint_drawing"] = drawing
    app = check(app.segmented_control(key="drawing_step").set_value("Mark").run())
    assert app.session_state["inpaint_mask"].shape == (28, 28) and app.selectbox(key="filler_small").value == "mnist_unet"


def test_what_does_not_fit_is_said():
    """A photograph in colour: no shipped model fits, and the page says which sizes they make."""
    app = open_inpaint(picture_name="coffee")
    assert any("28 × 28" in caption.value for caption in app.caption)
    assert len(app.selectbox(key="filler_large").options) == 1 + len(controls.TRAINED_HERE)


def test_a_network_of_the_picture_is_trained_filled_with_and_reused(monkeypatch):
    """One second of training; filling again learns nothing anew; a larger hole does; too little to learn from is one sentence."""
    monkeypatch.setattr(controls, "SECONDS", {2: "2 s"})
    monkeypatch.setattr(controls, "DEFAULT_SECONDS", 2)
    app = open_inpaint(picture_name="brick")
    check(app.selectbox(key="filler_large").set_value("own").run())
    app.session_state["inpaint_mask"] = small = np.zeros((256, 256), bool)
    small[100:112, 140:150] = True
    app = fill(app)
    filling = app.session_state["inpaint_filling"]
    first = filling.task.network
    assert not filling.problem and len(filling.done) == filling.task.n and first.job.step > 1 and first.samples().ndim == 2
    assert views.model_words(filling.task) == f"network trained on this picture for {first.job.step:,} steps"
    app = fill(app)
    assert app.session_state["inpaint_filling"].task.network is first
    larger = small.copy()
    larger[90:112] = True
    app.session_state["inpaint_mask"] = larger
    app = fill(app)
    assert app.session_state["inpaint_filling"].task.network is not first
    app.session_state["inpaint_mask"] = ~small
    check(app.button(key="fill").click().run())
    assert [error.value[:38] for error in app.error] == ["Fewer than 64 crops of 8 × 8 pixels ar"]
