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
from pages.ui.inpainting import bit_completion
from pages.ui.kinds import runs
from pages.ui.kinds.bits import cached, likelihood, recordings, schedule, stages
from pages.ui.kinds.bits import source as bit_source
from pages.ui.kinds.bits.source import COLUMNS, FIRST_CELLS, ROWS, BitSource
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
    assert not app.error and "Export" in texts(app)


def test_forward_says_what_is_left():
    """At t = 0 all of log₂ 5 bits are left, at t = T none; the raster's frames are those of the chain, packed."""
    shown = recordings.forward(BEAT, PAPER, 30, 7, False)
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
    turned = stages.aligned(films, stages.first_pulses(x))
    assert (turned[1][:, 0] == 1).all() and np.array_equal(turned.sum(2), films.sum(2))
    assert np.array_equal(turned[0], 1 - turned[1])


def test_the_shipped_heartbeat_draws_heartbeats():
    """The issue's numbers: K ≥ −2.36 bits; of 10,000 samples in 50 steps at least 99.5 % valid, phases uniform (χ²₄ < 13.3, p > 0.01)."""
    header = checkpoints.read_header(checkpoints.list_checkpoints()["heartbeat_mlp"])
    assert header["bound_bits"] - 2 * header["bound_standard_error_bits"] > -2.36
    loaded = checkpoints.load("heartbeat_mlp")
    *_, (_, x) = recordings._run(loaded.model, (20,), 50, 10_000, 0)
    valid = loaded.dataset.log_prob(x) > -np.inf
    counts = x[valid][:, :5].sum(0)
    assert float(valid.double().mean()) >= 0.995
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 13.3


def test_reverse_shows_a_checkpoint_beside_the_exact_kernel():
    app = open_page("reverse", model="heartbeat_mlp", align="true")
    assert not app.error
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    source = BitSource.of_checkpoint(checkpoints.load("heartbeat_mlp"))
    assert recordings.check_samples(ref, source, PAPER, 50, 7).valid > 0.99
    shown = recordings.reverse(ref, source, PAPER, 50, 64, 7, False)
    header, _ = unpack(shown.payload)
    assert [panel["role"] for panel in header["panels"]] == ["model", "exact"] and shown.numbers["to_flip"][-1] == 0


def test_train_on_bits_step_by_step_to_a_checkpoint(own_folders):
    """A run from its first step; what it is kept as opens again with its noise, and can be taken up by name."""
    app = open_page("train", data="heartbeat", T_bits="20", max_steps_bits="30", batch_bits="64", rho="One half")
    assert not app.error and "sequences" not in texts(app)
    app.button(key="first_step").click()
    check(app.run())
    assert "Training step 1 in detail" in texts(app)
    (job,) = jobs.jobs()
    assert job.config.run.diffusion.rate == 0.5 and job.config.run.network.name == "bit_mlp"
    job.resume()
    until = time.monotonic() + 60
    while not job.done and time.monotonic() < until:
        time.sleep(0.05)
    check(app.run())
    assert job.status == "finished" and "best K with independent-bit steps" in texts(app)
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
    source = BitSource.of_checkpoint(checkpoints.load("twice"))
    assert bit_source.dataset(source).weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    app = open_page("bound")
    check(app.selectbox(key="bits_of").set_value("twice").run())
    assert not app.error and f"{-0.918:.2f} bits".replace("-", "−") in texts(app)
    assert not open_page("reverse", model="twice").error


def test_bound_of_a_run_with_too_many_patterns_to_sum_over(own_folders):
    """K per sequence alone, and a sentence why; the job trains on."""
    app = open_page("train", data="heartbeat", period="3", jitter="1", T_bits="10", max_steps_bits="20", batch_bits="32")
    app.button(key="start").click()
    check(app.run())
    job = runs.known()[0]
    assert job.join(60)
    check(app.switch_page("pages/bound.py").run())
    check(app.selectbox(key="bits_of").set_value(f"run {job.id}").run())
    assert "too many patterns of these bits to sum over" in texts(app) and "per datum" in texts(app) and not app.error


def test_bits_that_cannot_be_had_are_said_in_a_sentence():
    for page, query in {"reverse": {"model": "exact"}, "bound": {"bits_of": "exact"}, "forward": {}}.items():
        app = open_page(page, data="heartbeat", jitter="3", **query)
        assert [error.value for error in app.error] == [
            "The jitter is 3; choose less than half a period of 5, so that no beat overtakes another."
        ]
    app = open_page("bound", bits_of="exact", data="binary_digits")
    assert "too many patterns" in app.error[0].value


def test_a_run_of_bits_taken_up_again_is_the_controls_run(own_folders):
    app = open_page("train", data="heartbeat", T_bits="10", max_steps_bits="20", batch_bits="32")
    app.button(key="start").click()
    check(app.run())
    (job,) = jobs.jobs() or [runs.known()[0]]
    assert job.join(60)
    (info,) = jobs.runs()
    setup = runs.setup_of(job)
    assert runs.source_of(info.name, info.config.run, setup) == setup.source


def test_black_and_white_digits_do_not_fill_grey_ones():
    grey = open_page("inpaint", picture_name="digits")
    assert grey.selectbox(key="filler_small").value == "digits_unet"
    bits = open_page("inpaint", picture_name="binary_digits")
    assert bits.selectbox(key="filler_small").value == "binary_digits_unet"


def test_bound_splits_bits():
    app = open_page("bound")
    check(app.selectbox(key="bits_of").set_value("heartbeat_mlp").run())
    said = texts(app)
    assert not app.error and "Best K with independent-bit steps" in said and "−14.44 bits" in said and "per datum" in said
    check(app.selectbox(key="bits_of").set_value("binary_digits_unet").run())
    assert not app.error and "per pixel" in texts(app)


def test_the_likelihood_of_bits():
    """Jarzynski's estimate meets log₂ (1/5) within its error for a heartbeat; what is none is said to be none."""
    app = open_page("likelihood", bits_at="10000" * 4)
    check(app.selectbox(key="likelihood_of").set_value("heartbeat_mlp").run())
    assert not app.error and "−2.32 bits" in texts(app)
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    found = likelihood.estimate(ref, "10000" * 4, 7)
    assert abs(float(found.log_prob[0]) / np.log(2) + np.log2(5)) < 4 * float(found.standard_error[0]) / np.log(2) + 0.05
    app.session_state["bits_at"] = "11000" * 4
    check(app.run())
    assert not app.error and "not a pattern of the data" in texts(app)


def test_completing_a_sequence():
    """Held bits stay; the exact completions are the patterns that fit; bits that no pattern has are one sentence, and stay held."""
    app = open_page("inpaint", picture_name="bits")
    assert not app.error and "Distance to the exact posterior" in texts(app)
    ref = cache.ModelRef.of(checkpoints.list_checkpoints()["heartbeat_mlp"])
    source = BitSource.of_checkpoint(checkpoints.load("heartbeat_mlp"))
    cells = "00" + 18 * "."
    done = bit_completion.complete(ref, source, PAPER, cells, "clean", 20, 7)
    exact = {row["pattern"]: row["percent"] for row in done.rows if row["curve"] == "exact"}
    assert len(exact) == 3 and sum(exact.values()) == pytest.approx(100) and all(p.startswith("00") for p in exact)
    assert done.floor < min(done.distances.values()) < 0.5
    *_, (_, x) = bit_completion._run(cache.model(ref).model, cells, "noised", 20, 50, 1)
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
        with pytest.raises(ValueError, match="pattern must be a text of 3 characters"):
            bit_pad.check(cells, 3, free)


def test_flips_and_information_over_t():
    """Of data as active as the noise step t flips 2ρ(1−ρ)β_t of the bits; the bits destroyed add up to H."""
    process = cached.diffusion(BEAT, PAPER)
    wanted = 100 * 2 * 0.2 * 0.8 * process.schedule.betas.numpy()
    np.testing.assert_allclose(schedule.flipping(process, 0.2), wanted, rtol=1e-9)
    x = torch.zeros(1, 1, dtype=torch.float64)
    half = schedule.flipping(cached.diffusion(BitSource("heartbeat", rate=0.5), PAPER), 0.0)
    np.testing.assert_allclose(
        half[0], 100 * float(cached.diffusion(BitSource("heartbeat", rate=0.5), PAPER).q_step(x, 1).probs), rtol=1e-9
    )
    assert schedule.destroyed(BEAT, PAPER).sum() == pytest.approx(np.log2(5), rel=0.06)
    short = ScheduleConfig("constant", 2, (("beta", 0.3),))
    assert schedule.prior_mismatch(BEAT, PAPER)[0] == 0 and schedule.prior_mismatch(BEAT, short)[0] > 0.1


def test_a_long_raster_is_small():
    """200 rows of 64 bits at 500 times take less than a megabyte."""
    x = (np.random.default_rng(0).random((500, 200, 64)) < 0.3).astype(np.uint8)
    stage = stages.Stage((stages.panel("left", "bits", "model", x),), range(500), 500)
    payload = pack(stage)
    assert len(payload) <= 1_000_000
    arrays = unpack(payload)[1]
    assert np.array_equal(np.unpackbits(arrays["left/pixels"], axis=-1)[3, : 200 * 64].reshape(200, 64), x[3])


@pytest.mark.parametrize("text, sentence", [(b"0,1,2\n", "Row 1 holds '2'"), (b"011\n01\n", "Row 2 has 2 values"), (b"", "no patterns")])
def test_a_bad_file_leaves_what_was_there(text, sentence):
    """Before a file that can be read the heartbeat stays, after one its patterns."""
    app = open_page("forward", data="patterns")

    def upload(name: str, raw: bytes) -> list[str]:
        app.file_uploader(key="bits_file").set_value((name, raw, "text/csv"))
        return [error.value for error in check(app.run()).error]

    (said,) = upload("mine.csv", text)
    assert said.startswith("mine.csv: ") and re.search(sentence, said)
    assert app.session_state["uploads"]["bits_file"].value is None and "make_bits('heartbeat'" in app.code[0].value
    assert upload("good.csv", b"0110\n1001\n") == []
    good = app.session_state["uploads"]["bits_file"].value
    assert good.size == (2, 4) and "np.array([[0, 1, 1, 0], [1, 0, 0, 1]])" in app.code[0].value
    assert upload("mine.csv", text) == [said]
    assert app.session_state["uploads"]["bits_file"].value == good and "np.array([[0, 1, 1, 0], [1, 0, 0, 1]])" in app.code[0].value
