"""The command line from end to end: numbers that must add up, files by their content, errors by their one line."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dpm_core import checkpoints
from dpm_core.cli.main import main
from dpm_core.config import DataConfig, NetworkConfig
from dpm_core.continuous import integrate, time_grid
from dpm_core.data import sources
from dpm_core.data.images import make_images
from dpm_core.data.kinds import HeldOut
from dpm_core.data.kinds.images import Images
from dpm_core.data.kinds.points import Points
from dpm_core.figures.palette import GROUND, MODEL
from dpm_core.figures.rasters import scatter_image, tile
from dpm_core.reverse import build_model
from dpm_core.samplers import ancestral, ddim, probability_flow
from dpm_core.schedules import make_schedule
from dpm_core.training import train_steps

POINTS = [(i % 7, (i * i) % 5 + 0.25 * i) for i in range(30)]
SMALL = ["--points", "200", "--steps", "4", "--batch", "32", "-T", "5", "--network-param", "width=8", "--network-param", "depth=1"]

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
IMAGES = ["train", "--network-param", "width=8", "-T", "20", "--steps", "4", "--batch", "8", "--threads", "1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a person's points and two small checkpoints made by the command line."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "mine.csv").write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in POINTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Points, "held_out", lambda kind, spec: HeldOut(300, every_time=True))
        patch.setattr(checkpoints.folders, "SHIPPED", folder / "none")
        patch.setenv("DPM_CHECKPOINTS", str(folder / "kept"))
        own = ["train", "--data", str(folder / "mine.csv"), "--noise", "0.2", *SMALL, "--schedule", "paper", "--seed", "3"]
        assert main([*own, "--schedule-param", "beta_1=0.01", "--name", "own"]) == 0
        small = ["--network", "rbf", "--network-param", "units=4", "-T", "4", "--steps", "3", "--points", "100", "--batch", "16"]
        assert main(["train", "--data", "eight_gaussians", *small, "--loss", "simple", "--name", "eight"]) == 0
        patch.setattr(Images, "held_out", lambda kind, spec: HeldOut(400, every_time=False))
        Image.fromarray(PICTURE).save(folder / "photo.png")
        assert main([*IMAGES, "--data", "digits", "--seed", "2", "--name", "digits"]) == 0
        photo = ["--data", str(folder / "photo.png"), "--data-param", "size=16", "--precision", "bfloat16"]
        assert main([*IMAGES, *photo, "--name", "photo"]) == 0
        yield folder


@pytest.fixture(autouse=True)
def there(place, capsys):
    capsys.readouterr()


def output(capsys, argv):
    assert main(argv) == 0
    return capsys.readouterr().out


def report(capsys, *argv):
    return json.loads(output(capsys, ["evaluate", *argv, "--json"]))


@pytest.mark.parametrize("name, T, beta_1", [("own", 5, 0.01), ("eight", 4, None)])
def test_the_reported_bits_add_up(capsys, name, T, beta_1):
    """bound_bits = −Σ kl_bits + h_end − h_start − h_prior, with the entropies of the schedule in closed form, in bits.

    h_prior is H(π) + ½ (ᾱ_T + 1 − ᾱ₁)(E|x|² − 2), and L_null = −log 2π − ½ E|x|² of the same data.
    """
    r = report(capsys, name, "-n", "200")
    assert r["bound_bits"] == pytest.approx(-sum(r["kl_bits"]) + r["h_end"] - r["h_start"] - r["h_prior"], rel=1e-9)
    assert len(r["kl_bits"]) == T - 1 and min(r["kl_bits"]) > 0
    schedule = make_schedule("paper", T, beta_1=beta_1) if name == "own" else make_schedule("log_snr", T)
    normal = math.log2(2 * math.pi * math.e)  # two dimensions
    power = -2 * math.log(2) * r["null_bits"] - 2 * math.log(2 * math.pi)
    ends = float(schedule.alpha_bar(T) + schedule.noise(1))
    assert r["h_prior"] == pytest.approx(normal + ends * (power - 2) / (2 * math.log(2)), rel=1e-5)
    assert r["h_start"] == pytest.approx(normal + math.log2(float(schedule.betas[0])), rel=1e-6)
    assert r["h_end"] == pytest.approx(normal + math.log2(float(schedule.noise(T))), rel=1e-6)
    assert r["bound_bits"] < -r["data_entropy_bits"]


def test_evaluate_says_what_the_data_are(capsys):
    """Eight distant Gaussians: h = 3 + log₂(2πe 0.12²) bits; L_null = −log₂ 2π − log₂(e)·E|x|²/2, E|x|² = 2, to 5 deviations."""
    r = report(capsys, "eight", "-n", "2000")
    assert r["data_entropy_bits"] == pytest.approx(3 + math.log2(2 * math.pi * math.e * 0.12**2), abs=1e-3)
    x = checkpoints.load("eight").dataset.sample(20_000, torch.Generator().manual_seed(0))
    spread = float(x.square().sum(1).std()) / 2 / math.log(2)
    assert abs(r["null_bits"] + math.log2(2 * math.pi) + 1 / math.log(2)) < 5 * spread / math.sqrt(2000)


def test_evaluate_repeats_itself_and_other_seeds_agree(capsys):
    first, again, other = (report(capsys, "own", "--seed", s) for s in ("1", "1", "2"))
    assert first == again
    error = math.hypot(first["bound_standard_error_bits"], other["bound_standard_error_bits"])
    assert 0 < abs(first["bound_bits"] - other["bound_bits"]) < 5 * error
    assert first["null_bits"] != other["null_bits"]  # other data too, not only other noise


def test_evaluate_in_words_says_the_same(capsys):
    r = report(capsys, "own", "-n", "100")
    lines = output(capsys, ["evaluate", "own", "-n", "100"]).splitlines()
    numbers = [float(line.replace("T", "").split(" bits")[0].replace("±", " ").split()[-1]) for line in lines[1:]]
    assert f"{r['bound_bits']:.4f} ± {r['bound_standard_error_bits']:.4f}" in lines[0]
    wanted = [r["bound_bits"] - r["null_bits"], -r["data_entropy_bits"], sum(r["kl_bits"])]
    assert numbers == pytest.approx(wanted, abs=1e-4)


def test_the_checkpoint_holds_what_was_asked_for(place):
    """Config as typed, a person's own points, the true number of weights, and K of the averaged weights."""
    loaded = checkpoints.load("own")
    raw = loaded.dataset.points.numpy() * loaded.dataset.scale + loaded.dataset.mean
    np.testing.assert_allclose(raw, POINTS, atol=1e-9)
    config = loaded.config
    assert (config.schedule.name, config.schedule.T, dict(config.schedule.params)) == ("paper", 5, {"beta_1": 0.01})
    assert (config.data.name, config.data.noise, loaded.dataset.title) == ("own", 0.2, "mine")
    assert (config.training.steps, config.training.batch, config.training.seed, config.training.loss) == (4, 32, 3, "bound")
    assert checkpoints.load("eight").config.training.loss == "simple"
    # MLP, width 8, depth 1: inputs (2+32)·8+8, condition 33·64+64 and 64·8+8, block 8·8, outputs 8·4+4
    assert loaded.meta["parameters"] == 280 + 2176 + 520 + 64 + 36
    # RBF, 4 units: centres 8, widths 4, readout (T+1)·4·4
    assert checkpoints.load("eight").meta["parameters"] == 8 + 4 + 5 * 16
    assert loaded.meta["bound_bits"] <= loaded.meta["best_bound_bits"]


def test_the_weights_kept_are_the_average_and_the_bound_is_theirs(place, capsys):
    """The library's own training from the same seed gives the tensors; evaluate from that seed gives the K in the JSON."""
    loaded = checkpoints.load("own")
    model = build_model(loaded.config.network, loaded.diffusion, seed=3)
    data = loaded.dataset.sample(200, torch.Generator().manual_seed(3))
    *_, step = train_steps(model, data, loaded.config.training)
    kept, average = loaded.model.network.state_dict(), step.average.network.state_dict()
    assert all(torch.equal(kept[k], average[k]) for k in average)
    assert any(not torch.equal(kept[k], v) for k, v in model.network.state_dict().items())
    r = report(capsys, "own", "-n", "300", "--seed", "3")
    for name in ("bound_bits", "bound_standard_error_bits", "null_bits"):
        assert r[name] == pytest.approx(loaded.meta[name], abs=5.1e-5)


def test_the_recorded_command_makes_the_same_weights(place, tmp_path):
    """Run what the JSON says, into another folder: tensors bit for bit, notes equal but for the time."""
    words = shlex.split(checkpoints.load("own").meta["command"])
    assert words[:3] == ["python", "-m", "dpm_core"]
    assert main([*words[3:], "--out", str(tmp_path)]) == 0
    again, first = (load_file(folder / "own.safetensors") for folder in (tmp_path, place / "kept"))
    assert again.keys() == first.keys()
    assert all(torch.equal(again[k], first[k]) for k in first)
    headers = [json.loads((folder / "own.json").read_text()) for folder in (tmp_path, place / "kept")]
    assert "--out" not in headers[0]["command"]
    for header in headers:
        header.pop("saved")
    assert headers[0] == headers[1]


def test_a_list_on_the_command_line_is_a_schedules_control_points(place, tmp_path):
    """points=[[0, 0.01], [1, 1]] at T = 5: β = 10^(−2 + 2u), and a config that is still hashable."""
    points = "points=[[0, 0.01], [1, 1]]"
    argv = ["train", "--data", "eight_gaussians", *SMALL, "--schedule", "custom", "--schedule-param", points, "--name", "curve"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    loaded = checkpoints.load(tmp_path / "curve.safetensors")
    np.testing.assert_allclose(loaded.diffusion.schedule.betas, 10 ** (-2 + 2 * np.arange(5) / 4), rtol=1e-12)
    assert dict(loaded.config.schedule.params) == {"points": ((0, 0.01), (1, 1))}
    assert isinstance(hash(loaded.config), int)


def draw(folder, *argv, name="x.npz"):
    assert main(["sample", "own", "-o", str(folder / name), *argv]) == 0
    return folder / name


def test_samples_are_the_librarys(tmp_path):
    """npz, array "x": equal to running the named sampler on the loaded model from the seed's own x⁽ᵀ⁾."""
    loaded = checkpoints.load("own")
    start = torch.randn(40, 2, generator=torch.Generator().manual_seed(9))
    for name, sampler, options in (("ddim", ddim, {}), ("probability_flow", probability_flow, {}), ("ddim", ddim, {"steps": 2})):
        extra = ["--steps", "2"] if options else []
        x = np.load(draw(tmp_path, "-n", "40", "--seed", "9", "--sampler", name, *extra))["x"]
        *_, last = sampler(loaded.model, loaded.diffusion, start, **options)
        np.testing.assert_array_equal(x, last.x)
    for name, sampler, options in (("ancestral", ancestral, {}), ("ddim", ddim, {"eta": 0.7})):
        extra = ["--eta", "0.7"] if options else []
        x = np.load(draw(tmp_path, "-n", "40", "--seed", "9", "--sampler", name, *extra))["x"]
        *_, last = sampler(loaded.model, loaded.diffusion, start, generator=torch.Generator().manual_seed(10), **options)
        np.testing.assert_array_equal(x, last.x)


def test_a_solver_of_the_reverse_equation(tmp_path):
    """The states of the library's solver at t = 1, and then the mean of x⁽⁰⁾."""
    loaded = checkpoints.load("own")
    start = torch.randn(40, 2, generator=torch.Generator().manual_seed(9))
    x = np.load(draw(tmp_path, "-n", "40", "--seed", "9", "--solver", "heun", "--noise-level", "1", "--steps", "3"))["x"]
    times, noise = time_grid(loaded.diffusion, 3), torch.Generator().manual_seed(10)
    *_, last = integrate(loaded.model, loaded.diffusion, start, times, "heun", noise_level=1.0, generator=noise)
    with torch.inference_mode():
        np.testing.assert_array_equal(x, loaded.model.x0_posterior(last.x, 1)[0])
    assert np.load(draw(tmp_path, "-n", "5", "--solver", "exponential"))["x"].shape == (5, 2)


def test_csv_npz_and_png_show_the_same_samples(tmp_path):
    """CSV to six digits under "x,y"; the PNG is the scatter of the very points; folders on the way are made."""
    x = np.load(draw(tmp_path, "-n", "30", "--seed", "4"))["x"]
    assert x.shape == (30, 2)
    table = draw(tmp_path / "new" / "folder", "-n", "30", "--seed", "4", name="x.csv")
    assert table.read_text().splitlines()[0] == "x,y"
    np.testing.assert_allclose(np.loadtxt(table, delimiter=",", skiprows=1), x, rtol=1e-5)
    picture = np.asarray(Image.open(draw(tmp_path, "-n", "30", "--seed", "4", name="x.png")))
    np.testing.assert_array_equal(picture, scatter_image(x, 640, MODEL.light, background=GROUND.light))
    assert not np.array_equal(x, np.load(draw(tmp_path, "-n", "30", "--seed", "5"))["x"])


def test_training_that_diverges_ends_with_code_1_and_no_checkpoint(place, capsys):
    assert main(["train", "--data", "eight_gaussians", *SMALL, "--lr", "inf", "--name", "burst"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: The loss or its gradient is not finite at step 2")
    assert "burst" not in checkpoints.list_checkpoints()


# --- images ---


def test_an_image_checkpoint_holds_what_was_asked_for(place):
    """Config as typed and the usual for images elsewhere; the true number of weights; K of the averaged weights on held-out images."""
    loaded, digits = checkpoints.load("digits"), make_images("digits")
    usual = sources.usual_run(digits, DataConfig("digits"))
    asked = replace(usual.training, steps=4, batch=8, seed=2)
    schedule = replace(usual.schedule, T=20)
    assert loaded.config == replace(usual, schedule=schedule, network=NetworkConfig("unet", (("width", 8),)), training=asked)
    assert loaded.dataset == digits.spec
    meta, network = loaded.meta, loaded.model.network
    assert meta["parameters"] == sum(p.numel() for p in network.parameters()) and meta["steps"] == 4
    assert meta["images_per_second"] > 0 and meta["trained_on"] in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name, seed", [("digits", "2"), ("photo", "0")])
def test_the_bits_in_a_checkpoint_are_those_that_evaluate_finds(capsys, name, seed):
    """The same held-out images and noise from the same seed; in float32, whatever the network was trained in."""
    r, meta = report(capsys, name, "--seed", seed), checkpoints.load(name).meta
    for key in ("bound_bits", "bound_standard_error_bits", "null_bits"):
        assert r[key] == pytest.approx(meta[key], abs=1e-3)


def test_the_weights_of_images_are_the_average_of_the_librarys_own_training(place):
    loaded, digits = checkpoints.load("digits"), make_images("digits")
    model = build_model(loaded.config.network, loaded.diffusion, digits.shape, seed=2)
    *_, step = train_steps(model, digits.batches(), loaded.config.training)
    average = step.average.network.state_dict()
    for key, value in loaded.model.network.state_dict().items():
        torch.testing.assert_close(value, average[key], rtol=0, atol=1e-6)


def test_images_are_evaluated_on_what_is_held_out(capsys):
    """L_null = −32 log₂ 2π − log₂(e)·E|x|²/2 of the very draws of held-out digits that belong to the seed."""
    x = make_images("digits").sample_held_out(359, torch.Generator().manual_seed(1_000_003))
    wanted = -32 * math.log2(2 * math.pi) - float(x.square().sum((1, 2, 3)).mean()) / 2 / math.log(2)
    assert report(capsys, "digits", "-n", "359")["null_bits"] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("name, pixels, dims", [("digits", 64, 64), ("photo", 256, 768)])
def test_the_reported_bits_of_images_add_up(capsys, name, pixels, dims):
    """K = −Σ KL + h_end − h_start − h_prior, 20 draws at each of 19 times, to the rounding of their places; entropies in closed form."""
    r = report(capsys, name, "-n", "380")
    assert r["pixels"] == pixels and r["data_entropy_bits"] is None
    assert len(r["kl_bits"]) == 19 and min(r["kl_bits"]) > 0
    gap = r["bound_bits"] + sum(r["kl_bits"]) - r["h_end"] + r["h_start"] + r["h_prior"]
    assert abs(gap) < 0.01 * sum(r["kl_bits"])
    schedule = checkpoints.load(name).diffusion.schedule
    normal = dims * math.log2(2 * math.pi * math.e) / 2
    power = -2 * math.log(2) * r["null_bits"] - dims * math.log(2 * math.pi)
    ends = float(schedule.alpha_bar(20) + schedule.noise(1))
    assert r["h_prior"] == pytest.approx(normal + ends * (power - dims) / (2 * math.log(2)), rel=1e-5)
    assert r["h_start"] == pytest.approx(normal + dims * math.log2(float(schedule.betas[0])) / 2, rel=1e-6)
    assert r["h_end"] == pytest.approx(normal + dims * math.log2(float(schedule.noise(20))) / 2, rel=1e-6)
    # −log₂ N(x; 0, 1) of data of mean square about 1, the held-out part's being another by up to a tenth
    assert r["null_bits"] == pytest.approx(-normal, rel=0.1)
    assert r["bound_standard_error_bits"] > 0


def test_evaluating_images_repeats_itself_and_other_seeds_agree(capsys):
    first, again, other = (report(capsys, "digits", "-n", "700", "--seed", s) for s in ("1", "1", "2"))
    assert first == again
    error = math.hypot(first["bound_standard_error_bits"], other["bound_standard_error_bits"])
    assert 0 < abs(first["bound_bits"] - other["bound_bits"]) < 5 * error


def test_evaluating_images_in_words_is_per_pixel(capsys):
    r = report(capsys, "digits", "-n", "200")
    lines = output(capsys, ["evaluate", "digits", "-n", "200"]).splitlines()
    assert f"{r['bound_bits'] / 64:.4f} ± {r['bound_standard_error_bits'] / 64:.4f} bits per pixel" in lines[0]
    numbers = [float(line.replace("T", "").split(" bits")[0].split()[-1]) for line in lines[1:]]
    assert numbers == pytest.approx([(r["bound_bits"] - r["null_bits"]) / 64, sum(r["kl_bits"]) / 64], abs=1e-4)


@pytest.mark.parametrize("name, shape", [("digits", (1, 8, 8)), ("photo", (3, 16, 16))])
def test_sampled_images_are_the_librarys(capsys, tmp_path, name, shape):
    """npz: the named sampler on the loaded model; png: their grey levels or colours as tiles."""
    loaded = checkpoints.load(name)
    start = torch.randn(5, *shape, generator=torch.Generator().manual_seed(9))
    *_, last = ddim(loaded.model, loaded.diffusion, start, steps=6)
    words = ["sample", name, "-n", "5", "--seed", "9", "--sampler", "ddim", "--steps", "6", "--device", "cpu", "-o"]
    assert output(capsys, [*words, str(tmp_path / "new" / "x.npz")]) == f"{tmp_path / 'new' / 'x.npz'}\n"
    np.testing.assert_allclose(np.load(tmp_path / "new" / "x.npz")["x"], last.x, atol=1e-5)
    output(capsys, [*words, str(tmp_path / "x.png")])
    wanted = tile(loaded.dataset.pixels(last.x).permute(0, 2, 3, 1).numpy()).astype(int)
    picture = np.asarray(Image.open(tmp_path / "x.png")).astype(int)
    assert picture.shape == wanted.shape == (2 * shape[1] + 2, 3 * shape[2] + 4, *((3,) if shape[0] == 3 else ()))
    assert np.abs(picture - wanted).max() <= (15 if name == "digits" else 1)  # a level, where rounding differs
    assert (picture != wanted).mean() < 0.01 and picture.std() > 10


def test_a_picture_is_trained_on_and_kept(place, capsys):
    """Its pools are in the checkpoint, so that it is evaluated without the file; bfloat16 is in its config alone."""
    loaded = checkpoints.load("photo")
    whole = make_images("image", (("size", 16),), PICTURE)
    assert torch.equal(loaded.dataset.train, whole.train) and torch.equal(loaded.dataset.held_out, whole.held_out)
    assert loaded.config.data == DataConfig("image", params=(("size", 16),))
    assert loaded.config.training.precision == "bfloat16"
    assert {v.dtype for v in loaded.model.state_dict().values()} == {torch.float32}
    (place / "photo.png").rename(place / "away.png")
    assert math.isfinite(report(capsys, "photo", "-n", "20")["bound_bits"])
    (place / "away.png").rename(place / "photo.png")


def test_half_precision_weights(place, tmp_path, capsys):
    """The recorded command and --half: float16 in the file, K within 0.005 bits per pixel of the one in float32."""
    words = shlex.split(checkpoints.load("digits").meta["command"])[3:]
    output(capsys, [*words, "--half", "--out", str(tmp_path)])
    tensors = load_file(tmp_path / "digits.safetensors")
    assert {v.dtype for v in tensors.values()} == {torch.float16}
    whole, half = report(capsys, "digits"), report(capsys, str(tmp_path / "digits.safetensors"))
    assert 0 < abs(whole["bound_bits"] - half["bound_bits"]) < 0.005 * 64


def test_training_goes_on_from_a_checkpoints_weights(place, tmp_path, capsys):
    """One step of 1e-9 from "digits": its weights to 1e-6, while a fresh start of the same seed is elsewhere. All runs are recorded."""
    again = [*IMAGES, "--data", "digits", "--steps", "1", "--lr", "1e-9", "--out", str(tmp_path)]
    output(capsys, [*again, "--resume", "digits", "--name", "more"])
    output(capsys, [*again, "--seed", "2", "--name", "fresh"])
    output(capsys, [*again, "--resume", str(tmp_path / "more.safetensors"), "--name", "third"])
    first = checkpoints.load("digits")
    ran = [{key: meta[key] for key in ("command", "steps")} for meta in (first.meta, checkpoints.load(tmp_path / "more.safetensors").meta)]
    assert checkpoints.load(tmp_path / "third.safetensors").meta["earlier_runs"] == ran
    assert "earlier_runs" not in first.meta
    header = tmp_path / "more.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"earlier_runs": 5}))
    output(capsys, [*again, "--resume", str(tmp_path / "more.safetensors"), "--name", "fourth"])
    assert [run["steps"] for run in checkpoints.load(tmp_path / "fourth.safetensors").meta["earlier_runs"]] == [1]
    before = first.model.state_dict()
    more, fresh = (checkpoints.load(tmp_path / f"{name}.safetensors").model.state_dict() for name in ("more", "fresh"))
    assert all(torch.allclose(more[k], before[k], atol=1e-6) for k in before)
    assert not all(torch.allclose(fresh[k], before[k], atol=1e-4) for k in before)


def test_training_for_some_seconds(place, tmp_path, capsys):
    """Half a second of a million steps: it ends soon, and the step count is the one that was reached."""
    began = time.monotonic()
    argv = [*IMAGES, "--data", "digits", "--seconds", "0.5", "--steps", "1000000", "--decay", "none", "--name", "short"]
    output(capsys, [*argv, "--out", str(tmp_path)])
    assert time.monotonic() - began < 60
    meta = checkpoints.load(tmp_path / "short.safetensors").meta
    assert 1 <= meta["steps"] < 100_000


def test_a_compiled_network_learns_the_same(place, tmp_path, capsys, monkeypatch):
    """By the graph that torch.compile takes, run as it is: the weights of the plain run to 1e-5, under the plain names."""
    compile_network, backends = torch.nn.Module.compile, []

    def eager(module, **_):
        backends.append(type(module).__name__)
        compile_network(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", eager)
    output(capsys, [*IMAGES, "--data", "digits", "--seed", "2", "--compile", "--name", "compiled", "--out", str(tmp_path)])
    compiled, plain = checkpoints.load(tmp_path / "compiled.safetensors"), checkpoints.load("digits")
    assert backends == ["UNet"]
    for key, value in compiled.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[key], rtol=0, atol=1e-5)


# --- errors ---


TRAIN = ["train", "--data", "eight_gaussians", *SMALL, "--name", "bad"]
BAD_IMAGES = [*IMAGES, "--data", "digits", "--name", "bad"]
HEARTBEAT = str(checkpoints.SHIPPED / "heartbeat_mlp.safetensors")


@pytest.mark.parametrize(
    "argv, word",
    [
        ([*TRAIN, "--data", "doughnut"], "doughnut"),
        ([*TRAIN, "--data", "nowhere.csv"], "nowhere.csv"),
        ([*TRAIN, "--data", "text.csv"], "columns"),
        ([*TRAIN, "--data", "flat.csv"], "vary"),
        ([*TRAIN, "--noise", "0"], "noise"),
        ([*TRAIN, "--noise", "2"], "noise"),
        ([*TRAIN, "--noise", "nan"], "noise"),
        ([*TRAIN, "--data", "mine.csv", "--noise", "0.9"], "noise"),
        ([*TRAIN, "-T", "1"], "T must"),
        ([*TRAIN, "--steps", "0"], "Steps"),
        ([*TRAIN, "--batch", "-1"], "batch"),
        ([*TRAIN, "--lr", "0"], "learning rate"),
        ([*TRAIN, "--lr", "nan"], "learning rate"),
        ([*TRAIN, "--ema", "1"], "ema"),
        ([*TRAIN, "--clip", "-1"], "clip"),
        ([*TRAIN, "--network-param", "width"], "width"),
        ([*TRAIN, "--network-param", "width=wide"], "does not accept"),
        ([*TRAIN, "--network-param", "widht=8"], "widht"),
        ([*TRAIN, "--network-param", "width=100000"], "width"),
        ([*TRAIN, "--schedule-param", "beta_2=0.1"], "beta_2"),
        ([*TRAIN, "--schedule", "constant", "--schedule-param", "beta=1.5"], "β"),
        ([*TRAIN, "--device", "cuda"], "cuda"),
        ([*TRAIN, "--name", "a/b"], "name"),
        (["sample", "nothing"], "nothing"),
        (["sample", "own", "-n", "0"], "sample"),
        (["sample", "own", "-n", "-4"], "sample"),
        (["sample", "own", "--steps", "0"], "between 1 and T = 5"),
        (["sample", "own", "--steps", "6"], "between 1 and T = 5"),
        (["sample", "own", "--solver", "heun", "--steps", "9"], "number of steps must lie between"),
        (["sample", "own", "--solver", "heun", "--noise-level", "-1"], "noise level must be at least 0"),
        (["sample", HEARTBEAT, "--solver", "heun"], "--solver is for models of points and images"),
        (["sample", "own", "-o", "out.jpg"], ".jpg"),
        (["sample", "own", "-o", "out"], ".npz"),
        (["sample", "own", "-o", "mine.csv/x.npz"], "mine.csv"),
        (["evaluate", "nothing"], "nothing"),
        (["evaluate", "own", "-n", "1"], "two data points"),
        (["evaluate", "own", "--data", "moons"], "moons"),
        ([*TRAIN, "--seconds", "0"], "seconds"),
        ([*TRAIN, "--seconds", "-1"], "seconds"),
        ([*TRAIN, "--seconds", "nan"], "seconds"),
        ([*TRAIN, "--threads", "0"], "thread"),
        ([*TRAIN, "--threads", "-2"], "thread"),
        ([*TRAIN, "--warmup", "-1"], "warm-up"),
        ([*TRAIN, "--data-param", "size=8"], "images"),
        ([*TRAIN, "--resume", "nothing"], "nothing"),
        ([*TRAIN, "--resume", "eight"], "another network"),
        ([*TRAIN, "--resume", "digits"], "another network"),
        ([*BAD_IMAGES, "--data", "doughnut"], "doughnut"),
        ([*BAD_IMAGES, "--noise", "0.1"], "noise is for points"),
        ([*BAD_IMAGES, "--data-param", "size=8"], "no parameter 'size'"),
        ([*BAD_IMAGES, "--data-param", "size"], "NAME=NUMBER"),
        ([*BAD_IMAGES, "--data", "nowhere.png"], "nowhere.png"),
        ([*BAD_IMAGES, "--data", "text.png"], "picture"),
        ([*BAD_IMAGES, "--data", "photo.png", "--data-param", "size=41"], "at most 40"),
        ([*BAD_IMAGES, "--data", "photo.png", "--data-param", "size=4"], "between 8 and 128"),
        ([*BAD_IMAGES, "--data", "photo.png", "--data-param", "sise=16"], "sise"),
        ([*BAD_IMAGES, "--data", "image"], "picture"),
        ([*BAD_IMAGES, "--data", "textures"], "folder"),
        ([*BAD_IMAGES, "--network", "mlp", "--network-param", "layers=3"], "does not accept"),
        ([*BAD_IMAGES, "--network-param", "width=12"], "divisible by 8"),
        ([*BAD_IMAGES, "--network-param", "width=256", "--network-param", "blocks=4", "--network-param", "levels=5"], "64 MB"),
        (["train", "--data", "digits", "--network", "rbf", "--name", "bad"], "for points"),
        ([*BAD_IMAGES, "--resume", "digits", "--network-param", "width=16"], "another network"),
        ([*BAD_IMAGES, "--resume", "photo"], "data shape"),
        ([*BAD_IMAGES, "--resume", "own"], "another network"),
        (["train", "--network", "unet", "--name", "bad"], "for images"),
        (["sample", "digits", "-o", "x.csv"], "cannot be written as .csv"),
        (["sample", "digits", "--steps", "21"], "between 1 and T = 20"),
        (["sample", "digits", "--threads", "-1"], "thread"),
        (["evaluate", "digits", "-n", "1"], "two data points"),
        (["evaluate", "digits", "--data", "mnist"], "mnist"),
    ],
)
def test_a_bad_argument_is_one_line_and_code_2(place, capsys, monkeypatch, argv, word):
    """And nothing is written."""
    if "cuda" in argv and torch.cuda.is_available():
        pytest.skip("there is a cuda device here")
    monkeypatch.chdir(place)
    Path("text.csv").write_text("1,2\nred,blue\n")
    Path("flat.csv").write_text("1,2\n1,3\n1,4\n")
    Path("text.png").write_text("no picture")
    monkeypatch.setenv("DPM_DATA", str(place / "none"))
    before = sorted(place.rglob("*"))
    assert main(argv) == 2
    captured = capsys.readouterr()
    # a training long enough to draw its bar has drawn it before the name is refused
    lines = [line for line in captured.err.splitlines() if "training" not in line]
    assert len(lines) == 1 and lines[0].startswith("error: ") and word in lines[0]
    assert captured.out == "" and sorted(place.rglob("*")) == before


def test_what_no_memory_holds_is_one_line(place, capsys, monkeypatch):
    """80 terabytes of noise."""
    monkeypatch.chdir(place)
    assert main(["sample", "own", "-n", str(10**13)]) == 1
    assert capsys.readouterr().err.strip() == "error: not enough memory on the device; use a smaller -n or --batch, or --device cpu."


@pytest.mark.parametrize(
    "argv, word",
    [
        ([], "required"),
        (["fly"], "fly"),
        (["train"], "--name"),
        ([*TRAIN, "--network", "cnn"], "cnn"),
        ([*TRAIN, "--schedule", "papyrus"], "papyrus"),
        ([*TRAIN, "--loss", "hinge"], "hinge"),
        ([*TRAIN, "--precision", "float16"], "float16"),
        ([*TRAIN, "--decay", "linear"], "linear"),
        ([*TRAIN, "--seconds", "soon"], "soon"),
        ([*TRAIN, "-T", "many"], "many"),
        ([*TRAIN, "--wings"], "--wings"),
        (["sample", "own", "--sampler", "dice"], "dice"),
        (["sample", "own", "-n", "x"], "x"),
        (["evaluate"], "name"),
    ],
)
def test_words_the_parser_does_not_know_are_one_line_and_code_2(place, capsys, argv, word):
    before = sorted(place.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ") and word in line and captured.out == ""
    assert sorted(place.rglob("*")) == before


def test_the_module_runs_as_a_program(place):
    """python -m dpm_core: exit codes and streams of a real process."""
    run = [sys.executable, "-m", "dpm_core"]
    bad = subprocess.run([*run, "evaluate", "nothing"], capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2])
    assert bad.returncode == 2 and bad.stdout == ""
    assert len(bad.stderr.splitlines()) == 1 and bad.stderr.startswith("error: There is no checkpoint 'nothing'")
