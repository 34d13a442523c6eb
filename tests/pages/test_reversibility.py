"""The Reversibility page: both films, hidden or not, numbers that hold, and the Python it shows."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import cache
from pages.ui.components.player import unpack
from pages.ui.kinds.points.source import PointSource
from pages.ui.reversibility import charts, compute, views
from pages.ui.reversibility.question import Question, python_of
from tests.pages.test_pages import APP, check


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/reversibility.py").run())


def asked(T=5, name="swiss_roll", **settings):
    return Question(PointSource(name), ScheduleConfig("log_snr", T), **settings)


def learned(name="swiss_roll_rbf"):
    loaded, ref = checkpoints.load(name), cache.ModelRef.of(checkpoints.list_checkpoints()[name])
    return Question(PointSource.of_checkpoint(loaded), loaded.config.schedule, ref)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"film_model": "swiss_roll_rbf"},
        {"T": "60", "hide_films": "true", "seed": "8"},
        {"schedule": "paper", "T": "12", "data": "moons"},
        {"film_model": "digits_unet"},  # not a model of points
        {"film_model": "nonsense", "T": "0", "schedule": "nothing"},
    ],
)
def test_links_open(query):
    app = open_page(particles="500", **query)
    assert not app.exception
    assert any("Entropy produced by all steps" in element.value for element in app.markdown)


def test_more_steps_make_the_films_alike():
    """Bits that tell them apart: above 1 with 5 steps, below 0.2 with 80; the histograms of the changes agree better, too."""
    few, many = asked(5), asked(80)
    totals = [compute.measured(q).reverse.total / NATS_PER_BIT for q in (few, many)]
    assert totals[0] > 1 and totals[1] < 0.2

    def apart(question):
        films = compute.films(question)
        return np.abs(films.forward_changes - films.reverse_changes).sum(1).mean()

    assert apart(many) < apart(few)


def test_films_run_from_noise_to_data():
    films = compute.films(asked(20))
    assert list(films.forward.times) == list(films.reverse.times) == list(range(20, -1, -1))
    assert films.forward.x[0].std() == pytest.approx(films.reverse.x[0].std(), rel=0.1)
    assert np.allclose(films.forward_changes.sum(1), 100, atol=2), "percent of all changes"


def test_a_network_adds_to_the_difference():
    question = learned()
    exact = compute.measured(Question(question.source, question.schedule))
    network = compute.measured(question)
    assert network.reverse.total > exact.reverse.total + 4 * exact.reverse.total_error
    assert network.production.total == pytest.approx(exact.production.total), "the forward process is the same"


def test_hidden_films_do_not_give_themselves_away():
    for seed in (7, 8):
        header = unpack(views._payload(asked(n=100, seed=seed), True))[0]
        assert [panel["label"] for panel in header["panels"]] == ["film A", "film B"]
        assert {panel["role"] for panel in header["panels"]} == {"noise"} and "played backward" not in str(header["panels"])


def test_charts_leave_out_what_is_only_sampling_error():
    found = compute.measured(asked(80))
    values = charts.steps_chart(found, True).to_dict()["data"]["values"]
    assert values and all(row["bits"] > 2 * row["±"] for row in values)
    sums = charts.sums_chart(compute.sums(asked()), False).to_dict()["data"]["values"]
    assert {row["T"] for row in sums} == set(compute.LENGTHS)


@pytest.mark.parametrize("make", [asked, learned])
def test_the_python_it_shows_runs(make, capsys):
    exec(python_of(make()), {})
    assert capsys.readouterr().out.startswith("production ")
