"""A kind of data is one object behind one protocol: a fourth one is a folder and one line in the registry."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import IMAGE_RUN
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.process import make_diffusion
from dpm_core.reverse import build_model
from pages.ui import kinds
from pages.ui.components.player import unpack
from pages.ui.kinds.base import Kind
from pages.ui.kinds.images.source import ImageSource
from pages.ui.kinds.runs import Setup
from tests.pages.line_kind.data import LineData, LineDataset

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def line(own_folders, monkeypatch):
    """The one line that enters the fourth kind."""
    from tests.pages.line_kind import LINE

    monkeypatch.setitem(DATA_KINDS, "line", LineData())
    monkeypatch.setitem(kinds.KINDS, LINE.name, LINE)
    return LINE


@pytest.fixture(autouse=True)
def no_fourth_kind_left():
    yield
    DATA_KINDS.pop("line", None)


def open_page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page(f"pages/{name}.py").run())


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


def stage(app: AppTest) -> dict:
    """The header of the one player on the page."""
    return unpack(next(bytes(part.proto.bytes) for part in app.get("bidi_component") if bytes(part.proto.bytes)[:4] == b"DPM1"))[0]


def saved_model(folder: Path) -> None:
    run = LineData().usual_run(LineDataset(), LineData().make("two_bumps")[1])
    model = build_model(run.network, make_diffusion(run), (1,))
    checkpoints.save(Checkpoint("bumps", model, run, LineDataset(), {"steps": 0, "parameters": 1}), folder)


def test_a_fourth_kind_opens_forward(line):
    app = open_page("forward", data="two_bumps", T="9")
    assert not app.error and app.selectbox(key="data").value == "two_bumps"
    assert stage(app)["T"] == 9 and stage(app)["panels"][0]["label"] == "on the line"


def test_a_fourth_kind_opens_reverse(line, own_folders):
    saved_model(own_folders / "models")
    app = open_page("reverse", model="bumps")
    assert not app.error and "standard deviation" in app.caption[0].value + app.caption[-1].value + app.caption[1].value
    assert app.selectbox(key="model").options[-2].startswith("Two bumps") or "Two bumps" in " ".join(app.selectbox(key="model").options)
    assert stage(app)["name"] == "dpm-line"


def test_a_fourth_kind_is_trained_on_the_train_page(line):
    app = open_page("train", data="two_bumps")
    assert not app.error and stage(app)["panels"][0]["label"] == "untrained network"
    app.number_input(key="max_steps_line").set_value(20)
    check(app.run())
    check(app.button(key="start").click().run())
    (job,) = jobs.jobs()
    for _ in range(200):
        if job.status == "finished":
            break
        time.sleep(0.1)
    assert job.status == "finished" and job.step == 20, job.message
    assert stage(check(app.run()))["panels"][0]["label"] == "samples"


def test_pages_that_the_fourth_kind_lacks_say_so(line, own_folders):
    saved_model(own_folders / "models")
    app = open_page("likelihood", likelihood_of="bumps")
    assert "The Likelihood page does not show numbers" in app.info[0].value
    app = open_page("bound", bits_of="bumps")
    assert "The Bound page does not show numbers" in app.error[0].value
    assert not open_page("checkpoints").error


def test_every_kind_fulfils_the_protocol():
    """No kind lacks an abstract method, and each is found by its sources, its data names and its menu."""
    for name, kind in kinds.KINDS.items():
        assert isinstance(kind, Kind) and kind.name == name and not type(kind).__abstractmethods__
        for menu_name in kind.titles():
            assert kinds.owner(menu_name) is kind
        for data_name in DATA_KINDS[name].names():
            assert kinds.of_data(data_name) is kind
    for kind in kinds.KINDS.values():
        assert set(kind.titles(exact=True)) <= set(kind.titles())
    with pytest.raises(ValueError, match="Unknown data set"):
        kinds.of_data("doughnut")


def test_no_page_asks_which_kind_it_has():
    """Outside the kinds' own folders no code tests the type of a source, of a data set or of a diffusion."""
    forbidden = {"PointSource", "ImageSource", "BitSource", "PlaneDataset", "ImageSpec", "ImageDataset", "BitSpec", "BitDataset"}
    forbidden |= {"GaussianDiffusion", "BinomialDiffusion", "EmpiricalReverse", "EmpiricalBits"}
    for path in (ROOT / "pages").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                names = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                assert not names & forbidden, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("name", list(kinds.KINDS))
def test_held_out_data_are_as_many_as_stated_and_always_the_same(name):
    kind = kinds.KINDS[name]
    source = {"points": "moons", "images": "digits", "bits": "heartbeat"}[name]
    from pages.ui.kinds.bits.source import BitSource
    from pages.ui.kinds.images.source import ImageSource
    from pages.ui.kinds.points.source import PointSource

    made = {"points": PointSource, "images": ImageSource, "bits": BitSource}[name](source)
    x = kind.held_out(made)
    assert len(x) == kind.training.held_out and tuple(x.shape[1:]) == tuple(kind.dataset(made).shape)
    assert torch.equal(x, kind.held_out(made))


@pytest.mark.parametrize(("name", "independent"), [("brick", 16), ("digits", 359)])
def test_a_run_counts_what_is_independent(name, independent):
    """The 360 held-out cuts of a photograph come from 16 tiles of twice their side; the 359 held-out digits are independent."""
    data = Setup(ImageSource(name), jobs.JobConfig("run", IMAGE_RUN)).data()
    assert len(data["groups"]) == len(data["held_out"]) == 360 and len(data["groups"].unique()) == independent
