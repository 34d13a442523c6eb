"""The Paths page: every path, re-flow, numbers that hold, and the Python it shows."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from pages.ui import cache
from pages.ui.components.player import unpack
from pages.ui.kinds.points.source import PointSource
from pages.ui.paths import compute, views
from pages.ui.paths.question import Question, python_of
from tests.pages.test_pages import APP, check


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/paths.py").run())


def asked(name="swiss_roll", **settings):
    return Question(PointSource(name), **settings)


def learned():
    loaded, ref = checkpoints.load("swiss_roll_mlp"), cache.ModelRef.of(checkpoints.list_checkpoints()["swiss_roll_mlp"])
    return Question(PointSource.of_checkpoint(loaded), ref, n=100)


@pytest.fixture
def quick_reflow(monkeypatch):
    monkeypatch.setattr(compute, "TRAINING", 300)
    monkeypatch.setattr(compute, "PAIRS", 2000)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"velocity": "swiss_roll_mlp", "flow_method": "heun"},
        {"data": "moons", "flow_steps": "64"},
        {"velocity": "digits_unet"},  # not a model of points
        {"velocity": "nonsense", "flow_steps": "7", "flow_method": "rk4"},
    ],
)
def test_links_open(query):
    app = open_page(particles="500", **query)
    assert not app.exception and not app.error
    assert any("Departure from straight lines" in element.value for element in app.markdown)


def test_reflow_on_the_page(quick_reflow):
    """A fourth panel and a fourth number, straighter than the line it came from, and better with four evaluations."""
    app = open_page(reflow="true", flow_steps="4", data="moons", particles="500")
    assert not app.exception and app.status[0].state == "complete"
    question = asked("moons", reflow=True, steps=4, n=500)
    assert compute.shown(question)[-1] == compute.REFLOW
    assert compute.run(question, compute.REFLOW).straightness < 0.8 * compute.run(question, "line").straightness
    assert len(unpack(views._payload(question))[0]["panels"]) == 4


def test_more_steps_come_nearer_and_one_map_serves_all_paths():
    question = asked()
    floor, spread = compute.floor(question.source)
    for name in ("line", "preserving"):
        found = compute.distances(question, name)
        assert found[2] > found[8] and found[32] < floor + 4 * spread + 0.05
    assert compute.apart(question) < 0.01


def test_only_the_exploding_path_is_drawn_smaller():
    assert np.array_equal(compute.picture_scale("line", 4), np.ones(5))
    scale = compute.picture_scale("exploding", 4)
    assert scale[-1] == 1 and scale[0] == pytest.approx((1 + 20**2) ** 0.5)
    x = compute.run(asked(n=500), "exploding").path.x
    assert 0.7 < float(x[0].std() / compute.picture_scale("exploding", 8)[0]) < 1.3


@pytest.mark.parametrize("make", [lambda: asked(n=50, steps=4), learned])
def test_the_python_it_shows_runs(make, capsys):
    exec(python_of(make()), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "tensor" in line][:1] == ["line"]
