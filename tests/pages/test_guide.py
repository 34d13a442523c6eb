"""The Guide page: every kind of data and view, numbers that hold, and links that ask for what does not exist."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from pages.ui import cache
from pages.ui.guide import image_compute, image_edit, plane_compute
from pages.ui.guide.target import Target
from pages.ui.kinds.points.source import PointSource
from tests.pages.test_pages import APP, check

SEVEN = Target(tuple(float(i == 7) for i in range(10)), 2.0)


def open_guide(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/guide.py").run())


def images(**settings):
    return image_compute.Question(cache.ModelRef.of(checkpoints.list_checkpoints()["digits_classes_unet"]), SEVEN, steps=25, **settings)


def plane(name="moons", strength=1.0, **settings):
    source, schedule = PointSource(name), ScheduleConfig("log_snr", 20)
    return plane_compute.Question(source, schedule, Target((1.0, 0.0), strength), n=800, **settings)


@pytest.mark.parametrize("view", ["samples", "grid", "edit"])
def test_digits_in_every_view(view):
    app = open_guide(guided_data="digits", guide_view=view, guide_steps="10")
    assert not app.error and bool(app.button_group) == (view != "grid")
    words = " ".join(block.value for block in (*app.markdown, *app.caption))
    assert {"samples": "", "grid": "every class and strength", "edit": "How much survives"}[view] in words


def test_points_beside_the_exact_answer():
    app = open_guide(guided_data="moons", strength="2", n_guided="500", T="15")
    assert not app.error
    words = " ".join(block.value for block in app.markdown)
    assert "y = upper moon and γ = 2" in words and "Classifier-free network" in words and "Exact product" in words


def test_a_mixture_of_two_digits():
    app = open_guide(guided_data="digits", classes_10=["3", "8"], class_mixture="25", guide_steps="10")
    assert not app.error and app.slider(key="class_mixture").value == 25


@pytest.mark.parametrize(
    "query",
    [
        {"guided_model": "digits_unet"},
        {"guided_data": "circles", "classes_2": ["outer circle", "inner circle"]},
        {"guided_data": "nonsense"},
        {"classes_10": "11"},
        {"strength": "99"},
        {"class_mixture": "x"},
        {"guided_model": "moons_mlp"},
    ],
)
def test_links_to_what_does_not_exist(query):
    assert not open_guide(guide_steps="10", **query).exception


def test_both_methods_draw_the_class():
    """Of 32 digits nearly all are read as sevens; classifier-free guidance is the more certain; the same question gives the same digits."""
    asked = images(n=32)
    free, classifier = (image_compute.run(asked, method, lambda share: None) for method in ("free", "classifier"))
    assert image_compute.methods(asked.ref) == ["free", "classifier"] and free.x.shape == classifier.x.shape
    assert free.opinion[-1] > 0.97 and classifier.opinion[-1] > 0.85 and free.opinion[0] < 0.2
    assert image_compute.run(images(n=32), "free", lambda share: None) is free


def test_strength_makes_samples_alike():
    """From γ = 1 to 8 fewer training images are nearest, and they are farther away; at γ = 1 the spread is that of the class."""
    ref = images().ref
    found = []
    for strength in (1.0, 8.0):
        asked = image_compute.Question(ref, Target(SEVEN.shares, strength), n=32, steps=25)
        found.append(image_compute.variety(asked, image_compute.run(asked, "free", lambda share: None).last))
    weak, strong = found
    assert strong.distinct < weak.distinct <= 32 and strong.distance > weak.distance
    assert weak.data_spread == pytest.approx(weak.spread, rel=0.2)  # the training images of the class


def test_the_grid_has_one_image_without_guidance():
    x = image_compute.grid(images().ref, (0.0, 4.0), 10, 7)
    assert x.shape == (10, 2, 1, 8, 8)
    assert np.abs(x[:, 0] - x[0, 0]).max() < 1e-4 and np.abs(x[:, 1] - x[0, 1]).max() > 1


def test_more_noise_leaves_less_of_the_image():
    levels = image_edit._levels(images(), "free", 3)
    first, last = levels[0], levels[-1]
    assert first.t < last.t and first.correlation > last.correlation + 0.15
    assert last.certainty > 0.95


def test_in_the_plane_strength_one_is_the_class_and_more_is_not():
    """Total variation to the target: within three floors at γ = 1, farther at γ = 4, while the exact product stays at the floor."""
    one, four = ({rule: run.total_variation[-1] for rule, run in plane_compute.runs(plane(strength=s)).items()} for s in (1.0, 4.0))
    floor, _ = plane_compute.product_of(plane()).monte_carlo_floor(800)
    assert one["classifier"] < 2.5 * floor and one["exact"] < 2 * floor and four["exact"] < 2 * floor
    assert four["classifier"] > one["classifier"] + 0.05


def test_the_sweep_knows_its_ends():
    """At γ = 0 half of the points are of the class; at γ = 1 the draws of the exact product are at the floor."""
    rows = {(row.rule, row.strength): row for row in plane_compute.sweep(plane())}
    assert rows["classifier", 0.0].share == pytest.approx(0.5, abs=0.05) and rows["classifier", 2.0].share > 0.97
    assert rows["exact", 1.0].total_variation < 0.08 < rows["exact", 0.0].total_variation
    assert rows["exact", 1.0].spread < rows["exact", 0.0].spread


@pytest.mark.parametrize(
    ("page", "query", "key"),
    [
        ("reverse", {"model": "digits_classes_unet", "image_steps_1000": "25"}, "class_of_10"),
        ("reverse", {"model": "moons_classes_mlp"}, "class_of_2"),
        ("bound", {"bits_of": "moons_classes_mlp"}, "class_of_2"),
        ("denoise", {"denoiser": "digits_classes_unet", "denoise_steps": "25", "n_denoised": "4"}, "class_of_10"),
    ],
)
def test_other_pages_ask_for_a_class_too(page, query, key):
    app = AppTest.from_file(str(APP), default_timeout=120)
    for name, value in (query | {key: "y1", "strength": "2"}).items():
        app.query_params[name] = value
    app = check(app.switch_page(f"pages/{page}.py").run())
    assert not app.error and app.selectbox(key=key).value == "y1" and app.select_slider(key="strength").value == 2.0


def test_the_bound_tells_the_information_of_the_class():
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.query_params["bits_of"] = "moons_classes_mlp"
    app = check(app.switch_page("pages/bound.py").run())
    assert any("What the class tells" in block.value for block in app.markdown)
