"""The Minimum probability flow page: its three views, numbers that hold, links, and the Python it shows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core.lab.flow import three_states
from dpm_core.lab.flow.ising_estimators import ESTIMATORS
from dpm_core.lab.flow.ising_models import TOPOLOGIES
from pages.ui.components.player import unpack
from pages.ui.lab.ising import charts, couplings, plane, races, states
from pages.ui.lab.ising import question as questions
from pages.ui.lab.ising.question import CouplingsQuestion, PlaneQuestion, StatesQuestion
from tests.pages.test_pages import APP, check

SMALL = CouplingsQuestion("lattice", 9, 2.0, 1000, 7)


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/minimum_probability_flow.py").run())


def run_all(question, names=tuple(ESTIMATORS)):
    for name in races.missing(question, list(names)):
        races.run(question, name)
    return races.found(question, list(names))


def latex(app):
    return " ".join(element.value for element in app.latex)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"topology": "full", "n_spins": "20", "spin_samples": "1000", "estimators": ["Minimum probability flow", "TAP"]},
        {"topology": "ferromagnet", "n_spins": "25", "spin_temperature": "3.0", "spin_samples": "500"},
        {
            "topology": "sparse",
            "n_spins": "36",
            "spin_samples": "500",
            "seed": "3",
            "estimators": ["Minimum probability flow", "MPF, neighbours outside the data"],
        },
        {"topology": "nonsense", "n_spins": "10", "spin_temperature": "-1", "spin_samples": "x", "estimators": "nobody", "seed": "-4"},
        {"topology": "lattice", "spin_temperature": "0.7", "spin_samples": "500", "n_spins": "12"},
    ],
)
def test_links_to_couplings_open(query):
    app = open_page(**query)
    assert not app.exception and not app.error
    assert len(app.get("bidi_component")) == 1 and len(app.dataframe) == 1 and len(app.get("vega_lite_chart")) >= 3


@pytest.mark.parametrize(
    "query",
    [
        {"flow_view": "states"},
        {"flow_view": "states", "state_data": "a", "energy_a": "-2.0", "energy_b": "2.0", "flow_epsilon": "0.3"},
        {"flow_view": "The idea: three states", "state_data": "abc"},
        {"flow_view": "states", "state_data": "nonsense", "energy_a": "9", "flow_epsilon": "nan"},
        {"flow_view": "plane", "plane_points": "100"},
        {"flow_view": "plane", "plane_case": "bent", "plane_points": "77"},
    ],
)
def test_links_to_the_other_views_open(query):
    app = open_page(**query)
    assert not app.exception and not app.error and len(app.get("bidi_component")) == 1 and app.latex


def test_the_table_has_the_errors_of_the_estimates():
    """The row of every estimator against its arrays; K of the estimate is below K of the truth."""
    app = open_page(n_spins="9", spin_samples="1000")
    rows = {row["Estimator"]: row for row in app.dataframe[0].value.to_dict("records")}
    true = races.true_pairs(SMALL)
    for name, race in races.found(SMALL, list(ESTIMATORS)).items():
        error = float(np.sqrt(np.square(race.pairs[-1] - true).mean()))
        assert rows[ESTIMATORS[name].title]["Error"] == f"{error:.4f}"
        assert error < 0.3
    found, truth = (float(re.match(r"[\d.]+", part)[0]) for part in latex(app).split("=")[-2:])
    assert found < truth


def test_a_search_is_compared_after_fixed_times():
    race = run_all(SMALL, ["flow"])["flow"]
    errors = races.errors(SMALL, race)
    assert races.after(SMALL, race, 1e-9) is None
    assert races.after(SMALL, race, float(race.seconds[2])) == pytest.approx(errors[2])
    assert races.after(SMALL, race, 60.0) == pytest.approx(errors[-1])
    times = races.milliseconds({"flow": race})
    shown = races.at_times(race, times)
    assert times == sorted(set(times)) and np.array_equal(shown[-1], race.pairs[-1])


def test_the_player_shows_true_against_estimated():
    found = run_all(SMALL, ["flow", "tap"])
    header, blocks = unpack(couplings._payload(SMALL, found))
    assert [panel["label"] for panel in header["panels"]] == ["MPF", "TAP"]
    last = blocks["flow/positions"][-1]
    assert np.allclose(last[:, 0], races.true_pairs(SMALL), atol=1e-3) and np.allclose(last[:, 1], found["flow"].pairs[-1], atol=1e-3)


def test_a_further_estimator_costs_its_own_time_alone():
    before = run_all(SMALL, ["flow"])["flow"]
    run_all(SMALL, ["flow", "mean_field"])
    assert races.found(SMALL, ["flow"])["flow"] is before


def test_much_work_waits_for_a_button():
    app = open_page(n_spins="100", spin_samples="5000", estimators=[ESTIMATORS[name].title for name in ("flow", "mean_field")])
    assert not app.get("bidi_component") and app.button(key="run_estimators")
    app.button(key="run_estimators").click()
    check(app.run())
    assert len(app.get("bidi_component")) == 1 and len(app.dataframe[0].value) == 2
    check(app.run())
    assert not [button for button in app.button if button.key == "run_estimators"], "what was run is kept"


def test_what_cannot_be_done_is_said():
    app = open_page(topology="ferromagnet", n_spins="9", spin_temperature="0.7", spin_samples="500")
    problems = [race.problem for race in races.found(CouplingsQuestion("ferromagnet", 9, 0.7, 500, 7), ["mean_field"]).values()]
    assert bool(app.warning) == any(problems)
    app = open_page(n_spins="36", spin_samples="500", estimators=[ESTIMATORS["likelihood"].title])
    assert any("left out for 36 spins" in text.value for text in app.caption)
    app = open_page(estimators="")
    assert not app.exception


def test_estimates_of_equal_spins_do_not_stop_the_page():
    """Samples of one state alone: mean field says why not, the others end."""
    question = CouplingsQuestion("ferromagnet", 9, 0.05, 500, 7)
    found = run_all(question)
    assert "singular" in found["mean_field"].problem and not len(found["tap"].seconds)
    assert all(np.isfinite(race.pairs).all() for race in found.values())


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_graph_has_an_edge_for_every_coupling(topology):
    model, _ = races.data(CouplingsQuestion(topology, 16, 2.0, 500, 7))
    K = model.couplings.numpy()
    chart = charts.graph_chart(K, model.fields.numpy(), model.places, False).to_dict()
    rows = chart["layer"][0]["data"]["values"]
    assert len({row["spins"] for row in rows}) == np.count_nonzero(np.triu(K, 1))
    assert all((row["sign"] == "negative") == (row["K"] < 0) for row in rows)


def test_true_couplings_stand_above_the_diagonal():
    true, estimated = np.full((3, 3), 1.0), np.full((3, 3), 2.0)
    rows = charts.matrix_chart(true, estimated, True).to_dict()["layer"][0]["data"]["values"]
    assert {(row["K"], row["what"], row["j"] > row["i"]) for row in rows} == {(1.0, "true", True), (2.0, "estimated", False)}


def test_three_states_show_both_objectives():
    app = open_page(flow_view="states", state_data="ab", energy_a="0.5", energy_b="-0.5")
    p = torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64)
    gamma = three_states.rates(torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64))
    assert f"{float(three_states.flow_out_of_the_data(p, gamma)):.4f}" in latex(app)
    assert f"{float(three_states.flow_to_all_neighbours(p, gamma)):.4f}" in latex(app)
    header, blocks = unpack(states._payload(StatesQuestion("ab", 0.5, -0.5, 0.1, 7)))
    likelihood = header["readouts"][0]["values"]
    model = three_states.boltzmann(torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64))
    assert likelihood == [pytest.approx(float(three_states.divergence(p, model)), rel=1e-4)]
    assert header["readouts"][2]["values"][0] == pytest.approx(0) and header["readouts"][2]["values"][-1] == pytest.approx(
        likelihood[0], rel=0.02
    )
    assert blocks["simplex/positions"].shape[:2] == (61, 24)


def test_with_data_everywhere_both_objectives_have_the_same_minimum():
    axis, likelihood, flow = states.objectives("abc", 0.01)
    assert likelihood.argmin() == flow.argmin()
    j, i = np.unravel_index(likelihood.argmin(), likelihood.shape)
    assert abs(axis[i] - np.log(0.2 / 0.5)) < 0.13 and abs(axis[j] - np.log(0.2 / 0.3)) < 0.13, "E_A − E_C = −log(p_A/p_C)"


def test_fits_converge_to_score_matching():
    found = plane.fits(PlaneQuestion("bent", 100, 7))
    for distances in (found.flow_distance, found.denoising_distance):
        values = list(distances.values())
        assert values == sorted(values, reverse=True) and values[-2] / values[-1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize(
    "python, words",
    [
        (questions.python_of_couplings(SMALL, ["flow", "tap"]), "root mean square error"),
        (questions.python_of_states(StatesQuestion("ab", 0.5, -0.5, 0.1, 7)), "K, out of the data"),
        (questions.python_of_plane(PlaneQuestion("gaussian", 100, 7)), "0.05 "),
    ],
)
def test_the_python_it_shows_runs(python, words, capsys):
    exec(python, {})
    assert words in capsys.readouterr().out


def test_the_python_finds_what_the_page_shows(capsys):
    race = run_all(SMALL, ["tap"])["tap"]
    exec(questions.python_of_couplings(SMALL, ["tap"]), {})
    assert f"error {races.errors(SMALL, race)[-1]:.4f}" in capsys.readouterr().out


def test_exports_hold_samples_couplings_and_curves():
    run_all(SMALL, ["flow"])
    app = open_page(n_spins="9", spin_samples="1000")
    labels = [button.proto.label for button in app.get("download_button")]
    assert {"CSV", "NPZ"} <= set(labels)
