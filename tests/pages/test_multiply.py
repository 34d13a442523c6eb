"""The Multiply page: every r, its link, what it says of the numbers, and bad input."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dpm_core.config import ScheduleConfig
from pages.ui.components.player import unpack
from pages.ui.components.sketch_pad import encode
from pages.ui.kinds.points.source import PointSource
from pages.ui.posterior import multiply_compute, multiply_views
from pages.ui.posterior.multiply_compute import Draw, Question
from pages.ui.posterior.multiply_controls import AXES, FACTORS, FIRST_PAINTING, FactorConfig
from tests.pages.test_pages import APP, check

ROLL, LOG_SNR = PointSource("swiss_roll"), ScheduleConfig("log_snr", 40)
FEW = {"samples": "1000"}


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = {**FACTORS, **AXES}.get(value, value)  # what stands in the link is the title
    return check(app.switch_page("pages/multiply.py").run())


def stages(app: AppTest) -> int:
    return len(app.get("bidi_component"))


def code(app: AppTest) -> str:
    return app.code[0].value


@pytest.mark.parametrize("kind", FACTORS)
def test_every_r_opens_with_its_stage(kind):
    app = open_page(r=kind, **FEW)
    assert app.title[0].value == "Multiply" and not app.error and not app.info
    assert stages(app) == (2 if kind == "painted" else 1)  # with the pad
    words = " ".join(block.value for block in app.markdown)
    assert "Distance to the exact product p̃ (total variation, relative to 1,000 independent draws of p̃)" in words and "exact rₜ" in words
    assert len(app.get("vega_lite_chart")) == (5 if kind == "known" else 1)


def test_the_link_holds_all_of_r_and_the_seed():
    app = open_page(r="ring", r_radius="0.8", r_width="0.3", seed="11", T="25", jump="3", **FEW)
    assert app.selectbox(key="r").value == "ring" and app.slider(key="r_radius").value == 0.8
    assert "ring(0.8, 0.3)" in code(app) and "manual_seed(11)" in code(app) and "25)" in code(app)
    app = open_page(r="known", r_axis="x2", r_c="-0.5", jump="3", resamplings="4", **FEW)
    assert "Inpaint(torch.tensor([True, False]), torch.full((2,), -0.5))" in code(app) and "jump=3, resamplings=4" in code(app)
    app = open_page(r="painted", r_strokes=encode([[10, 128, 240, 128]]), r_brush="0.3", **FEW)
    assert "np.array([[-2.765, 0.012], [2.647, 0.012]])], 0.3)" in code(app)


def test_controls_reach_the_stage_and_are_all_in_the_link():
    app = open_page(**FEW)
    app.slider(key="r_angle").set_value(-45.0)
    app.slider(key="r_softness").set_value(0.3)
    app.selectbox(key="data").set_value("moons")
    check(app.run())
    assert "half_plane(-45.0, 0.0, 0.3)" in code(app) and "make_dataset('moons')" in code(app)
    shown = {widget.key for kind in ("slider", "selectbox", "number_input", "select_slider") for widget in app.get(kind)}
    assert {"r", "r_angle", "r_offset", "r_softness", "data", "schedule", "T", "samples", "seed"} <= shown
    assert shown <= app.session_state["bound"]


@pytest.mark.parametrize(
    "query, words",
    [
        ({"r": "known", "r_c": "2.9"}, "No data near 2.9 in this coordinate: choose a value between −1.73 and 1.60."),
        ({"r": "observation", "r_y1": "3", "r_y2": "3", "r_sigma": "0.05"}, "r is zero wherever the data are"),
        ({"r": "half_plane", "r_offset": "3", "r_softness": "0.02"}, "r is zero wherever the data are"),
    ],
)
def test_r_that_is_zero_on_all_data_is_one_sentence(query, words):
    app = open_page(**query, **FEW)
    assert len(app.error) == 1 and words in app.error[0].value
    assert stages(app) == 1 and "half_plane(0.0, 0.0, 0.1)" in code(app)


def test_the_last_good_r_stays():
    app = open_page(r="ring", **FEW)
    app.slider(key="r_radius").set_value(3.0)
    app.slider(key="r_width").set_value(0.04)
    check(app.run())
    assert len(app.error) == 1 and "ring(1.2, 0.2)" in code(app) and app.slider(key="r_radius").value == 3.0
    app.slider(key="r_radius").set_value(0.5)
    check(app.run())
    assert not app.error and "ring(0.5, 0.04)" in code(app)


def test_an_empty_painting_and_nonsense_in_the_link():
    app = open_page(r="painted", r_strokes="", **FEW)
    assert not app.error and stages(app) == 2
    app = open_page(r="painted", r_strokes="%%%", r_brush="wide", **FEW)
    assert not app.error and FactorConfig("painted", (0.25,), encode(FIRST_PAINTING)).python() in code(app)
    app = open_page(r="banana", r_angle="x", samples="7", jump="-2", r_c="nan")
    assert not app.error and "half_plane(0.0, 0.0, 0.1)" in code(app)


@pytest.mark.parametrize("kind", FACTORS)
def test_the_snippet_runs_and_prints_the_distances_on_the_page(kind):
    app = open_page(r=kind, resamplings="2", **FEW)
    done = subprocess.run([sys.executable, "-c", code(app)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    r = {"half_plane": FactorConfig(), "known": FactorConfig("known", (0, 0.5))}.get(kind)
    if r:
        runs = multiply_compute.runs(Question(ROLL, LOG_SNR, r), Draw(1000, 7, 1, 2 if r.is_delta else 10))
        printed = [[float(line.split()[i]) for i in (-3, -1)] for line in done.stdout.splitlines()[:-1]]
        assert np.allclose(printed, [[run.total_variation[-1], run.error] for run in runs.values()], atol=2e-3)


def test_the_rules_in_numbers():
    """A perfect kernel, 4,000 samples: the exact rₜ within 0.01 of the floor, clamping far from it, RePaint between, by its calls."""
    question, draw = Question(ROLL, LOG_SNR, FactorConfig("known", (0, 0.5))), Draw()
    truth, runs = multiply_compute.product(question), multiply_compute.runs(question, draw)
    floor, _ = truth.monte_carlo_floor(draw.n)
    distance = {rule: run.total_variation[-1] for rule, run in runs.items()}
    assert distance["exact"] < floor + 0.01 and min(distance["clean"], distance["noised"]) > 0.15
    assert distance["exact"] < distance["repaint"] < 0.5 * distance["clean"]
    assert [runs[rule].calls for rule in ("clean", "exact", "repaint")] == [40, 40, 391]
    for run in runs.values():  # what is known comes out exactly, and the path ends at t = 0
        assert np.all(run.x[:, 0] == np.float32(0.5)) and run.path.times[-1] == 0 and len(run.total_variation) == 41
    words = multiply_views.summary(question, truth, draw, runs)
    assert f"noise-free clamp {distance['clean'] / floor:.1f} ×" in words and f"exact rₜ {distance['exact'] / floor:.1f} ×" in words
    assert "What remains" not in words, "the exact rₜ reaches the floor"


def test_the_summary_follows_the_numbers():
    """Where all rules reach the floor the ratios say so; where T = 2 Gaussian steps are too few for the exact one too, it says that."""
    wide = Question(ROLL, LOG_SNR, FactorConfig("half_plane", (0.0, -3.0, 0.02)))
    truth, draw, runs = _made(wide)
    words = multiply_views.summary(wide, truth, draw, runs)
    floor, spread = truth.monte_carlo_floor(draw.n)
    ends = [run.total_variation[-1] for run in runs.values()]
    assert max(ends) <= floor + max(3 * spread, 0.01), "every rule comes as near as so many draws of p̃ do"
    assert re.findall(r"(\d+\.\d) ×", words) == [f"{end / floor:.1f}" for end in ends] and "What remains" not in words
    short = Question(ROLL, ScheduleConfig("log_snr", 2), FactorConfig())
    assert "the cost of 2 Gaussian steps" in multiply_views.summary(short, *_made(short))


def _made(question: Question):
    draw = Draw(1000)
    return multiply_compute.product(question), draw, multiply_compute.runs(question, draw)


def test_a_rule_under_which_samples_diverge_is_reported():
    """A steep r held constant throws samples far out, or has no slope any more: a sentence, distance 1 at most, no exception."""
    question = Question(ROLL, ScheduleConfig("paper", 40), FactorConfig("ring", (1.2, 0.04)))
    _, draw, runs = _made(question)
    assert all(0 <= value <= 1 for run in runs.values() for value in run.total_variation)
    lost = dict(runs, constant=runs["constant"]._replace(x=np.full((1000, 2), np.nan)))
    assert "100 % with r constant in t (paper)" in multiply_views.lost_samples(question, lost)
    assert multiply_views.payload(question, draw)


def test_the_largest_stage_fits_the_player():
    question, draw = Question(PointSource("moons"), ScheduleConfig("log_snr", 300), FactorConfig("known", (1, 0.1))), Draw(10_000, 7, 1, 1)
    payload = multiply_views.payload(question, draw)
    header, _ = unpack(payload)
    assert len(payload) < 4_800_000 and len(header["panels"]) == len(header["readouts"]) == 4 and header["T"] == 300
    assert header["times"][0] == 300 and header["times"][-1] == 0
