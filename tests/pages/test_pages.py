"""Every page runs without an exception, with any control, and answers bad input in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.components.player import unpack
from pages.ui.components.sketch_pad import decode, encode
from pages.ui.controls.schedule import FIRST_POINTS, check_points, decode_points, encode_points
from pages.ui.kinds.points import forward, reverse
from pages.ui.kinds.points.source import FIRST_DRAWING, PointSource

APP = Path(__file__).resolve().parents[2] / "app.py"
PAGES = {"start": "DPM Explorer", "schedule": "Schedule", "forward": "Forward", "reverse": "Reverse"}


def open_page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return app.switch_page(f"pages/{name}.py").run() if name != "start" else app.run()


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception
    return app


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_with_its_stage(name):
    app = check(open_page(name))
    assert app.title[0].value == PAGES[name]
    assert not app.error
    assert len(app.get("bidi_component")) == 1


def test_forward_controls_reach_the_stage():
    app = check(open_page("forward"))
    app.selectbox(key="data").set_value("moons")
    app.selectbox(key="schedule").set_value("paper")
    app.number_input(key="T").set_value(7)
    check(app.run())
    assert not app.error
    code = app.code[0].value
    assert "make_dataset('moons')" in code and "make_schedule('paper', 7)" in code


def test_every_schedule_and_data_set_on_the_schedule_page():
    app = check(open_page("schedule"))
    from dpm_core.schedules import SCHEDULES

    app.multiselect(key="schedules").set_value(list(SCHEDULES))
    for data in ("checkerboard", "drawn", "upload"):
        app.selectbox(key="data").set_value(data)
        check(app.run())
        assert not app.error
    app.number_input(key="T").set_value(2)
    check(app.run())
    app.multiselect(key="schedules").set_value([])
    check(app.run())


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "probability_flow"])
def test_reverse_samplers_with_and_without_a_network(sampler):
    app = check(open_page("reverse"))
    app.selectbox(key="sampler").set_value(sampler)
    app.select_slider(key="particles").set_value(500)
    app.slider(key="steps_40").set_value(3)
    check(app.run())
    app.selectbox(key="model").set_value("exact")
    app.run()
    app.number_input(key="T").set_value(2)
    check(app.run())
    assert not app.error


def test_snippets_run(tmp_path):
    """The Python that a page offers runs as it stands."""
    import subprocess
    import sys

    exact = {"model": "Exact kernel, no network"}
    for name, query in (("schedule", {}), ("forward", {}), ("reverse", {}), ("reverse", exact), ("forward", {"data": "Draw your own"})):
        code = check(open_page(name, **query)).code[0].value.replace("3000", "50")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stderr)
        assert done.stdout.strip()


def test_nonsense_in_the_link_is_answered_by_defaults():
    nonsense = {"T": "banana", "seed": "-5", "schedule": "<script>", "data": "💥"}
    nonsense |= {"points": "1:2:3", "draw": "%%%", "pick": "9,9", "t": "x"}
    for name in ("forward", "reverse", "schedule"):
        app = check(open_page(name, **nonsense))
        assert not app.error
    assert app.number_input(key="T").value == 40


def test_hidden_controls_keep_their_values():
    app = check(open_page("forward", hide="T,schedule", T="12"))
    assert app.number_input(key="T").value == 12
    assert any(".st-key-T { display: none; }" in str(block.proto) for block in app.get("html"))


def test_presenter_mode_hides_the_sidebar():
    app = check(open_page("forward", present="1"))
    assert any("stSidebar" in str(block.proto) and "display: none" in str(block.proto) for block in app.get("html"))


def test_corrupt_checkpoint_is_one_sentence_and_the_page_lives(tmp_path, monkeypatch):
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    (tmp_path / "bad.json").write_text("{}")
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path))
    app = check(open_page("reverse"))
    app.selectbox(key="model").set_value("bad")
    check(app.run())
    assert len(app.error) == 1 and app.error[0].value.endswith(".")
    assert len(app.get("bidi_component")) == 1


def test_points_from_outside_are_checked():
    assert decode_points(encode_points(FIRST_POINTS)) == FIRST_POINTS
    for bad in ([[0, 0.1]], [[0, 0.1], [1, 2.0]], [[1, 0.1], [0, 0.1]], [[0, float("nan")], [1, 0.1]], "x", None, [[0, 0.1, 3], [1, 0.1]]):
        with pytest.raises(ValueError, match="custom schedule"):
            check_points(bad)


def test_drawing_travels_in_the_link():
    assert decode(encode(FIRST_DRAWING)) == FIRST_DRAWING
    app = check(open_page("forward", data="Draw your own", draw=encode([[10, 10, 200, 10, 100, 200, 40, 90]])))
    assert not app.error


def test_forward_payload_holds_the_law_it_claims():
    """The particles that are shown have the closed-form moments at every frame, in both panels."""
    from dpm_core.config import ScheduleConfig
    from pages.ui import cache

    schedule = ScheduleConfig("linear", 12)
    payload, _ = forward.recorded(PointSource("swiss_roll"), schedule, forward.ForwardSettings(5000, 3))
    header, blocks = unpack(payload)
    bars = cache.diffusion(schedule).schedule.alpha_bar(np.array(header["times"]))
    for panel in ("steps", "jump"):
        x = blocks[f"{panel}/positions"]
        # the data has variance 1, so q(x⁽ᵗ⁾) has too, and its covariance with the start is √ᾱ_t
        assert np.allclose(x.var(1), 1, atol=0.08)
        cross = ((x - x.mean(1, keepdims=True)) * (x[0] - x[0].mean(0))).mean((1, 2))
        assert np.allclose(cross, bars.sqrt().numpy(), atol=0.06)
    assert len(payload) < 5_000_000


def test_widget_keys_in_the_link_do_no_harm():
    app = check(open_page("schedule", data="Upload a CSV", csv="1", pad="1", curve="1", page="1", link="1"))
    check(app.switch_page("pages/forward.py").run())
    assert not app.error


@pytest.mark.parametrize("data", ["swiss_roll", "checkerboard"])
def test_reverse_payload_stays_under_five_megabytes(data):
    from dpm_core.config import ScheduleConfig
    from pages.ui.controls.sampler import SamplerConfig

    how = SamplerConfig(n=20000, steps=100)
    payload, left, *_ = reverse.reverse(None, PointSource(data), ScheduleConfig("log_snr", 100), how)
    assert len(payload) < 4_800_000  # a network's panel has one layer of arrows more: 60 kB
    assert len(left.times) == 101


def test_payload_stays_under_five_megabytes_at_the_largest_setting():
    from dpm_core.config import ScheduleConfig

    payload, steps = forward.recorded(PointSource("swiss_roll"), ScheduleConfig("paper", 500), forward.ForwardSettings(20000, 0))
    assert len(payload) < 5_000_000
    assert len(steps.times) == 101 and not np.isnan(steps.x).any()


def test_a_link_may_name_the_key_of_a_choice():
    """?data=moons as well as ?data=Two moons; nonsense gives the default."""
    assert check(open_page("forward", data="moons")).selectbox(key="data").value == "moons"
    assert check(open_page("forward", data="no_such")).selectbox(key="data").value == "swiss_roll"
