"""The Train and Checkpoints pages: a tiny run from start to checkpoint, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import archive as checkpoint_files
from dpm_core.config import ScheduleConfig
from dpm_core.figures.charts import bound_chart, time_chart
from pages.ui import kinds
from pages.ui.components.player import unpack
from pages.ui.kinds import KINDS, runs
from pages.ui.kinds.images.source import ImageSource
from pages.ui.kinds.points.source import PointSource
from pages.ui.kinds.records import ReferenceValues, Version
from pages.ui.training import views
from tests.pages.test_pages import APP, check
from tests.test_faults import read_only

TINY = {"data": "Digits 8 × 8", "T_images": "20", "batch_images": "16", "max_steps_images": "12"}
pytestmark = pytest.mark.usefixtures("own_folders")


def open_train(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return check(app.switch_page("pages/train.py").run())


def open_checkpoints() -> AppTest:
    return check(AppTest.from_file(str(APP), default_timeout=120).switch_page("pages/checkpoints.py").run())


def click(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return check(app.run())


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def running(app: AppTest) -> jobs.Job:
    return jobs.get(app.query_params["job"])


def until_over(app: AppTest, seconds: float = 90) -> AppTest:
    until = time.monotonic() + seconds
    while "Start" not in labels(app):
        assert time.monotonic() < until, running(app).status
        time.sleep(0.2)
        check(app.run())
    return app


def cards(app: AppTest) -> str:
    return next((str(block.proto) for block in app.get("html") if 'dpm-cards\\"' in str(block.proto)), "")


def text(app: AppTest) -> str:
    return " ".join(element.value for kind in (app.caption, app.markdown, app.error, app.success) for element in kind)


def test_a_run_from_start_to_checkpoint_and_out_again(own_folders):
    app = open_train(**TINY)
    assert len(app.get("bidi_component")) == 1 and not cards(app)
    assert "parameters" in text(app) and "per step" in text(app)

    until_over(click(app, "start"))
    assert running(app).status == "finished" and running(app).step == 12
    assert "12 of 12" in cards(app) and "bits per pixel" in cards(app) and "±" in cards(app)
    assert len(app.get("vega_lite_chart")) == 3

    app.text_input(key=f"keep_name_{running(app).id}").set_value("tiny")
    click(app, "keep_now")
    kept = checkpoints.load("tiny")
    assert kept.shape == (1, 8, 8) and kept.meta["steps"] == 12
    assert "Saved as tiny" in text(app)

    shelf = open_checkpoints()
    assert "**tiny**" in text(shelf) and "12 training steps, batch size 16" in text(shelf)
    shelf.text_input(key="name_tiny").set_value("renamed")
    check(shelf.run())
    click(shelf, "rename_now_tiny")
    assert "**renamed**" in text(shelf) and "**tiny**" not in text(shelf)
    click(shelf, "delete_now_renamed")
    assert "**renamed**" not in text(shelf)
    assert not list((own_folders / "models").glob("renamed*"))


def test_names_that_are_refused_and_a_folder_that_may_not_be_written(own_folders, monkeypatch):
    """One sentence each, nothing is written, and the network is still there to be saved."""
    app = until_over(click(open_train(**TINY), "start"))
    for name, sentence in (("swiss_roll_mlp", "already"), ("../x", "letters")):
        app.text_input(key=f"keep_name_{running(app).id}").set_value(name)
        click(app, "keep_now")
        assert sentence in app.error[0].value and app.error[0].value.endswith(".")
    app.text_input(key=f"keep_name_{running(app).id}").set_value("tiny")
    with monkeypatch.context() as patch:
        patch.setattr("dpm_core.files.tempfile.mkstemp", read_only)
        click(app, "keep_now")
    assert app.error[0].value.startswith("Nothing may be written in") and app.error[0].value.endswith("choose another folder.")
    assert not list((own_folders / "models").glob("*"))
    click(app, "keep_now")
    assert not app.error and checkpoints.load("tiny").meta["steps"] == 12


@pytest.mark.parametrize("name", ["train", "bound"])
def test_a_place_for_runs_that_cannot_be_used_is_one_sentence(monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setenv("DPM_RUNS", "nowhere://x/runs")
        app = check(AppTest.from_file(str(APP), default_timeout=120).switch_page(f"pages/{name}.py").run())
    (error,) = app.error
    assert re.fullmatch(r"DPM.{2}RUNS: The storage nowhere://x/runs cannot be used \(.*\)\.", error.value)


def test_step_by_step_does_one_step_at_a_time_and_shows_it():
    app = click(open_train(**TINY), "first_step")
    assert running(app).step == 1 and running(app).status == "paused"
    click(app, "step")
    assert running(app).step == 2
    assert "Training step 2 in detail" in text(app)
    table = next(str(block.proto) for block in app.get("html") if "dpm-step" in str(block.proto))
    assert table.count("<img") == 3 * len(running(app).last_step.t)
    click(app, "resume")
    until_over(app)
    assert running(app).step == 12


def test_the_plane_has_its_best_chain_as_a_reference():
    app = open_train(data="Swiss roll", T="8", batch="32", max_steps="5")
    until_over(click(app, "start"))
    assert "best K with Gaussian steps" in cards(app) and "5 of 5" in cards(app)


def test_a_reload_finds_the_run_again_and_the_rate_changes_on_the_way():
    app = click(open_train(**TINY | {"max_steps_images": "100000"}), "start")
    again = open_train(job=app.query_params["job"])
    assert "Pause" in labels(again) and again.query_params["job"] == app.query_params["job"]
    before = running(app).step
    app.select_slider(key="rate_images").set_value(5e-4)
    check(app.run())
    assert running(app).learning_rate == 5e-4 and running(app).step >= before
    click(again, "pause")
    assert running(app).status == "paused"
    click(again, "stop")
    assert running(app).status == "stopped"


def test_two_runs_of_one_name_are_one_too_many():
    query = TINY | {"run_name": "twin", "max_steps_images": "100000"}
    first = click(open_train(**query), "start")
    second = click(open_train(**query), "start")
    assert len(second.error) == 1 and "twin" in second.error[0].value and second.error[0].value.endswith(".")
    assert running(first).status == "running" and "Start" in labels(second)
    bad = click(open_train(**query | {"run_name": "../x"}), "start")
    assert len(bad.error) == 1 and bad.error[0].value.endswith(".")


def test_a_batch_larger_than_the_data_is_refused_in_one_sentence():
    app = click(open_train(**TINY | {"batch_images": "2048"}), "start")
    assert len(app.error) == 1 and "larger than the data" in app.error[0].value
    app.select_slider(key="batch_images").set_value(16)
    until_over(click(check(app.run()), "start"))
    assert not app.error and running(app).step == 12


def test_a_stopped_run_goes_on_from_disk_and_lies_over_another():
    app = click(open_train(**TINY | {"max_steps_images": "100000"}), "first_step")
    name = running(app).config.name
    click(app, "stop")
    running(app).join(30)
    time.sleep(4.2)  # the list of runs is looked up at most that often
    check(app.run())
    app.selectbox(key="earlier").set_value(f"run {name}")
    check(app.run())
    click(app, "go_on_now")
    assert running(app).config.name == name and running(app).status == "running"
    click(app, "stop")
    running(app).join(30)
    other = until_over(click(open_train(**TINY), "start"))
    other.selectbox(key="compare").set_value(name)
    check(other.run())
    assert f"dashed: {name}" in text(other)


def test_a_fresh_run_may_begin_with_a_models_weights():
    app = open_train(data="Swiss roll", max_steps="3", net_size="Medium")
    app.selectbox(key="earlier").set_value("model swiss_roll_mlp")
    check(app.run())
    until_over(click(app, "go_on_now"))
    # no 3 steps from scratch reach this: the roll was known before
    assert not app.error and running(app).latest().bound_bits > -2


def test_out_of_memory_offers_a_batch(monkeypatch):
    app = click(open_train(**TINY), "start")
    until_over(app)
    job = running(app)
    monkeypatch.setattr(type(job), "status", property(lambda self: "failed"))
    monkeypatch.setattr(type(job), "message", property(lambda self: "A batch of 16 does not fit; a batch of 5 fits."))
    monkeypatch.setattr(type(job), "suggested_batch", property(lambda self: 5))
    check(app.run())
    assert "does not fit" in app.error[0].value
    click(app, "fits")
    assert app.select_slider(key="batch_images").value == 4


def test_a_link_to_a_run_that_is_gone_says_so_once():
    app = open_train(**TINY, job="0123456789ab")
    assert len(app.error) == 1 and "no longer in memory" in app.error[0].value and "job" not in app.query_params
    until_over(click(app, "start"))
    assert not app.error


def upload(name: str, data: bytes):
    return SimpleNamespace(name=name, getvalue=lambda: data)


def shipped() -> tuple[bytes, bytes]:
    path = checkpoints.SHIPPED / "moons_mlp.safetensors"
    return path.read_bytes(), path.with_suffix(".json").read_bytes()


def test_uploads_are_read_from_two_files_or_one_archive(own_folders):
    tensors, header = shipped()
    pair = checkpoint_files.read_upload([upload("a b.safetensors", tensors), upload("a b.json", header)])
    assert pair == (tensors, header, "a_b")
    archive = checkpoint_files.zipped(checkpoints.SHIPPED / "moons_mlp.safetensors")
    pair = checkpoint_files.read_upload([upload("x.zip", archive)])
    assert pair == (tensors, header, "moons_mlp")
    path = checkpoints.save_upload(pair.tensors, pair.header, "brought")
    assert torch.equal(checkpoints.load(path).model.network.inputs.weight, checkpoints.load("moons_mlp").model.network.inputs.weight)


def bomb() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m.safetensors", b"x")
        archive.writestr("m.json", bytes(50 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    "files",
    [
        [("a.safetensors", b"x")],
        [("a.json", b"{}"), ("b.json", b"{}")],
        [("a.zip", b"not an archive")],
        [("a.zip", bomb())],
        [("a.txt", b"x"), ("a.json", b"{}")],
        [("a.safetensors", b"x"), ("a.json", b"{}"), ("c.json", b"{}")],
    ],
)
def test_bad_uploads_are_one_sentence(files):
    with pytest.raises(checkpoints.CheckpointError, match=r"\.$"):
        checkpoint_files.read_upload([upload(*file) for file in files])


def test_an_upload_on_the_page(own_folders):
    tensors, header = shipped()
    app = open_checkpoints()
    app.file_uploader(key="model_files_0").set_value([("x.safetensors", b"junk", ""), ("x.json", header, "")])
    check(app.run())
    click(app, "add")
    assert len(app.error) == 1 and app.error[0].value.endswith(".")
    app.file_uploader(key="model_files_0").set_value([("x.safetensors", tensors, ""), ("x.json", header, "")])
    check(app.run())
    click(app, "add")
    assert not app.error and "x has been added." in text(app)
    assert checkpoints.load("x").dataset.title == "Two moons"


def test_a_corrupt_model_is_a_card_with_a_sentence(own_folders):
    folder = own_folders / "models"
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"x")
    (folder / "bad.json").write_text("{}")
    (folder / "worse.safetensors").write_bytes(b"x")
    (folder / "worse.json").write_bytes((checkpoints.SHIPPED / "moons_mlp.json").read_bytes())
    app = open_checkpoints()
    assert len(app.error) == 2 and all(error.value.endswith(".") for error in app.error)
    assert "**moons_mlp**" in text(app)


def test_the_stage_holds_every_version_of_the_same_noise():
    times = [10, 6, 3, 0]
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(3, 4, 50, 2)).astype(np.float32)
    drift = rng.normal(size=(4, 169, 2)).astype(np.float32)
    versions = [Version(str(i), x, drift if i else None) for i, x in enumerate(frames)]
    source = PointSource("swiss_roll")
    data = KINDS["points"].held_out(source)
    header, blocks = unpack(KINDS["points"].training_stage(source, ScheduleConfig("log_snr", 10), versions, times, "samples"))
    assert header["versions"] == ["0", "1", "2"] and header["times"] == times
    assert np.allclose(blocks["samples/positions"], frames, atol=3e-4)
    assert np.isnan(blocks["samples/drift/end"][0]).all(), "a version whose weights are not known has no drift"
    assert np.allclose(blocks["data/positions"][-1], data[:50].numpy(), atol=3e-4)
    # at the start of the chain the data are noise: nothing of x⁽⁰⁾ is left
    first = blocks["data/positions"][0]
    assert abs(np.corrcoef(first.ravel(), data[:50].numpy().ravel())[0, 1]) < 0.2


def cuts(channels: int, size: int, _: int) -> ImageSource:
    """Cuts of so many pixels from a picture of noise."""
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3)[: 2 if channels == 1 else 3], dtype=np.uint8)
    return ImageSource("image", (("size", size),), picture.tobytes(), picture.shape, "noise")


@pytest.mark.parametrize("shape,n", [((3, 32, 32), 16), ((1, 28, 28), 16), ((2,), 1000)])
def test_a_long_runs_stage_stays_light(shape, n):
    times = list(range(20, -1, -2))
    versions = [Version(str(i), np.zeros((len(times), n, *shape), np.float16)) for i in range(40)]
    source = PointSource("moons") if len(shape) == 1 else cuts(*shape)
    kind = kinds.of(source)
    assert kind.dataset(source).shape == shape
    payload = kind.training_stage(source, ScheduleConfig("log_snr", 20), versions, times, "samples")
    header, _ = unpack(payload)
    assert len(payload) < 5_000_000
    assert header["versions"][0] == "0" and header["versions"][-1] == "39" and len(header["versions"]) >= 4


def test_the_span_of_the_chart_holds_null_and_best_and_what_was_reached():
    for best, top in ((None, -2.0), (-1.0, -1.2), (-1.0, 3.0)):
        low, high = ReferenceValues("bits", 1.0, -4.0, best=best).span(top)
        assert low < -4.0 and high > max(top, best if best is not None else top)


def test_charts_name_their_limits_and_keep_their_range():
    limits = {"Baseline L_null": (-4.0, "noise"), "best": (-1.0, "exact")}
    chart = bound_chart(["mine", "other"], limits, -5.0, -0.5, "bits", False).to_dict()
    shown = [layer["data"]["values"][0]["label"] for layer in chart["layer"] if "values" in layer.get("data", {})]
    assert shown == ["Baseline L_null"] * 2 + ["best"] * 2
    line = chart["layer"][-2]["encoding"]
    assert line["y"]["scale"]["domain"] == [-5.0, -0.5] and line["color"]["scale"]["domain"] == ["mine", "other"]
    dashes = line["strokeDash"]["scale"]["range"]
    assert dashes[0] != dashes[1], "colour is not the only carrier"
    best = {"t": list(range(2, 901)), "bits": [0.1] * 899}
    with_best, without = (time_chart(900, known, "bits", True).to_dict() for known in (best, None))
    assert len(with_best["layer"]) == len(without["layer"]) + 1
    rows = with_best["layer"][-1]["data"]["values"]
    assert len(rows) <= 200 and rows[-1]["t"] == 900


def test_smoothing_is_a_running_mean():
    values = np.arange(300.0)
    assert views.smooth(values, 0.03)[:2].tolist() == [0.0, 0.5]
    assert np.allclose(views.smooth(values, 0.03)[10:], values[10:] - 4)


def test_a_card_never_trusts_the_description(own_folders):
    folder = Path(own_folders / "models")
    folder.mkdir()
    header = json.loads(shipped()[1]) | {"parameters": None, "bound_bits": "much"}
    (folder / "odd.safetensors").write_bytes(shipped()[0])
    (folder / "odd.json").write_text(json.dumps(header))
    app = open_checkpoints()
    assert [error.value for error in app.error] == ["odd.json is incomplete, so this model cannot be used. Delete it, or upload it again."]


@pytest.fixture
def processes(monkeypatch):
    """Runs are processes, as for a user."""
    monkeypatch.setenv("DPM_CLUSTER", "")
    yield
    for job in list(jobs._jobs.values()):
        job.stop()
        job.join(20)
        job.close()


def forget():
    """What a restart of the server does to what it knew."""
    for job in jobs.jobs():
        job.close()
    jobs._jobs.clear()
    runs._setups.clear()


def test_a_run_outlives_the_server_and_is_taken_up_again(processes):
    """Its link shows it still training; another visit, without the link, can watch it; Pause and Stop reach it."""
    app = click(open_train(**TINY | {"max_steps_images": "100000"}), "start")
    job = running(app)
    assert job.pid != os.getpid() and job.status == "running"
    forget()
    again = open_train(**TINY | {"max_steps_images": "100000", "job": job.id})
    assert {"Pause", "Stop"} <= labels(again) and running(again).id == job.id and running(again) is not job
    other = open_train(**TINY)
    assert f"Watch {job.config.name}" in labels(other)
    click(again, "pause")
    assert running(again).status == "paused" and "Resume" in labels(again)
    click(again, "stop")
    assert running(again).join(30) and running(again).status == "stopped"


def test_a_run_whose_process_is_killed_is_resumed_on_the_page(processes):
    """One sentence says what has happened, saving says what to do, and Resume goes on from the last saved step."""
    app = click(open_train(**TINY | {"max_steps_images": "100000"}), "first_step")
    job = running(app)
    click(app, "resume")
    until = time.monotonic() + 60
    while next(iter(jobs.runs())).step < 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    assert job.join(10)
    check(app.run())
    assert "has ended unexpectedly" in app.error[0].value and {"Start", "Resume"} <= labels(app)
    app.text_input(key=f"keep_name_{job.id}").set_value("tiny")
    click(app, "keep_now")
    assert any("resume the run first" in error.value for error in app.error)
    click(app, "go_on_here")
    resumed = running(app)
    assert resumed.id != job.id and resumed.config.name == job.config.name and resumed.step >= 1 and resumed.status == "running"
