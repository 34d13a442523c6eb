"""The Hamiltonian Monte Carlo page: its three views, numbers that hold, a clicked chain, and the Python it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.lab import hamiltonian
from pages.ui import cache
from pages.ui.components.player import unpack
from pages.ui.kinds.points.source import PointSource
from pages.ui.lab.hmc import charts, compute, more_views, targets, views
from pages.ui.lab.hmc.question import Question, python_of
from tests.pages.test_pages import APP, check

FAST = {"chains": "50", "leapfrog_steps": "2"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A comparison that takes no time."""
    monkeypatch.setattr(compute, "BUDGET", 60.0)
    monkeypatch.setattr(compute, "BUDGET_OF_DATA", 60.0)
    monkeypatch.setattr(compute, "COMPARED", 20)


def open_page(**query) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/hamiltonian_monte_carlo.py").run())


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"density": "gaussian_100", "chains_start": "spread", "look_ahead": "1"},
        {"density": "points", "data": "moons", "density_level": "0.3", "pick": "30,7"},
        {"density": "checkpoint", "energy_of": "swiss_roll_rbf"},
        {"density": "nonsense", "leap": "-1", "look_ahead": "99", "pick": "a,b", "hmc_view": "none"},
        {"pick": "100000,100000", "corruption": "nan"},
    ],
)
def test_links_open(query):
    app = open_page(**FAST, **query)
    assert not app.exception and not app.error
    assert any("| Random walk |" in element.value for element in app.markdown)
    assert any("Ladder of chain" in element.value for element in app.markdown)


def test_cycle_opens_with_the_exact_gap():
    app = open_page(hmc_view="cycle", asymmetry="0")
    assert not app.exception and any("2.648" in html.proto.body for html in app.get("html"))


def test_figure_is_recomputed(monkeypatch):
    monkeypatch.setattr(more_views, "BUDGETS", (6000, 6001))
    monkeypatch.setattr(more_views, "READ_AT", 100.0)
    monkeypatch.setattr(more_views.jobs, "stream", lambda function, gradients, seed: function(500.0, seed))
    app = open_page(hmc_view="figure")
    rows = next(e.value for e in app.markdown if "Autocorrelation after" in e.value).splitlines()[2:]
    assert not app.exception and len(rows) == 3
    assert all(-0.2 < float(cell.split()[0]) <= 1 for row in rows for cell in row.replace("−", "-").split("|")[2:4])


def points(**settings):
    return Question("points", PointSource("moons"), level=0.3, step_size=0.1, n=50, **settings)


def checkpoint():
    return cache.ModelRef.of(checkpoints.list_checkpoints()["swiss_roll_mlp"])


def test_chains_that_start_in_equilibrium_stay_there():
    """The second moment of 50 chains over 120 steps is the exact one within 10 %; from one point it begins far from it."""
    spread = points(spread=True)
    for name in views.PANELS:
        moments = compute.second_moments(spread, compute.chains(spread, name))
        assert np.mean(moments) == pytest.approx(1, abs=0.1), name
    one = compute.chains(points(), "look_ahead")
    assert one.x[0].std(0).max() < 1e-12 and one.x[-1].std(0).min() > 0.2


def test_exact_samples_of_data_have_the_moments_of_the_target():
    target = targets.target(points())
    x = target.sample(20000, torch.Generator().manual_seed(1))
    assert torch.allclose(x.mean(0), target.mean, atol=0.02)
    assert float((x - target.mean).square().sum(1).mean()) == pytest.approx(target.second, rel=0.02)


def test_reverse_process_samples_the_same_density():
    question = points()
    x = targets.reversed_samples(question, 2000).double()
    target = targets.target(question)
    assert float((x - target.mean).square().sum(1).mean()) == pytest.approx(target.second, rel=0.06)
    assert 0 < target.reverse < 40


def test_ladder_is_that_of_the_chain():
    """Probabilities sum to 1 with the reversal, and the first one is the Metropolis probability."""
    question = Question(n=50)
    for frame, chain in ((1, 0), (40, 7)):
        found = compute.ladder_of(question, frame, chain)
        assert sum(found.probabilities) + found.reversal == pytest.approx(1)
        assert found.probabilities[0] == pytest.approx(min(1.0, np.exp(-found.energies[1])))
    x, v = (part[40, 7][None] for part in compute.chains(question, "look_ahead")[:2])
    energy = targets.target(question).energy
    assert found.energies[1] == pytest.approx(
        float(hamiltonian.ladder(energy, x, v, step_size=1.0, leapfrog_steps=10, look_ahead=1)[1] @ torch.tensor([[-1.0], [1.0]]).double())
    )


def test_crosses_mark_the_chains_that_turned():
    question = Question(n=50)
    header, arrays = unpack(views._payload(question))
    turned = (compute.chains(question, "hmc").distance == 0).sum(1).tolist()
    assert arrays["hmc/reversals/lines"].tolist() == [2 * count for count in turned]
    assert [panel["label"] for panel in header["panels"]] == ["look-ahead HMC", "standard HMC"]


def test_range_of_the_chart_follows_the_slowest():
    def curve(values):
        return compute.Compared([0, 100, 200], compute.Autocorrelation(torch.tensor(values), torch.zeros(3)), None, 1, 1, 1)

    assert compute.range_shown({"a": curve([1, 0.01, 0]), "b": curve([1, 0.5, 0.01])}) == 300
    assert compute.range_shown({"a": curve([1, 0.9, 0.5])}) == compute.LONGEST


def test_every_sampler_has_a_look():
    assert set(compute.TITLES) | {"reverse"} == set(charts.INK) == set(charts.DASH)


@pytest.mark.parametrize(
    "question",
    [
        Question(n=50),
        points(),
        points(spread=True),
        Question("checkpoint", PointSource("swiss_roll"), checkpoint(), 0.3, 0.1, n=50),
    ],
)
def test_the_python_makes_the_chains_of_the_page(question, capsys):
    found: dict = {}
    exec(python_of(question), found)
    assert torch.allclose(found["x"], compute.chains(question, "look_ahead").x[-1])
    assert "tensor" in capsys.readouterr().out
