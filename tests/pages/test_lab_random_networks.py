"""The Random networks page: links, numbers, the click on the diagram, measuring, training in the background, and exports."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core.lab.random_networks import critical_sigma_w2, depth_scales, fixed_point
from dpm_core.lab.signals import trainability
from dpm_core.lab.signals.random_network_simulation import RandomNetwork, theory
from dpm_core.lab.signals.trainability import Results, Row, Setting
from pages.ui import rights
from pages.ui.components.player import unpack
from pages.ui.lab.networks import charts, compute, grid_chart, trained_grid, training, views
from pages.ui.lab.networks.question import Question, python_of
from tests.pages.test_pages import APP, check

SMALL = Setting(sigma_w2=(1.0, 2.0), depths=(2, 3), width=16, batch=8, rate=0.1)


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DPM_RUNS", str(tmp_path))
    yield
    for grid in training._grids().values():
        grid.stop()
        assert grid.wait(30)
    training._grids().clear()


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/random_networks.py").run())


def asked(activation="tanh", sigma_w2=2.5, sigma_b2=0.05, depth=10, width=50, seed=7) -> Question:
    return Question(RandomNetwork(activation, sigma_w2, sigma_b2, depth, width), seed)


def text(app: AppTest) -> str:
    return " ".join(str(element.proto) for element in app.get("html"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"activation": "relu", "sigma_w2": "4", "sigma_b2": "0", "network_depth": "60"},
        {"activation": "tanh", "sigma_w2": "0.5", "sigma_b2": "0.0", "network_width": "50"},
        {"activation": "hard_tanh", "sigma_w2": "1.17", "seed": "3"},
        {"activation": "sine", "sigma_w2": "1e9", "sigma_b2": "-1", "network_depth": "7", "network_width": "nan", "grid_steps": "x"},
        {"sigma_w2": "nan", "sigma_b2": "inf", "seed": "-1"},
    ],
)
def test_links_open(query):
    app = open_page(**query)
    assert not app.error and "depth that can be trained" in text(app)
    assert any(button.label == "Train the networks" for button in app.button)


def test_the_numbers_are_those_of_the_theory():
    app = open_page(sigma_w2="1.3", sigma_b2="0.05")
    cards, (q, chi) = text(app), fixed_point("tanh", 1.3, 0.05)
    scales = depth_scales("tanh", 1.3, 0.05)
    assert "Ordered phase" in cards and "= 1.76" in cards
    for shown in (f"{q:.3f}", f"{chi:.3f}", f"{scales.xi_q:.1f}", f"{scales.xi_c:.1f}", f"{scales.trainable_depth:.0f}"):
        assert f"<b>{shown}</b>" in cards
    latex = " ".join(element.value for element in app.latex)
    assert f"q^*={q:.4g}" in latex and f"={chi:.4g}" in latex and f"={scales.trainable_depth:.4g}" in latex


def test_the_edge_is_named_and_infinite_numbers_are_words():
    assert "Edge of chaos" in text(open_page(sigma_w2="1.76"))
    grown = text(open_page(activation="relu", sigma_w2="3"))
    assert "Unbounded signals" in grown and "∞" in grown and "not defined" in grown


def test_a_click_on_the_diagram_sets_both_sliders(monkeypatch):
    app, event = open_page(), {"selection": {"points": [{"x": 1.4, "y": 0.2}]}}
    monkeypatch.setattr(views.session, "widget_value", lambda key, default: event if key == views.MAP else default)
    monkeypatch.setattr(views.session, "set_widget", lambda key, value: app.slider(key=key).set_value(value))
    views._take_click()
    check(app.run())
    assert (app.slider(key="sigma_w2").value, app.slider(key="sigma_b2").value) == (1.4, 0.2)
    event["selection"]["points"] = []
    views._take_click()  # a click that deselects changes nothing
    assert check(app.run()).slider(key="sigma_w2").value == 1.4


def test_the_film_shows_both_networks_and_their_layers():
    question = asked()
    header, _ = unpack(views._payload(question))
    assert header["times"] == list(range(11)) and [panel["n"] for panel in header["panels"]] == [120, 120]
    critical = critical_sigma_w2("tanh", 0.05)
    assert [f"weight variance {w:.2f}" in panel["label"] for w, panel in zip((2.5, critical), header["panels"])] == [True, True]
    film, cards = compute.film(question), header["readouts"]
    assert cards[0]["values"]["q"] == pytest.approx(film.q.tolist(), rel=1e-5)
    assert cards[0]["values"]["tc"] == pytest.approx(compute.neighbours(question.network).tolist(), rel=1e-5)
    assert cards[0]["values"]["tq"] == pytest.approx(theory(question.network, (1.0,)).q[0].tolist(), rel=1e-5)
    assert cards[3]["values"] == pytest.approx(np.sqrt(theory(question.network).growth).tolist(), rel=1e-5)
    assert len(unpack(views._payload(asked("relu", 2.5, sigma_b2=0.0)))[0]["panels"]) == 2


def test_wide_networks_are_measured_when_asked():
    app = open_page(network_width="1000", network_depth="30", seed="11")
    button = next(button for button in app.button if button.key == "measure_networks")
    assert "width 1,000" in button.label and compute.known(asked(depth=30, width=1000, seed=11)) is None


def test_what_was_measured_is_known():
    question, shares = asked(depth=10), []
    found = compute.signals(question, shares.append)
    assert shares[-1] == 1 and compute.known(question) is found and compute.signals(question, shares.append) is found


@pytest.mark.parametrize("dark", [False, True])
def test_charts_have_theory_and_errors(dark):
    question = asked()
    expected, found = compute.curves(question.network), compute.signals(question, lambda share: None)
    for chart in (charts.variance_chart, charts.correlation_chart, charts.gradient_chart):
        layers = chart(expected, found, dark).to_dict()["layer"]
        assert len(layers) == 3 and len(chart(expected, None, dark).to_dict()["layer"]) == 2
        points = layers[1]["data"]["values"]
        assert all(row["low"] <= row["value"] <= row["high"] for row in points)
        assert layers[0]["encoding"]["y"]["title"] and layers[0]["encoding"]["x"]["title"] == "layer l"
    figure = charts.phase_figure(compute.phases("tanh"), compute.critical_line("tanh"), (2.5, 0.05), dark)
    line = figure.data[1]
    assert np.all(np.diff(line.y) > 0) and np.all(np.diff(line.x) > 0), "the edge moves to larger variances"
    assert float(np.interp(0.05, line.y, line.x)) == pytest.approx(1.76, abs=0.03)


def finish(grid, seconds=60):
    until = time.monotonic() + seconds
    while grid.running and time.monotonic() < until:
        grid.seen()
        grid.wait(0.1)
    assert not grid.running and not grid.problem


def test_training_is_stored_and_goes_on_after_a_stop():
    training.start(SMALL, 200)
    grid = training.current(SMALL, 200)
    with pytest.raises(ValueError, match="Other networks are being trained"):
        training.start(SMALL, 500)
    finish(grid)
    assert grid.share == 1 and not grid.live and not grid.results.missing(SMALL, 200)
    stored = trainability.load(training.folder(), SMALL)
    assert stored.rows == grid.results.rows and len(stored.rows) == 2
    partly = Results({(2, 200): stored.rows[2, 200]})
    training.keep(SMALL, partly)
    training.start(SMALL, 200)
    again = training.current(SMALL, 200)
    assert again.results.missing(SMALL, 200) in ([3], [])
    finish(again)
    assert again.results.rows == stored.rows == trainability.load(training.folder(), SMALL).rows


def test_stop_keeps_complete_rows(monkeypatch):
    setting = Setting(sigma_w2=(1.0, 2.0), depths=(2, 100), width=32)
    training.start(setting, 200)
    grid = training.current(setting, 200)
    until = time.monotonic() + 60
    while (2, 200) not in grid.results.rows and time.monotonic() < until:
        grid.seen()
        time.sleep(0.02)
    grid.stop()
    assert grid.wait(60) and list(trainability.load(training.folder(), setting).rows) == [(2, 200)]


def test_training_stops_when_nobody_watches(monkeypatch):
    monkeypatch.setattr(training, "UNWATCHED", 0.0)
    training.start(SMALL, 200)
    assert training.current(SMALL, 200).wait(60) and not trainability.load(training.folder(), SMALL).rows


def test_what_was_trained_is_exported():
    setting = trained_grid.setting_of(asked())
    results = full(setting, 500)
    del results.rows[100, 500]
    arrays = trained_grid.arrays(setting, 500, results)
    assert arrays["grid_accuracy"].shape == arrays["grid_held_out"].shape == (7, 12) and arrays["grid_depth"].tolist()[-1] == 65
    assert not trained_grid.arrays(setting, 1000, results)


def test_who_may_not_start_is_told(monkeypatch):
    def refuse():
        raise rights.NotAllowed("Only the lecturer can start or change runs and models here.")

    monkeypatch.setattr(rights, "check_start", refuse)
    app = open_page()
    app.button(key="train_grid").click()
    check(app.run())
    assert [error.value for error in app.error] == ["Only the lecturer can start or change runs and models here."]
    assert not training._grids()


def full(setting: Setting, steps: int) -> Results:
    n = len(setting.sigma_w2)
    return Results({(depth, steps): Row(depth, steps, (0.5,) * n, (0.4,) * n) for depth in setting.depths})


def test_what_was_trained_before_opens_at_once():
    setting = trained_grid.setting_of(asked(seed=3))
    training.keep(setting, full(setting, 500))
    app = open_page(seed="3")
    assert not [button for button in app.button if button.key == "train_grid"]
    assert any(button.key == "train_grid" for button in open_page(seed="3", grid_steps="1000").button)
    (training.folder() / setting.name).write_text("{")
    assert any(button.label == "Train the networks" for button in open_page(seed="3").button)


def test_the_page_while_it_trains(monkeypatch):
    monkeypatch.setattr(trained_grid, "setting_of", lambda question: Setting(sigma_w2=(1.0, 2.0), depths=(5, 100), width=32))
    app = open_page()
    app.button(key="train_grid").click()
    check(app.run())
    assert [button for button in app.button if button.key == "stop_grid"]
    app.button(key="stop_grid").click()
    check(app.run())
    (grid,) = training._grids().values()
    assert grid.wait(30)
    check(app.run())
    assert [button for button in app.button if button.key == "train_grid"]


def test_the_chart_of_accuracy_has_every_cell_and_the_curve():
    setting = Setting()
    rows = list(full(setting, 500).rows.values())
    chart = grid_chart.accuracy_chart(setting, rows, compute.CURVE, compute.trainable("tanh", 0.05), 1.76, False).to_dict()
    frame, cells, halo, curve, words, edge = chart["layer"]
    assert len(cells["data"]["values"]) == 96 and words["encoding"]["text"]["field"] == "percent"
    low, high = (frame["data"]["values"][0][name] for name in ("low", "high"))
    assert low < 5 and high > 100 and edge["data"]["values"] == [{"at": 1.76}] and halo["data"] == curve["data"]
    at = next(row for row in curve["data"]["values"] if row["σ_w²"] == pytest.approx(1.2))
    assert at["6 ξ_c"] == pytest.approx(depth_scales("tanh", 1.2, 0.05).trainable_depth)
    assert (
        len(grid_chart.accuracy_chart(setting, [], compute.CURVE, np.full(len(compute.CURVE), np.nan), np.nan, True).to_dict()["layer"])
        == 1
    )
    assert grid_chart.edges([1, 2, 4], True) == pytest.approx([2**-0.5, 2**0.5, 2**1.5, 2**2.5])
    assert grid_chart.edges([3], False) == [2.5, 3.5]


def test_the_python_it_shows_runs(capsys):
    exec(python_of(asked(width=50)), {})
    shown = capsys.readouterr().out
    assert "FixedPoint" in shown and "DepthScales" in shown and "theory" in shown


def test_the_export_has_a_row_for_every_layer():
    question = asked()
    export = views._export(question, compute.signals(question, lambda share: None))
    assert {len(column) for column in export.table.values()} == {11}
    assert {"q_1_theory", "c_0.5_mean", "forward_standard_error"} <= export.table.keys()
    assert export.arrays["circle"].shape == (11, 120, 2) and export.arrays["measured_q"].shape == (20, 3, 11)
    assert "measured_q" not in views._export(question, None).arrays
