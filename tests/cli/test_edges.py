"""Corners that once went wrong: each stays a sentence, or the right number."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint, CheckpointError, load, save
from dpm_core.cli.main import main
from dpm_core.config import NetworkConfig, RunConfig, ScheduleConfig
from dpm_core.data.errors import DataError
from dpm_core.data.toy2d import from_points, make_dataset
from dpm_core.data.uploads import read_csv
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ddim
from dpm_core.schedules import Schedule, ScheduleError, make_schedule

TINY = (("width", 8), ("depth", 1), ("features", 2))


def small(name="small"):
    config = RunConfig(schedule=ScheduleConfig("log_snr", 5), network=NetworkConfig("mlp", TINY))
    model = build_model(config.network, GaussianDiffusion(make_schedule("log_snr", 5)))
    return Checkpoint(name, model, config, make_dataset("swiss_roll"), {})


def test_only_the_last_beta_may_be_one():
    with pytest.raises(ScheduleError, match="Only the last"):
        make_schedule("constant", 5, beta=1.0)
    with pytest.raises(ScheduleError, match="Only the last"):
        Schedule(torch.tensor([0.1, 1.0, 0.5]))
    drawn = make_schedule("custom", 5, points=((0, 0.1), (0.5, 1), (1, 1)))
    assert drawn.betas[-1] == 1 and drawn.alpha_bar(4) > 0
    coefficients = GaussianDiffusion(drawn).posterior_coefficients(torch.arange(1, 6))
    assert all(bool(c.isfinite().all()) for c in coefficients)


@pytest.mark.parametrize("T", ["x", None, float("nan"), float("inf"), 40.5, 1, True])
def test_impossible_T(T):
    with pytest.raises(ScheduleError, match="whole number"):
        make_schedule("paper", T)


def test_impossible_parameters_are_schedule_errors():
    for name, params in (("quadratic", {"beta_start": -1.0}), ("custom", {"points": ((0, 0.1, 3), (1, 0.2, 3))}), ("linear", {"x": 1})):
        with pytest.raises(ScheduleError) as caught:
            make_schedule(name, 10, **params)
        assert "\n" not in str(caught.value)


def test_the_fixed_last_step_holds_for_tensors_of_times():
    """App. B.2 at t = 1 row by row, the network elsewhere."""
    model = small().model
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(model.network.outputs.bias, generator=torch.Generator().manual_seed(1))
    mixed = model.reverse(x, torch.tensor([1, 3, 1]))
    edge, inner = model.reverse(x, 1), model.reverse(x, 3)
    for part in ("mean", "stddev"):
        value = getattr(mixed, part)
        assert torch.allclose(value[[0, 2]], getattr(edge, part)[[0, 2]])
        assert torch.allclose(value[1], getattr(inner, part)[1])
    assert torch.allclose(edge.mean, math.sqrt(float(model.diffusion.schedule.alpha(1))) * x)


@pytest.mark.parametrize("eta", [-1.0, 1.5, 50.0, float("nan")])
def test_eta_is_checked(eta):
    model = small().model
    with pytest.raises(ValueError, match="η"):
        next(ddim(model, model.diffusion, (4, 2), eta=eta))


def test_a_failing_header_leaves_the_old_checkpoint_whole(tmp_path):
    path = save(small(), tmp_path)
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    bad = small()
    with pytest.raises(TypeError):
        save(Checkpoint("small", bad.model, bad.config, bad.dataset, {"x": object()}), tmp_path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_hostile_headers_are_one_sentence(tmp_path):
    path = save(small(), tmp_path)
    header = path.with_suffix(".json")
    good = json.loads(header.read_text())
    huge = int("9" * 400)

    def broken(change):
        copy = json.loads(json.dumps(good))
        change(SimpleNamespace(**copy), copy)
        header.write_text(json.dumps(copy))
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert "\n" not in str(caught.value)

    broken(lambda _, c: c["config"]["training"].update(learning_rate=huge))
    broken(lambda _, c: c["config"]["network"]["params"].update(frequency=huge))
    broken(lambda _, c: c["config"]["schedule"].update(name="constant", params={"beta": huge}))
    broken(lambda _, c: c["config"]["schedule"].update(name="quadratic", params={"beta_start": -1}))
    broken(lambda _, c: c["config"]["schedule"].update(T=checkpoints.MAX_T + 1))
    header.write_text("[" * 100_000)
    with pytest.raises(CheckpointError):
        load(path)
    with pytest.raises(CheckpointError):
        load("x" * 5000 + ".safetensors")


@pytest.mark.parametrize("mean,scale", [([math.nan, 0], [1, 1]), ([0, 0], [0, 1]), ([0, 0], [math.inf, 1])])
def test_own_data_constants_are_checked(tmp_path, mean, scale):
    own = from_points(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).numpy())
    base = small("own")
    config = RunConfig(type(base.config.data)("own", own.noise), base.config.schedule, base.config.network)
    path = save(Checkpoint("own", base.model, config, own, {}), tmp_path)
    assert load(path).dataset.points.shape == (20, 2)
    header = json.loads(path.with_suffix(".json").read_text())
    header["data"] |= {"mean": mean, "scale": scale}
    path.with_suffix(".json").write_text(json.dumps(header))
    with pytest.raises(CheckpointError):
        load(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--name", "a/b"],
        ["train", "--name", "x", "--points", "0"],
        ["train", "--name", "x", "-T", "20000"],
        ["train", "--name", "x", "--schedule-param", "T=3"],
        ["train", "--name", "x", "--schedule-param", "name=3"],
    ],
)
def test_bad_arguments_are_refused_before_any_work(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_malformed_first_row_is_no_header():
    for raw in (b"1,abc\n2,3\n4,5\n", b",1\n2,3\n4,5\n"):
        with pytest.raises(DataError, match="text"):
            read_csv(raw)
    assert read_csv(b"x,y\r1,2\r3,4\r").tolist() == [[1, 2], [3, 4]]
    with pytest.raises(DataError):
        from_points([["a", "b"], ["c", "d"]])


@pytest.mark.parametrize("name", ["moons", "circles"])
@pytest.mark.parametrize("noise", [0.02, 0.06, 0.5])
def test_points_are_no_further_apart_than_promised(name, noise):
    data = make_dataset(name, noise)
    gaps = torch.cdist(data.points, data.points).fill_diagonal_(torch.inf).min(1).values
    assert float(gaps.max()) <= 1.2 * noise * 1.0001
