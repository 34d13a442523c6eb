"""The Continuous page: its views, numbers that hold, links that ask for what does not exist, and the Python it shows."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from pages.ui import cache
from pages.ui.components.player import unpack
from pages.ui.continuous import charts, compute, views
from pages.ui.continuous.question import Question, python_of
from pages.ui.kinds.points.source import PointSource
from tests.pages.test_pages import APP, check


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/continuous.py").run())


def asked(**settings):
    return Question(PointSource("swiss_roll"), ScheduleConfig("log_snr", 4096), **settings)


def learned():
    loaded = checkpoints.load("swiss_roll_mlp")
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["swiss_roll_mlp"])
    return Question(PointSource.of_checkpoint(loaded), ScheduleConfig("log_snr", 4096), ref)


@pytest.mark.parametrize("view", list(views.VIEWS.values()))
def test_every_view(view):
    app = open_page(limit_view=view, particles="500", solver_steps="8")
    assert not app.exception and not app.error
    texts = " ".join(element.value for element in app.markdown)
    assert {"errors": "Slopes", "chain": "from the limit", "bound": "Log-likelihood"}[{v: k for k, v in views.VIEWS.items()}[view]] in texts


@pytest.mark.parametrize(
    "query",
    [
        {"score": "swiss_roll_mlp", "noise_level": "0"},
        {"schedule": "paper", "limit_view": "From steps to the limit"},
        {"schedule": "custom", "solver": "edm"},
        {"score": "digits_unet"},  # not a model of points
        {"score": "swiss_roll_rbf"},  # a network that knows its own T times only
        {"solver": "nonsense", "solver_steps": "7", "noise_level": "nan", "limit_view": "nothing"},
        {"data": "digits"},
    ],
)
def test_links_open_whatever_they_ask_for(query):
    assert not open_page(solver_steps=query.pop("solver_steps", "8"), **query).exception


def test_both_noise_levels_end_at_the_data():
    """128 exponential steps on the exact score: the distance to q(x⁽¹⁾) is that of two draws, within four of its deviations."""
    question = asked(solver="exponential", steps=128, n=1500)
    mean, spread = compute.floor(question.source, question.schedule, 1500)
    for level in (0.0, 1.0):
        run = compute.path(question, level)
        truth = compute.marginals(question.source, question.schedule, (1,), 1500, 5)[0]
        distance = views.stages.sliced(views.torch.from_numpy(run.x[-1]), views.torch.from_numpy(truth))
        assert run.times[-1] == 1 and distance < mean + 4 * spread + 0.03


def test_solvers_reach_their_orders():
    found = compute.errors(asked(noise_level=0.0))
    assert list(found) == ["euler", "heun", "exponential", "edm"]
    assert [one.slopes[0][0] for one in found.values()] == pytest.approx([-1, -2, -1, -2], abs=0.2)
    assert list(compute.errors(asked(noise_level=1.0))) == ["euler", "heun", "exponential"], "EDM's noise is its own"
    chart = charts.errors_chart(found, "paths", "Paths", False).to_dict()
    assert len(chart["data"]["values"]) == 4 * len(compute.COUNTS)


def test_the_chain_comes_near_the_limit():
    gaps = [compute.paths_of_chain(PointSource("moons"), ScheduleConfig("linear", 4096), n, 1)[2] for n in (8, 32, 128)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


def test_four_schedules_reach_one_bound():
    """At 4 steps they differ by more than a factor of 2, at 256 by less than 8 %; the flow's log-likelihood is that of the data."""
    found = compute.bounds(asked())
    first, last = ([values[i] for values in found.losses.values()] for i in (0, -1))
    assert max(first) > 2 * min(first) and max(last) < 1.08 * min(last)
    assert found.flow[0] == pytest.approx(found.exact, abs=0.15)
    assert compute.bounds(learned()).losses["log_snr"][-1] > found.losses["log_snr"][-1] - 3 * found.error, "no score beats the exact one"


def test_without_noise_there_is_one_panel_less():
    assert [len(unpack(views._payload(asked(n=200, steps=8, noise_level=k)))[0]["panels"]) for k in (0.0, 1.0)] == [2, 3]


@pytest.mark.parametrize("make", [lambda: asked(n=50, steps=8), learned])
def test_the_python_it_shows_runs(make, capsys):
    exec(python_of(make()), {})
    assert capsys.readouterr().out.startswith("0.0 tensor")
