"""The Memory page: the memoriser remembers, a small network does not, and both times are marked."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from pages.ui.cache import ModelRef
from pages.ui.kinds.points.source import PointSource
from pages.ui.memory import charts, compute, image_compute, image_question, question
from pages.ui.memory.image_question import ImageQuestion
from pages.ui.memory.question import Question, python_of
from tests.pages.test_pages import APP, check


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(question, "TRAINING", 400)


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/memory.py").run())


def asked(points=32, width=16, name="swiss_roll", **settings):
    return Question(PointSource(name), ScheduleConfig("log_snr", 60), points, width, n=500, **settings)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"training_points": "2", "memory_width": "8", "data": "moons"},
        {"schedule": "paper", "training_points": "512"},
        {"training_points": "7", "memory_width": "-1", "schedule": "nothing", "data": "digits"},
    ],
)
def test_links_open(query):
    app = open_page(particles="500", **query)
    assert not app.exception and not app.error and app.status[0].state == "complete"
    assert any("Copies of a training point" in element.value for element in app.markdown)


def test_the_memoriser_copies_and_a_small_network_less():
    found = {name: compute.samples(asked(), name) for name in compute.KERNELS}
    assert found["memoriser"].copies > 0.9 > found["network"].copies + 0.2
    assert found["memoriser"].distance < found["network"].distance


def test_more_points_collapse_later_and_speciation_stays():
    few, many = compute.times(asked(8)), compute.times(asked(512))
    assert few.collapse > many.collapse and few.speciation == many.speciation
    assert few.participation[-1] < 0.3 < 0.95 < few.participation[0]


def test_a_network_is_compared_with_both_kernels():
    found = compute.differences(asked())
    assert set(found) == {"memoriser", "truth"} and all(len(values) == 60 for values in found.values())
    chart = charts.differences_chart(found, True).to_dict()
    assert len(chart["data"]["values"]) == 120


def test_the_marks_are_drawn_at_both_times():
    times = compute.times(asked())
    chart = charts.information_chart(times.information, 32, times.speciation, times.collapse, False).to_dict()
    marks = [row for part in chart["layer"] for inner in part.get("layer", [part]) for row in inner.get("data", {}).get("values", [])]
    marks += [row for part in chart["layer"] for row in part.get("data", {}).get("values", [])]
    assert {row["name"]: row["t"] for row in marks if "name" in row} == {"speciation": times.speciation, "collapse": times.collapse}


def test_the_python_it_shows_runs(capsys):
    exec(python_of(asked(4)), {})
    assert capsys.readouterr().out.startswith("speciation ")


def test_a_local_kernel_is_nearer_to_the_network_than_the_memoriser():
    """Digits: r² of the local kernel is larger in the median, the fitted patches grow with t, and all end from the same noise."""
    asked = ImageQuestion(ModelRef.of(checkpoints.list_checkpoints()["digits_unet"]), 250, "0", 8)
    seen = []
    found = image_compute.find(asked, seen.append)
    assert found.medians["local"] > found.medians["memoriser"] + 0.05 and found.medians["local"] > 0.75
    times = sorted(found.sides)
    assert found.sides[times[0]] < found.sides[times[-1]] and seen[-1] == 1.0 and seen == sorted(seen)
    first = [path.x[0] for path in found.paths.values()]
    assert all((one == first[0]).all() for one in first)
    compile(image_question.python_of(asked), "locality", "exec")


@pytest.mark.parametrize("query", [{}, {"memory_model": "no such", "memory_images": "3", "memory_place": "any", "memory_samples": "4"}])
def test_links_to_images_open(query):
    app = open_page(memory_kind="images", **query)
    assert not app.exception and app.status[0].state == "complete"
    assert any("Squared correlation" in element.value for element in app.markdown)
