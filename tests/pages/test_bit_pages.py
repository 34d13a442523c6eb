"""Bits on every page that takes them: each opens with its stage, its numbers are those of the core, nonsense is one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints, jobs
from dpm_core.cli.main import main
from dpm_core.config import ScheduleConfig
from dpm_core.data.bits import make_bits
from pages.ui import cache
from pages.ui.components import bit_pad
from pages.ui.components.player import pack, unpack
from pages.ui.kinds.bits import bit_schedule, bit_stages, bit_work, completion, likelihood_bits
from pages.ui.kinds.bits.bit_controls import COLUMNS, FIRST_CELLS, ROWS, BitSource
from pages.ui.training import earlier_runs, session_runs
from tests.pages.test_bits import texts
from tests.pages.test_pages import APP, check

BEAT, PAPER = BitSource("heartbeat", (("jitter", 0), ("length", 20), ("period", 5))), ScheduleConfig("paper", 2000, (("beta_1", 1e-5),))
pytestmark = pytest.mark.usefixtures("own_folders")


def open_page(path: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page(f"pages/{path}.py").run())


@pytest.mark.parametrize("data", ["heartbeat", "ising", "binary_digits", "painted", "patterns"])
@pytest.mark.parametrize("page", ["schedule", "forward", "reverse"])
def test_every_set_on_every_page(page, data):
    query = {"data": data} | ({"model": "exact"} if page == "reverse" else {}) | ({"spins": "3"} if data == "ising" else {})
    app = open_page(f"{page}", **query)
    assert not app.error and "Take it with you" in texts(app)


def test_forward_says_what_is_left():
    """At t = 0 all of log₂ 5 bits are left, at t = T none; the raster's frames are those of the chain, packed."""
    shown = bit_work.forward(BEAT, PAPER, 30, 7, False)
    left = shown.numbers["information_bits"]
    assert left[0] == pytest.approx(np.log2(5), abs=1e-3) and left[-1] == pytest.approx(0, abs=1e-3) and left[0] >= left[50] >= left[-1]
    header, arrays = unpack(shown.payload)
    panel = header["panels"][0]
    assert panel["bits"] and (panel["n"], panel["height"], panel["width"]) == (1, 30, 20)
    bits = np.unpackbits(arrays["steps/pixels"], axis=-1)[:, : 30 * 20].reshape(len(shown.times), 30, 20)
    assert np.array_equal(bits, shown.x)
    told = arrays["told/pixels"].reshape(len(shown.times), 30, 20)
    assert np.array_equal(told[0], 255 * shown.x[0])


def test_aligned_rows_begin_with_their_first_pulse():
    x = make_bits("heartbeat").sample(12).numpy().astype(np.uint8)
    films = np.stack([1 - x, x])
    turned = bit_stages.aligned(films, bit_stages.first_pulses(x))
    assert (turned[1][:, 0] == 1).all() and np.array_equal(turned.sum(2), films.sum(2))
    assert np.array_equal(turned[0], 1 - turned[1])


def test_the_shipped_heartbeat_draws_heartbeats():
    """The issue's numbers: K ≥ −2.36 bits; of 10,000 samples in 50 steps at least 99.5 % valid, phases uniform (χ²₄ < 13.3, p > 0.01)."""
    header = checkpoints.read_header(checkpoints.list_checkpoints()["heartbeat_mlp"])
    assert header["bound_bits"] - 2 * header["bound_standard_error_bits"] > -2.36
    loaded = checkpoints.load("heartbeat_mlp")
    *_, (_, x) = bit_work._run(loaded.model, (20,), 50, 10_000, 0)
    valid = loaded.dataset.log_prob(x) > -np.inf
    counts = x[valid][:, :5].sum(0)
    assert float(valid.double().mean()) >= 0.995
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 13.3


def test_reverse_shows_a_checkpoint_beside_the_exact_kernel():
    app = open_page("reverse", model="heartbeat_mlp", align="true")
    assert not app.error
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    source = BitSource.of(checkpoints.load("heartbeat_mlp"))
    assert bit_work.judged(ref, source, PAPER, 50, 7).valid > 0.99
    shown = bit_work.reverse(ref, source, PAPER, 50, 64, 7, False)
    header, _ = unpack(shown.payload)
    assert [panel["role"] for panel in header["panels"]] == ["model", "exact"] and shown.numbers["undecided"][-1] == 0


def test_train_on_bits_step_by_step_to_a_checkpoint(own_folders):
    """A run from its first step; what it is kept as opens again with its noise, and can be taken up by name."""
    app = open_page("train", data="heartbeat", T_bits="20", max_steps_bits="30", batch_bits="64", rho="Half of all bits")
    assert not app.error and "sequences" not in texts(app)
    app.button(key="first_step").click()
    check(app.run())
    assert "in slow motion" in texts(app)
    (job,) = jobs.jobs()
    assert job.config.run.diffusion.rate == 0.5 and job.config.run.network.name == "bit_mlp"
    job.resume()
    until = time.monotonic() + 60
    while not job.done and time.monotonic() < until:
        time.sleep(0.05)
    check(app.run())
    assert job.status == "finished" and "best chain, bit by bit" in texts(app)
    path = job.save("mine")
    loaded = checkpoints.load(path)
    assert loaded.diffusion.rate == 0.5 and loaded.dataset.listed and loaded.shape == (20,)
    assert "--rate 0.5" in loaded.meta["command"] and "--data heartbeat" in loaded.meta["command"]
    cards = open_page("checkpoints")
    assert not cards.error and "mine" in texts(cards)


def test_a_persons_own_rows_keep_their_weights(own_folders):
    """A row given twice is twice as likely, on the pages as in the checkpoint."""
    (own_folders / "mine.csv").write_text("0,1,1,0\n0,1,1,0\n1,0,0,1\n")
    tiny = ["-T", "10", "--steps", "3", "--batch", "8", "--network-param", "width=8"]
    assert main(["train", "--data", str(own_folders / "mine.csv"), *tiny, "--name", "twice"]) == 0
    source = BitSource.of(checkpoints.load("twice"))
    assert cache.bits(source).weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    app = open_page("bound")
    check(app.selectbox(key="bits_of").set_value("twice").run())
    assert not app.error and f"{-0.918:.2f} bits".replace("-", "−") in texts(app)
    assert not open_page("reverse", model="twice").error


def test_bound_of_a_run_with_too_many_patterns_to_sum_over(own_folders):
    """K per sequence alone, and a sentence why; the job trains on."""
    app = open_page("train", data="heartbeat", period="3", jitter="1", T_bits="10", max_steps_bits="20", batch_bits="32")
    app.button(key="start").click()
    check(app.run())
    job = session_runs.known()[0]
    assert job.join(60)
    check(app.switch_page("pages/bound.py").run())
    check(app.selectbox(key="bits_of").set_value(f"run {job.id}").run())
    assert "too many patterns of bits to sum over" in texts(app) and "per datum" in texts(app) and not app.error


def test_bits_that_cannot_be_had_are_said_in_a_sentence():
    for page, query in {"reverse": {"model": "exact"}, "bound": {"bits_of": "exact"}, "forward": {}}.items():
        app = open_page(page, data="heartbeat", jitter="3", **query)
        assert [error.value for error in app.error] == [
            "Beats may come early or late by less than half a period, so that none overtakes another."
        ]
    app = open_page("bound", bits_of="exact", data="binary_digits")
    assert "too many patterns" in app.error[0].value


def test_a_run_of_bits_taken_up_again_is_the_controls_run(own_folders):
    app = open_page("train", data="heartbeat", T_bits="10", max_steps_bits="20", batch_bits="32")
    app.button(key="start").click()
    check(app.run())
    (job,) = jobs.jobs() or [session_runs.known()[0]]
    assert job.join(60)
    (info,) = jobs.runs()
    setup = session_runs.set_up(job)
    assert earlier_runs.source_of(setup, info) == setup.source


def test_black_and_white_digits_do_not_fill_grey_ones():
    grey = open_page("inpaint", picture_name="digits")
    assert grey.selectbox(key="filler_small").value == "digits_unet"
    bits = open_page("inpaint", picture_name="binary_digits")
    assert bits.selectbox(key="filler_small").value == "binary_digits_unet"


def test_bound_splits_bits():
    app = open_page("bound")
    check(app.selectbox(key="bits_of").set_value("heartbeat_mlp").run())
    said = texts(app)
    assert not app.error and "The best bit-by-bit chain" in said and "−14.44 bits" in said and "per datum" in said
    check(app.selectbox(key="bits_of").set_value("binary_digits_unet").run())
    assert not app.error and "per pixel" in texts(app)


def test_the_likelihood_of_bits(monkeypatch):
    """Jarzynski's estimate meets log₂ (1/5) within its error for a heartbeat; what is none is said to be none."""
    monkeypatch.setattr(likelihood_bits, "WORK", 400_000)
    app = open_page("likelihood", bits_at="10000" * 4)
    check(app.selectbox(key="likelihood_of").set_value("heartbeat_mlp").run())
    assert not app.error and "−2.32 bits" in texts(app)
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    found = likelihood_bits.estimate(ref, "10000" * 4, 7)
    assert abs(float(found.log_prob[0]) / np.log(2) + np.log2(5)) < 4 * float(found.standard_error[0]) / np.log(2) + 0.05
    app.session_state["bits_at"] = "11000" * 4
    check(app.run())
    assert not app.error and "no pattern of the data" in texts(app)


def test_completing_a_sequence():
    """Held bits stay; the exact completions are the patterns that fit; bits that no pattern has are one sentence, and stay held."""
    app = open_page("inpaint", picture_name="bits")
    assert not app.error and "Distance to the exact posterior" in texts(app)
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    source = BitSource.of(checkpoints.load("heartbeat_mlp"))
    cells = "00" + 18 * "."
    done = completion.complete(ref, source, PAPER, cells, "clean", 20, 7)
    exact = {row["pattern"]: row["percent"] for row in done.rows if row["whose"] == "exact"}
    assert len(exact) == 3 and sum(exact.values()) == pytest.approx(100) and all(p.startswith("00") for p in exact)
    assert done.floor < min(done.distances.values()) < 0.5
    *_, (_, x) = completion._run(cache.model(ref).model, cells, "noised", 20, 50, 1)
    assert float(x[:, :2].sum()) == 0
    app.session_state["held"] = "11" + 18 * "."
    check(app.run())
    assert [error.value for error in app.error] == ["No pattern in the data agrees with the known bits; fix fewer bits."]
    assert app.session_state["held"].startswith("11")


@pytest.mark.parametrize("page, query", [
    ("forward", {"data": "heartbeat"}),
    ("forward", {"data": "painted"}),
    ("reverse", {"model": "heartbeat_mlp"}),
    ("reverse", {"model": "exact", "data": "heartbeat"}),
    ("bound", {"bits_of": "Heartbeat · MLP · T = 2000"}),
    ("likelihood", {"likelihood_of": "Heartbeat · MLP · T = 2000"}),
    ("inpaint", {"picture_name": "bits"}),
])  # fmt: skip
def test_snippets_run(page, query):
    """The Python that a page offers runs as it stands."""
    app = open_page(page, **query)
    done = subprocess.run([sys.executable, "-c", app.code[0].value], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_links_with_nonsense_are_ignored():
    for cells in ("01x", "0" * 3):
        app = open_page("forward", data="painted", cells=cells)
        assert not app.error and app.session_state["cells"] == FIRST_CELLS
    app = open_page("inpaint", picture_name="bits", held="2222")
    assert not app.error and app.session_state["held"] == "00" + 18 * "."
    app = open_page("likelihood", likelihood_of="Heartbeat · MLP · T = 2000", bits_at="01")
    assert not app.error and len(app.session_state["bits_at"]) == 20
    assert len(FIRST_CELLS) == ROWS * COLUMNS
    for cells, free in (("0.", False), ("012", True), (None, True), ("0" * 5, True)):
        with pytest.raises(ValueError, match="cells"):
            bit_pad.check(cells, 3, free)


def test_flips_and_information_over_t():
    """Of data as active as the noise step t flips 2ρ(1−ρ)β_t of the bits; the bits destroyed add up to H."""
    process = cache.flips(BEAT, PAPER)
    wanted = 100 * 2 * 0.2 * 0.8 * process.schedule.betas.numpy()
    np.testing.assert_allclose(bit_schedule.flipping(process, 0.2), wanted, rtol=1e-9)
    x = torch.zeros(1, 1, dtype=torch.float64)
    half = bit_schedule.flipping(cache.flips(BitSource("heartbeat", rate=0.5), PAPER), 0.0)
    np.testing.assert_allclose(half[0], 100 * float(cache.flips(BitSource("heartbeat", rate=0.5), PAPER).q_step(x, 1).probs), rtol=1e-9)
    assert bit_schedule.destroyed(BEAT, PAPER).sum() == pytest.approx(np.log2(5), rel=0.06)
    short = ScheduleConfig("constant", 2, (("beta", 0.3),))
    assert bit_schedule.left_bits(BEAT, PAPER) == 0 and bit_schedule.left_bits(BEAT, short) > 0.1


def test_a_long_raster_is_small():
    """200 rows of 64 bits at 500 times take less than a megabyte."""
    x = (np.random.default_rng(0).random((500, 200, 64)) < 0.3).astype(np.uint8)
    stage = bit_stages.Stage((bit_stages.panel("left", "bits", "model", x),), range(500), 500)
    payload = pack(stage)
    assert len(payload) <= 1_000_000
    arrays = unpack(payload)[1]
    assert np.array_equal(np.unpackbits(arrays["left/pixels"], axis=-1)[3, : 200 * 64].reshape(200, 64), x[3])


@pytest.mark.parametrize("text, sentence", [(b"0,1,2\n", "Row 1 holds '2'"), (b"011\n01\n", "Row 2 has 2 values"), (b"", "no patterns")])
def test_a_bad_file_leaves_what_was_there(text, sentence, monkeypatch):
    from pages.ui.kinds.bits import bit_controls

    app = open_page("forward", data="patterns")
    kept: dict = {}
    monkeypatch.setattr(bit_controls.st, "session_state", kept)
    said = bit_controls._read("mine.csv", text)
    assert said.startswith("mine.csv: ") and re.search(sentence, said) and not kept
    assert bit_controls._read("good.csv", b"0110\n1001\n") == "" and kept["own_bits"].size == (2, 4)
    assert not app.error
