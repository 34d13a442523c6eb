"""Bits on the command line, in checkpoints and in jobs: from rows of 0 and 1 to samples, and what a hostile file is answered."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dpm_core import checkpoints, jobs
from dpm_core.cli.main import main
from dpm_core.config import TrainConfig
from dpm_core.data.bits import BitSpec, make_bits
from dpm_core.data.sources import make, usual_run
from dpm_core.inpainting.model_filling import InpaintingError, fill_by_model
from dpm_core.jobs import JobConfig, Stop
from dpm_core.training.snapshots import Evaluator

TINY = ["-T", "12", "--steps", "5", "--batch", "16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with three small checkpoints of bits made by the command line: heartbeats, a person's own rows, and digits."""
    folder = tmp_path_factory.mktemp("bits")
    (folder / "mine.csv").write_text("0,1,1,0,1\n1,0,0,1,0\n0,1,1,0,1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPM_CHECKPOINTS", str(folder / "kept"))
        small = ["--network-param", "width=8", "--network-param", "depth=1"]
        assert main(["train", "--data", "heartbeat", "--data-param", "length=10", *TINY, *small, "--rate", "0.5", "--name", "beats"]) == 0
        assert (
            main(
                ["train", "--data", str(folder / "mine.csv"), *TINY, "--network", "sigmoid", "--network-param", "units=6", "--name", "own"]
            )
            == 0
        )
        assert main(["train", "--data", "binary_digits", *TINY, "--network-param", "width=8", "--threads", "1", "--name", "digits"]) == 0
        yield folder


@pytest.fixture(autouse=True)
def there(place, capsys):
    capsys.readouterr()


def test_checkpoints_of_bits_rebuild_themselves(place):
    beats, own, digits = (checkpoints.load(name) for name in ("beats", "own", "digits"))
    assert beats.diffusion.rate == 0.5 and beats.dataset.listed and beats.shape == (10,)
    assert own.diffusion.rate == own.dataset.rate == pytest.approx(0.5333, abs=1e-3)
    assert own.dataset.patterns.tolist() == [[0, 1, 1, 0, 1], [1, 0, 0, 1, 0]]
    assert own.dataset.weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert type(digits.dataset) is BitSpec and digits.shape == (1, 8, 8)


@pytest.mark.parametrize("name, unit", [("beats", "datum"), ("own", "datum"), ("digits", "datum")])
def test_evaluate_reports_bits_that_add_up(capsys, name, unit):
    assert main(["evaluate", name, "--json"]) == 0
    r = json.loads(capsys.readouterr().out)
    assert r["bound_bits"] == pytest.approx(
        -sum(r["kl_bits"]) + r["h_end"] - r["h_start"] - r["h_prior"], abs=0.5 if name == "digits" else 1e-9
    )
    h = lambda p: -p * math.log2(p) - (1 - p) * math.log2(1 - p)  # noqa: E731
    priors = {
        "beats": 10.0,
        "own": 5 * h(checkpoints.load("own").diffusion.rate),
        "digits": 64 * h(checkpoints.load("digits").diffusion.rate),
    }
    assert r["h_prior"] == pytest.approx(priors[name], rel=0.03)  # the activity of held-out data is not quite that of the noise
    entropies = {"beats": pytest.approx(math.log2(5)), "own": pytest.approx(h(1 / 3)), "digits": None}
    assert r["data_entropy_bits"] == entropies[name]
    assert main(["evaluate", name]) == 0
    assert f"bits per {unit}" in capsys.readouterr().out


def test_samples_of_bits_in_every_format(tmp_path, capsys):
    """The same seed gives the same bits as .npz, as rows of 0 and 1, and as squares of a picture."""
    for end in ("npz", "csv", "png"):
        assert main(["sample", "beats", "--seed", "4", "-n", "6", "-o", str(tmp_path / f"x.{end}")]) == 0
    x = np.load(tmp_path / "x.npz")["x"]
    assert x.shape == (6, 10) and set(np.unique(x)) <= {0.0, 1.0}
    assert np.array_equal(np.loadtxt(tmp_path / "x.csv", delimiter=","), x)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png"))[4::8, 4::8], 255 * x)
    assert main(["sample", "digits", "-n", "4", "-o", str(tmp_path / "d.png")]) == 0
    seen = np.asarray(Image.open(tmp_path / "d.png"))
    assert 0.9 < np.isin(seen, (0, 255)).mean() <= 1 and {0, 255} <= set(np.unique(seen)), "squares, and gaps between digits"


@pytest.mark.parametrize(
    "argv, sentence",
    [
        (["train", "--data", "heartbeat", *TINY, "--rate", "0", "--name", "x"], "between 0.001 and 0.999"),
        (["train", "--data", "moons", *TINY, "--rate", "0.3", "--name", "x"], "for data of bits"),
        (["train", "--data", "heartbeat", *TINY, "--noise", "0.3", "--name", "x"], "bits have none"),
        (["train", "--data", "heartbeat", *TINY, "--network", "mlp", "--name", "x", "--data-param", "period=1"], "period from 2"),
        (["train", "--data", "heartbeat", *TINY, "--network", "unet", "--name", "x"], "The U-Net is for images"),
        (["sample", "beats", "--sampler", "ddim", "-o", "x.npz"], "ancestral"),
        (["sample", "digits", "-o", "x.csv"], "cannot be written as .csv"),
    ],
)
def test_errors_are_one_line(capsys, argv, sentence):
    assert main(argv) != 0
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in error


def damaged(place, tmp_path, name, header=None, tensors=None):
    """A copy of a checkpoint with its header or tensors changed."""
    for end in ("json", "safetensors"):
        shutil.copy(place / "kept" / f"{name}.{end}", tmp_path / f"{name}.{end}")
    if header:
        described = json.loads((tmp_path / f"{name}.json").read_text())
        header(described)
        (tmp_path / f"{name}.json").write_text(json.dumps(described))
    if tensors:
        kept = load_file(tmp_path / f"{name}.safetensors")
        tensors(kept)
        save_file(kept, tmp_path / f"{name}.safetensors")
    return tmp_path / f"{name}.safetensors"


@pytest.mark.parametrize(
    "name, header, tensors, sentence",
    [
        ("beats", lambda h: h["config"]["diffusion"].update(rate=1.0), None, "between 0.001 and 0.999"),
        ("beats", lambda h: h["config"]["diffusion"].update(kind="poisson"), None, "'gaussian' or 'binomial'"),
        ("beats", lambda h: h["config"]["diffusion"].update(kind="gaussian"), None, "binomial"),
        ("beats", lambda h: h["data"].update(shape=[10_000_000]), None, "out of range"),
        ("beats", lambda h: h["data"].update(shape=[11]), None, "does not have"),
        ("beats", lambda h: h["config"]["data"].update(name="binary_digits", params={}), None, "does not have"),
        ("digits", lambda h: h["config"]["data"].update(name="ising", params={"size": 32}), None, "does not have"),
        ("own", lambda h: h["config"]["diffusion"].update(rate=1e-300), None, "between 0.001"),
        ("own", None, lambda t: t.update({"data.weights": t["data.weights"] * 1e308 * 10}), "not positive"),
        ("beats", lambda h: h["data"].update(rate=float("nan")), None, "out of range"),
        ("beats", lambda h: h["data"].update(shape=["10"]), None, "out of range"),
        ("own", None, lambda t: t.update({"data.patterns": t["data.patterns"] + 7}), "0 and 1 only"),
        ("own", None, lambda t: t.update({"data.weights": t["data.weights"] * float("nan")}), "not positive"),
        ("own", None, lambda t: t.pop("data.weights"), "data.weights"),
        ("own", None, lambda t: t.update({"data.patterns": t["data.patterns"][:, :3].contiguous()}), "do not fit"),
    ],
)
def test_hostile_checkpoints_are_refused_in_a_sentence(place, tmp_path, name, header, tensors, sentence):
    with pytest.raises(checkpoints.CheckpointError, match=sentence):
        checkpoints.load(damaged(place, tmp_path, name, header, tensors))


def test_black_and_white_pictures_are_inpainted():
    """Known bits stay as they were; what is filled is black or white; a grey picture counts as white above half grey."""
    loaded = checkpoints.load("digits")
    picture = 255 * make_bits("binary_digits").held_out[0, 0].numpy()
    missing = np.zeros((8, 8), bool)
    missing[2:6, 2:6] = True
    for rule in ("clean", "noised", "repaint"):
        *_, last = fill_by_model(loaded, picture, missing, n=3, steps=6, rule=rule, jump=2, resamplings=2)
        filled = last.guess.reshape(3, 8, 8)
        assert np.array_equal(filled[:, ~missing], np.repeat(picture[None], 3, 0)[:, ~missing])
        assert set(np.unique(filled)) <= {0, 255}
    with pytest.raises(InpaintingError, match="is a model of sequences of bits"):
        fill_by_model(checkpoints.load("beats"), picture, missing).__next__()


def test_a_job_on_bits_stops_and_goes_on_exactly(tmp_path):
    """Snapshots hold bits as bytes from the same noise every time; a run taken up again ends in the same weights."""
    data, config = make("heartbeat")
    run = usual_run(data, config)
    run = type(run)(
        run.data, type(run.schedule)("paper", 30, run.schedule.params), run.network, TrainConfig(steps=40, batch=32), run.diffusion
    )
    held_out = data.sample_held_out(100)
    whole = jobs.start(JobConfig("whole", run, snapshot_samples=8, sample_steps=10, threads=1), data, held_out, tmp_path)
    assert whole.join(60) and whole.status == "finished"
    first, last = whole.snapshots[0], whole.snapshots[-1]
    assert first.packed.dtype == np.uint8 and first.packed.shape[1:] == (8, 20) and np.array_equal(first.packed[0], last.packed[0])
    part = jobs.start(JobConfig("part", run, Stop(steps=15), snapshot_samples=8, sample_steps=10, threads=1), data, held_out, tmp_path)
    assert part.join(60)
    again = jobs.resume_run(part.folder, data, held_out, stop=Stop())
    assert again.join(60) and again.step == 40
    for a, b in zip(whole.weights().state_dict().values(), again.weights().state_dict().values()):
        assert torch.equal(a, b)
    kept = checkpoints.load(whole.save("kept", tmp_path))
    assert kept.dataset.listed and "--rate 0.2" in kept.meta["command"]


def test_the_watcher_measures_sequences_on_many_pairs():
    """K of the exact kernel as the evaluator estimates it is that of the whole chain, within 4 standard errors of less than 0.1 bits."""
    data = make_bits("heartbeat")
    run = usual_run(data, make("heartbeat")[1])
    from dpm_core.measure.bound import evaluate_bound
    from dpm_core.process import make_diffusion

    diffusion = make_diffusion(run)
    kernel = data.exact_reverse(diffusion)
    kernel.parameters = lambda: iter([torch.zeros(1)])
    found = Evaluator(diffusion, data.sample_held_out(500), 4, 10, 0).bound(kernel)
    whole = evaluate_bound(kernel, diffusion, data.sample(200), torch.Generator().manual_seed(1))
    assert abs(found.bound_bits - whole.bound_bits) < 4 * math.hypot(found.standard_error_bits, whole.standard_error_bits)
    assert found.standard_error_bits < 0.1
