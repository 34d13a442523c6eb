"""The Relatives page: both models are trained by jobs, measured in the same unit, and found again on disk."""

from __future__ import annotations

import math

import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import jobs
from pages.ui.kinds.images.source import ImageSource
from pages.ui.kinds.points.source import PointSource
from pages.ui.relatives import charts, compute, methods, question, training
from tests.pages.test_pages import APP, check


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DPM_RUNS", str(tmp_path))
    yield
    training._pairs().clear()


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/relatives.py").run())


def trained(asked: question.Question) -> training.Pair:
    """The pair of a question, trained without a page."""
    runs = {name: training._start(asked, name) for name in asked.runs()}
    pair = training.Pair(asked, runs)
    training._pairs()[asked] = pair
    for job in runs.values():
        assert job.join(60)
    assert not pair.alive and not pair.failure
    return pair


@pytest.fixture
def roll():
    return question.make(PointSource("swiss_roll"), "small", 2, 0.0, 100, 1, 7)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"data": "digits", "latent": "64", "relatives_seconds": "300"},
        {"data": "moons", "decoder": "fixed", "decoder_deviation": "0.3", "latent": "1"},
        {"data": "heartbeat", "latent": "-3", "decoder": "?", "relatives_seconds": "x", "annealing": "5"},
    ],
)
def test_links_open(query):
    app = open_page(**query)
    assert not app.exception and not app.error
    assert any(button.label == "Train both" for button in app.button)
    assert any("Number of parameters" in element.value for element in app.markdown)


def test_both_are_measured_and_found_again(roll):
    """K is below log p(x) for both, as the same data have it; a second look at the disk trains nothing."""
    pair = trained(roll)
    found = compute.find(roll, pair)
    known = compute.log_probs(found, roll)
    assert set(known) == {"diffusion", "vae"} and min(one.gap for one in known.values()) > 0
    assert found.scores["diffusion"].calls == 40 and found.scores["vae"].calls == 1
    assert found.exact and 1 <= found.time_of_equal_rate() <= 40
    shown = compute.reconstructions(found, roll, 5)
    assert {x.shape for x in shown.values()} == {(2000, 2)} and min(compute.errors(shown).values()) > 0
    spaces = compute.latent_spaces(found, roll, 5)
    assert {x.shape for x in spaces.values()} == {(1000, 2)}
    steps = {name: job.step for name, job in pair.jobs.items()}
    training._pairs().clear()
    again = training.current(roll)
    assert again is not None and all(job.join(60) for job in again.jobs.values())
    assert {name: job.step for name, job in again.jobs.items()} == steps


def test_the_page_of_a_trained_pair(roll):
    trained(question.make(roll.source, "small", 2, 0.0, 100, 5, 7))
    app = open_page(relatives_seconds="5", relatives_size="small", annealing="100")
    assert not app.exception and not app.error
    text = " ".join(element.value for element in app.markdown)
    assert "by quadrature" in text and "Posterior collapse" in text and "…" not in text.split("Gap")[1].split("\n")[0]
    assert any(slider.label.startswith("Time t of") for slider in app.slider)


def test_images_have_an_estimate_for_the_vae_alone():
    asked = question.make(ImageSource("digits"), "small", 8, 0.0, 100, 1, 7)
    found = compute.find(asked, trained(asked))
    known = compute.log_probs(found, asked)
    assert set(known) == {"vae"} and math.isfinite(known["vae"].bits) and not found.exact
    assert found.samples["vae"].shape == found.samples["diffusion"].shape == (16, 1, 8, 8)
    assert compute.latent_spaces(found, asked, 500)["diffusion"].shape == (1000, 2)


def test_stop_ends_both_and_keeps_what_they_learned(roll):
    asked = question.make(roll.source, "small", 2, 0.0, 0, 300, 7)
    pair = training.Pair(asked, {name: training._start(asked, name) for name in asked.runs()})
    assert pair.alive
    pair.stop()
    assert all(job.join(60) for job in pair.jobs.values()) and not pair.alive
    assert pair.vae().latent == 2 and jobs.runs(training._root())


def test_every_cell_of_the_table_has_a_link():
    """To a page that exists, or to a paper; every row has all columns."""
    pages = {path.stem for path in (APP.parent / "pages").glob("*.py")}
    for row in methods.ROWS:
        assert len(row) == len(methods.COLUMNS)
        for text, link in row:
            assert text and (link.startswith("https://") or link in pages), (text, link)
    assert methods.table().count("\n") == len(methods.ROWS) + 1


def test_the_python_of_the_page_is_complete(roll):
    compile(question.python_of(roll), "relatives", "exec")


def test_charts_have_their_roles():
    rows = [{"method": "Diffusion", "seconds": 1.0, "bits": -1.0}]
    spec = charts.bound_chart(rows, 10, -4, "bits per point", dark=False).to_dict()
    assert spec["encoding"]["color"]["scale"]["domain"] == ["Diffusion", "VAE"]
    assert len(charts.collapse_chart([0.1, 2.0], 0.014, dark=True).to_dict()["layer"]) == 2
    assert "layer" in charts.information_chart([3.0, 1.0], 2.0, 1, dark=False).to_dict()
