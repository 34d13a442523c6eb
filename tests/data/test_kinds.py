"""The kinds of data behind their protocol, and a fourth kind, points on a line, that only one object enters."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import CheckpointError
from dpm_core.cli.main import main
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.data.bits import make_bits
from dpm_core.data.errors import DataError
from dpm_core.data.images import make_images
from dpm_core.data.kinds import DATA_KINDS, DataKind, HeldOut, Unit, kind_of, kind_of_dataset
from dpm_core.data.toy2d import from_points, make_dataset
from dpm_core.process import make_diffusion
from dpm_core.reverse import build_model

SEPARATION = 0.9  # of the two Gaussians from 0; with this noise the variance is 1
NOISE = math.sqrt(1 - SEPARATION**2)


@dataclass(frozen=True)
class LineDataset:
    """Two Gaussians on a line, at ±SEPARATION with standard deviation ``noise``; or a user's own numbers."""

    name: str = "two_bumps"
    title: str = "Two bumps"
    noise: float = NOISE
    own: tuple[float, ...] = ()

    kind: ClassVar[str] = "line"
    shape: ClassVar[tuple[int, ...]] = (1,)
    dims: ClassVar[int] = 1

    @property
    def spec(self):
        return self

    def sample(self, n, generator=None):
        centres = torch.tensor(self.own or (-SEPARATION, SEPARATION))
        rows = torch.randint(len(centres), (n,), generator=generator)
        return centres[rows, None] + self.noise * torch.randn(n, 1, generator=generator)

    sample_held_out = sample


class Line(DataKind[LineDataset, LineDataset]):
    """Points on a line."""

    name = "line"
    title = "Points on a line"
    file_help = "a file of numbers, one per row"
    own: ClassVar[dict[str, str]] = {"own_line": "line.num"}

    def names(self):
        return ["two_bumps", "own_line"]

    def make(self, name, noise=None, params=(), progress=None):
        return LineDataset(), DataConfig(name)

    def reads(self, path):
        return path.suffix == ".num"

    def from_file(self, path, noise=None, params=()):
        return LineDataset("own_line", path.stem, 0.1, tuple(np.loadtxt(path).tolist())), DataConfig("own_line")

    def usual_run(self, spec, config):
        return RunConfig(config, ScheduleConfig("paper", 10), NetworkConfig("rbf"))

    def constants(self, dataset):
        return {"title": dataset.title, "noise": dataset.noise}

    def tensors(self, config, dataset):
        return {"data.points": torch.tensor(dataset.own)} if config.name == "own_line" else {}

    def described_shape(self, config, constants):
        return (1,)

    def rebuild(self, config, constants, tensors):
        own = tuple(tensors["data.points"].tolist()) if config.name == "own_line" else ()
        return LineDataset(config.name, str(constants["title"]), float(constants["noise"]), own)

    def of_checkpoint(self, dataset, config):
        return dataset

    def held_out(self, spec):
        return HeldOut(500, every_time=True)

    def unit(self, spec):
        return Unit("number")


@pytest.fixture
def line():
    """The fourth kind, registered for one test."""
    DATA_KINDS["line"] = Line()
    yield DATA_KINDS["line"]
    del DATA_KINDS["line"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No run and no checkpoint outside the test's folder."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("DPM_RUNS", str(tmp_path / "runs"))
    return tmp_path


SETS = {
    "points": lambda: (make_dataset("moons"), DataConfig("moons", 0.06)),
    "images": lambda: (make_images("digits"), DataConfig("digits")),
    "bits": lambda: (make_bits("heartbeat"), DataConfig("heartbeat")),
}


@pytest.mark.parametrize("name", list(SETS))
def test_the_minimal_interface_of_a_data_set(name):
    """Name, title, kind, shape, dims, a spec that says the same, and draws of that shape; the same seed gives the same."""
    dataset, config = SETS[name]()
    kind = DATA_KINDS[name]
    assert dataset.kind == dataset.spec.kind == name and kind_of(config.name) is kind_of_dataset(dataset) is kind
    assert math.prod(dataset.shape) == dataset.dims and dataset.title and dataset.name == config.name and kind.owns(config.name)
    assert (dataset.spec.name, dataset.spec.title, dataset.spec.shape) == (dataset.name, dataset.title, dataset.shape)
    for sample in (dataset.sample, dataset.sample_held_out):
        x, again = (sample(9, torch.Generator().manual_seed(4)) for _ in range(2))
        assert x.shape == (9, *dataset.shape) and x.dtype == torch.float32 and torch.equal(x, again)
    assert kind.usual_run(dataset.spec, config).data == config
    assert kind.usual_run(dataset, config).diffusion.kind == kind.diffusion


def test_what_the_kinds_know_of_their_data():
    """Entropy and exact kernel where the distribution is known; units and numbers of held-out data."""
    (points, _), (images, _), (bits, _) = (make() for make in SETS.values())
    pool, lattice = make_bits("binary_digits"), make_bits("ising")
    gaussian, binomial = (make_diffusion(sources.usual_run(*SETS[name]())) for name in ("points", "bits"))
    for dataset, known in ((points, True), (images, False), (bits, True), (pool, False)):
        kind = DATA_KINDS[dataset.kind]
        diffusion = binomial if kind.diffusion == "binomial" else gaussian
        assert (kind.entropy(dataset) is None) is (kind.exact_reverse(dataset, diffusion) is None) is not known
        assert kind.exact_reverse(dataset, gaussian if diffusion is binomial else binomial) is None
    assert DATA_KINDS["bits"].entropy(bits) == pytest.approx(math.log(5))
    found = [DATA_KINDS[one.kind].held_out(one.spec) for one in (points, images, bits, lattice)]
    assert found == [HeldOut(4000, True), HeldOut(20_000, False), HeldOut(2000, True), HeldOut(20_000, False)]
    assert [DATA_KINDS[one.kind].unit(one.spec) for one in (points, images, bits)] == [Unit("point"), Unit("pixel", 64), Unit("datum")]


def test_what_remains_of_data_after_training_and_what_identifies_them():
    """Pools are dropped but for the user's own; the user's own, and textures, are identified by their content."""
    own, picture = from_points([[0.0, 1.0], [2.0, 0.5]]), np.zeros((20, 30), np.uint8)
    image, digits, pool = make_images("image", (("size", 8),), picture), make_images("digits"), make_bits("binary_digits")
    kinds = DATA_KINDS
    assert kinds["points"].stored(DataConfig("own"), own) is own
    assert kinds["images"].stored(DataConfig("image"), image) is image
    assert kinds["images"].stored(DataConfig("digits"), digits) == digits.spec
    assert kinds["bits"].stored(DataConfig("binary_digits"), pool) == pool.spec
    assert not kinds["images"].content(DataConfig("digits"), digits) and not kinds["bits"].content(DataConfig("binary_digits"), pool)
    assert len(kinds["images"].content(DataConfig("textures"), image)) == len(kinds["points"].content(DataConfig("own"), own)) == 2
    assert not kinds["images"].tensors(DataConfig("textures"), image)


def test_unknown_names_and_things():
    with pytest.raises(DataError, match=r"Unknown data set .doughnut.; choose one of swiss_roll, .*, digits, .*, heartbeat"):
        kind_of("doughnut")
    assert kind_of_dataset(torch.zeros(3, 2)) is kind_of_dataset(None) is None
    with pytest.raises(DataError, match="path of their CSV file"):
        sources.make("own")


def run_of_line(steps=8):
    training = TrainConfig(steps=steps, batch=64, learning_rate=1e-2)
    return RunConfig(DataConfig("two_bumps"), ScheduleConfig("log_snr", 12), NetworkConfig("mlp", (("depth", 1), ("width", 16))), training)


def test_a_fourth_kind_is_trained_as_a_job_saved_and_loaded(line, tmp_path):
    """Job, its checkpoint, its run on disk again, its command line; nothing but the registry was told of it."""
    dataset = LineDataset()
    held_out = dataset.sample_held_out(400, torch.Generator().manual_seed(1))
    job = jobs.start(jobs.JobConfig("line", run_of_line(), threads=1), dataset, held_out, tmp_path)
    assert job.join(60) and job.status == "finished", job.message
    path = job.save("bumps", tmp_path / "checkpoints")
    loaded = checkpoints.load(path)
    assert loaded.dataset == dataset and loaded.shape == (1,) and loaded.config == run_of_line()
    assert "--data two_bumps" in loaded.meta["command"] and math.isfinite(loaded.meta["bound_bits"])
    header = json.loads(path.with_suffix(".json").read_text())
    assert header["data"] == {"title": "Two bumps", "noise": NOISE}
    (info,) = jobs.runs(tmp_path)
    assert info.name == "line"
    again = jobs.resume_run(tmp_path / "line", dataset, held_out, paused=True)
    assert again.step == 8
    again.stop()
    assert again.join(60)
    with pytest.raises(jobs.JobError, match="different data"):
        jobs.resume_run(tmp_path / "line", LineDataset(noise=0.5), held_out)


def test_a_fourth_kind_on_the_command_line(line, tmp_path, capsys):
    """Trained by name and from a file, sampled as a table, evaluated; what it cannot be written as is said."""
    (tmp_path / "mine.num").write_text("-1\n0\n1\n")
    for data, name in (("two_bumps", "bumps"), (str(tmp_path / "mine.num"), "mine")):
        assert main(["train", "--data", data, "--steps", "5", "--points", "100", "--batch", "16", "--name", name]) == 0
    assert "bits per number" in capsys.readouterr().out
    mine = checkpoints.load("mine")
    assert mine.dataset.own == (-1.0, 0.0, 1.0) and mine.config.network.name == "rbf" and mine.config.schedule.T == 10
    assert main(["sample", "bumps", "-n", "7", "-o", str(tmp_path / "x.csv")]) == 0
    assert np.loadtxt(tmp_path / "x.csv", delimiter=",", ndmin=2).shape == (7, 1)
    assert main(["sample", "bumps", "-n", "7", "-o", str(tmp_path / "x.png")]) == 2
    assert capsys.readouterr().err.strip() == "error: Points on a line of this shape cannot be written as .png; choose .npz or .csv."
    assert main(["evaluate", "bumps", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data_entropy_bits"] is None and len(report["kl_bits"]) == 9 and math.isfinite(report["bound_bits"])
    assert main(["evaluate", "mine"]) == 0
    assert "bits per number" in capsys.readouterr().out


def test_a_checkpoint_of_a_kind_that_is_not_there_is_refused(line, tmp_path):
    run, dataset = run_of_line(), LineDataset()
    model = build_model(run.network, make_diffusion(run), (1,))
    path = checkpoints.save(checkpoints.Checkpoint("bumps", model, run, dataset, {}), tmp_path)
    assert checkpoints.load(path).dataset == dataset
    del DATA_KINDS["line"]
    try:
        with pytest.raises(CheckpointError, match="Unknown data set 'two_bumps'"):
            checkpoints.load(path)
    finally:
        DATA_KINDS["line"] = line


def test_a_job_of_a_bare_tensor_gets_its_data_set_by_name(line, tmp_path):
    x = LineDataset().sample(300, torch.Generator().manual_seed(0))
    job = jobs.start(jobs.JobConfig("bare", run_of_line(4), threads=1), x[:200], x[200:], tmp_path)
    assert job.join(60) and job.status == "finished", job.message
    assert checkpoints.load(job.save("bare", tmp_path)).dataset == LineDataset()
