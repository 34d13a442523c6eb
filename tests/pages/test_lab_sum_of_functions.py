"""The Sum of functions page: links, numbers that hold, what the player shows, the comparison on digits, and the Python it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core import jobs
from dpm_core.lab.optimiser import digits_comparison, plane_objectives
from dpm_core.lab.optimiser.optimiser_comparison import RATES
from dpm_core.lab.optimiser.subfunction_models import Quadratic
from pages.ui.components.player import unpack
from pages.ui.lab.optimiser import charts, compute, digits, stage, views
from pages.ui.lab.optimiser.question import Digits, Plane, python_of_digits, python_of_plane
from tests.pages.test_pages import APP, check


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/sum_of_functions.py").run())


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"surface": "valley", "beside": "lbfgs", "seed": "3"},
        {"surface": "two_minima", "beside": "all", "sgd_rate": "30", "adam_rate": "0.001"},
        {"surface": "nonsense", "subfunctions": "0", "passes": "many", "sgd_rate": "-1", "beside": "", "seed": "x"},
        {"sum_view": "digits"},
        {"sum_view": "nothing", "digits_model": "?"},
    ],
)
def test_links_open(query):
    app = open_page(**query)
    assert not app.exception and not app.error
    assert any("against effective passes" in element.value for element in app.markdown)


def test_the_step_size_in_a_link_is_the_one_that_is_shown():
    app = open_page(sgd_rate="0.03", subfunctions="5", passes="5")
    tables = [element.value for element in app.markdown if "| SGD, momentum | 0.03 |" in element.value]
    assert len(tables) == 1


@pytest.mark.parametrize("name", plane_objectives.TITLES)
def test_numbers_on_the_page(name):
    """SFO ends at the minimum; every run starts at the same place; the cards hold log₁₀ of the loss above the minimum."""
    question = Plane(name, N=10, passes=30)
    at, runs, film = compute.surface(name, 10, 7), compute.runs(question), compute.film(question)
    assert {name: curve.x[0].tolist() for name, curve in runs.items()} == dict.fromkeys(runs, at.start.tolist())
    assert runs["sfo"].loss[-1] - at.lowest < 1e-9 and np.abs(runs["sfo"].x[-1] - at.minimum.numpy()).max() < 1e-4
    assert all(curve.evaluations[-1] <= 300 for curve in runs.values()), "no run has more evaluations than the others"
    header, blocks = unpack(views._payload(question))
    assert [card["title"].split(":")[0] for card in header["readouts"]] == ["SFO", "SGD, momentum", "Adam", "L-BFGS"]
    rows = compute.at_frames(runs["adam"], film.evaluations)
    shown = [card["values"] for card in header["readouts"]][2]
    assert shown == pytest.approx(np.log10(runs["adam"].loss[rows] - at.lowest), rel=1e-4)
    assert blocks["sfo/positions"][-1, 0] == pytest.approx(runs["sfo"].x[-1], abs=1e-3)
    assert len(header["panels"]) == 2 and header["times"][-1] == 300


def test_the_film_shows_the_models_that_the_next_step_uses():
    """On quadratics the models end close to the subfunctions themselves; the sum's centre is where SFO then is."""
    question = Plane("quadratics", N=5, passes=20)
    at, film, curve = compute.surface("quadratics", 5, 7), compute.film(question), compute.runs(question)["sfo"]
    assert not film.models[0] and len(film.models) == len(film.evaluations) and film.in_use[-1] == 5
    last, x = film.models[-1], torch.tensor([1.3, -0.4], dtype=torch.float64)
    for i, model in last.items():
        d = x - model.x
        value = model.value + float(model.gradient @ d + 0.5 * d @ model.hessian @ d)
        assert value == pytest.approx(float(at.parts[i](x)), rel=0.05)
    assert np.abs(compute.sum_of_models(last, 5).x.numpy() - curve.x[-1]).max() < 1e-8
    few = {i: last[i] for i in list(last)[:2]}
    total = compute.sum_of_models(few, 5)
    direct = 2.5 * sum(float(at.parts[i](x)) for i in few)
    d = x - total.x
    assert total.value + float(0.5 * d @ total.hessian @ d) == pytest.approx(direct, rel=0.05)


def test_ellipses_are_level_sets():
    hessian = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    model = Quadratic(torch.tensor([0.5, -1.0], dtype=torch.float64), 4.0, torch.tensor([1.0, 0.3], dtype=torch.float64), hessian)
    line = torch.from_numpy(compute.ellipse(model, 0.7))
    d = line - model.x
    values = model.value + d @ model.gradient + 0.5 * ((d @ hessian) * d).sum(1)
    lowest = model.value - 0.5 * float(model.gradient @ torch.linalg.solve(hessian, model.gradient))
    assert torch.allclose(values, torch.full_like(values, lowest + 0.7), atol=1e-12)
    assert compute.ellipse(model._replace(hessian=-hessian), 0.7) is None


def test_the_best_of_ten_is_shown_unless_one_is_chosen():
    runs = compute.runs(Plane("two_minima"))
    assert runs["sgd"].setting in RATES and runs["lbfgs"].setting >= 1 and runs["sfo"].setting is None
    assert compute.runs(Plane("two_minima", sgd=3.0))["sgd"].setting == 3.0
    assert "not finite" in views.table(compute.runs(Plane("two_minima", sgd=30.0)), 0.0, 10), "a step size that is too large"
    assert unpack(stage.make(Plane("two_minima", sgd=30.0)))


def test_the_chart_leaves_out_what_is_not_finite():
    question = Plane("two_minima", sgd=30.0)
    at, runs = compute.surface("two_minima", 10, 7), compute.runs(question)
    rows = charts.loss_chart(runs, at.lowest, 10, 15, True).to_dict()["layer"][1]["data"]["values"]
    assert rows and all(np.isfinite(row["loss"]) and row["loss"] >= 1e-12 for row in rows)


def test_comparison_on_digits_at_the_press_of_a_button(monkeypatch):
    few = {"RATES": (0.01, 0.1), "MEMORIES": (10,)}
    for name, value in few.items():
        monkeypatch.setattr(digits_comparison, name, value)
    app = open_page(sum_view="digits", digits_passes="20")
    assert any("“Compare” runs" in element.value for element in app.info)
    check(next(button for button in app.button if button.key == "compare_on_digits").click().run())
    assert any("| SFO | none |" in element.value for element in app.markdown)
    found = digits._found()[Digits("logistic", 20)]
    assert found.lowest == digits_comparison.LOWEST["logistic"] and found.runs["sfo"].passes_to(found.lowest + 1e-3, 30) <= 8
    digits._found.clear()


@pytest.mark.parametrize("question", [Plane(), Plane("valley", N=5, passes=5, sgd=0.01, adam=0.1)])
def test_the_python_it_shows_runs(question, capsys):
    exec(python_of_plane(question), {})
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["sfo", "sgd", "adam", "lbfgs"]
    runs, at = compute.runs(question), compute.surface(question.surface, question.N, question.seed)
    assert out[1].split()[1] == str(runs["sgd"].setting) and float(out[0].split()[-1]) == pytest.approx(runs["sfo"].loss[-1] - at.lowest)


def test_the_python_of_the_digits_runs(capsys, monkeypatch):
    monkeypatch.setattr(digits_comparison, "RATES", (0.1,))
    monkeypatch.setattr(digits_comparison, "MEMORIES", (10,))
    exec(python_of_digits(Digits("autoencoder", 2)), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["sfo", "lbfgs", "sgd", "adam"]


def open_train(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/train.py").run())


def test_train_offers_sfo_for_points_only(own_folders):
    """The run's description follows the control; a network that is too large is refused in a sentence before and at the start."""
    app = open_train(data="Swiss roll", network="rbf", optimiser="sfo", max_steps="3")
    assert app.selectbox(key="optimiser").value == "sfo" and not app.error
    app.button(key="start").click()
    job = jobs.get(check(app.run()).query_params["job"])
    assert job.config.run.training.optimiser == "sfo" and job.config.run.training.precision == "float32"
    assert job.join(60) and job.step == 3
    large = open_train(data="Swiss roll", network="mlp", net_size="Large", optimiser="sfo")
    said = " ".join(element.value for kind in (large.error, large.caption, large.markdown, large.warning) for element in kind)
    assert "at most 50,000 parameters" in said
    images = open_train(data="Digits 8 × 8", optimiser="sfo")
    assert not [box for box in images.selectbox if box.key and box.key.startswith("optimiser")]
