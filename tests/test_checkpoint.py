"""Checkpoints: what is saved is what is loaded, and nothing broken gets in."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dpm_core import checkpoint
from dpm_core.checkpoint import Checkpoint, CheckpointError, list_checkpoints, load, save
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.toy2d import from_points, make_dataset
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.samplers import ancestral, ddim
from dpm_core.schedules import make_schedule
from dpm_core.training import build_model, train_steps

NETWORKS = {
    "mlp": NetworkConfig("mlp", (("depth", 1), ("features", 3), ("width", 8))),
    "rbf": NetworkConfig("rbf", (("units", 5),)),
}


@functools.cache
def trained(network="mlp", own=False, name="small"):
    """Two optimiser steps away from fresh, so every weight matters."""
    dataset = from_points([[0.0, 5.0], [1.0, 7.0], [4.0, 6.5]], title="Three", noise=0.2) if own else make_dataset("eight_gaussians")
    config = RunConfig(
        DataConfig(dataset.name, dataset.noise),
        ScheduleConfig("paper", 5, (("beta_1", 0.01),)),
        NETWORKS[network],
        TrainConfig(steps=3, batch=32),
    )
    model = build_model(config.network, GaussianDiffusion(make_schedule("paper", 5, beta_1=0.01)), seed=7)
    data = dataset.sample(64, torch.Generator().manual_seed(0))
    *_, step = train_steps(model, data, config.training)
    return Checkpoint(name, step.average, config, dataset, {"steps": 3, "bound_bits": -1.5, "command": "none"})


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save(trained(), tmp_path_factory.mktemp("good")).parent


@pytest.fixture
def saved(good, tmp_path):
    """The path of a good checkpoint, alone in its folder."""
    return shutil.copytree(good, tmp_path, dirs_exist_ok=True) / "small.safetensors"


def draw(loaded, sampler=ancestral):
    *_, last = sampler(loaded.model, loaded.diffusion, (50, 2), generator=torch.Generator().manual_seed(1))
    return last.x


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_loaded_checkpoint_draws_identical_samples(network, own, tmp_path):
    """Bit for bit, ancestral and DDIM; config, data and notes come back equal."""
    original = trained(network, own)
    loaded = load(save(original, tmp_path))
    for sampler in (ancestral, ddim):
        assert torch.equal(draw(loaded, sampler), draw(original, sampler))
    assert float(draw(loaded).std()) > 0.3
    assert loaded.config == original.config and loaded.name == "small"
    assert torch.equal(loaded.diffusion.schedule.betas, original.diffusion.schedule.betas)
    assert {k: loaded.meta[k] for k in original.meta} == original.meta
    a, b = loaded.dataset, original.dataset
    assert torch.equal(a.sample(20, torch.Generator().manual_seed(2)), b.sample(20, torch.Generator().manual_seed(2)))
    assert (a.title, a.noise, a.mean, a.scale) == (b.title, b.noise, b.mean, b.scale)
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_a_persons_own_points_survive_exactly(tmp_path):
    """Their raw coordinates come back from points, mean and scale; entropy and density are the same."""
    original = trained(own=True)
    data = load(save(original, tmp_path)).dataset
    raw = data.points.numpy() * data.scale + data.mean
    np.testing.assert_allclose(raw, [[0.0, 5.0], [1.0, 7.0], [4.0, 6.5]], atol=1e-12)
    assert torch.equal(data.points, original.dataset.points)
    assert data.entropy() == pytest.approx(original.dataset.entropy(), rel=1e-12)


def test_the_average_keeps_its_buffers_too(tmp_path):
    """The random frequencies are saved, so a checkpoint does not rest on how they were drawn."""
    path = save(trained(), tmp_path)
    tensors = load_file(path)
    tensors["network.frequencies"] = tensors["network.frequencies"] * 2
    save_file(tensors, path)
    loaded = load(path)
    assert torch.equal(loaded.model.network.frequencies, 2 * trained().model.network.frequencies)


def test_found_by_name_by_path_and_in_order(tmp_path, monkeypatch):
    """Shipped folders come first; a file without its JSON is no checkpoint; DPM_CHECKPOINTS is the user's folder."""
    shipped, mine = tmp_path / "a", tmp_path / "b"
    save(trained(), shipped)
    save(trained("rbf"), mine)
    save(trained("rbf", name="other"), mine)
    (mine / "lonely.safetensors").write_bytes(b"")
    assert list_checkpoints([shipped, mine]) == {"small": shipped / "small.safetensors", "other": mine / "other.safetensors"}
    assert load("small", [shipped, mine]).config.network.name == "mlp"
    assert load("small", [mine, shipped]).config.network.name == "rbf"
    monkeypatch.setenv("DPM_CHECKPOINTS", str(mine))
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "none")
    assert set(list_checkpoints()) == {"small", "other"}
    assert save(trained(name="third")) == mine / "third.safetensors" and "third" in list_checkpoints()
    for unknown in ("fourth", str(tmp_path / "fourth.safetensors"), "", "../a/small"):
        with pytest.raises(CheckpointError, match=r"\.$"):
            load(unknown)


def test_every_shipped_checkpoint_loads_and_keeps_its_promise():
    """K of each on 400 fresh draws lies within 5 standard errors (of both) plus 0.01 bits of the number in its JSON."""
    from dpm_core.bound import evaluate_bound

    found = list_checkpoints([checkpoint.SHIPPED])
    assert len(found) >= 8
    for path in found.values():
        loaded = load(path)
        x0 = loaded.dataset.sample(400, torch.Generator().manual_seed(5))
        bound = evaluate_bound(loaded.model, loaded.diffusion, x0, torch.Generator().manual_seed(6))
        error = np.hypot(bound.standard_error_bits, loaded.meta["bound_standard_error_bits"])
        assert abs(bound.bound_bits - loaded.meta["bound_bits"]) < 5 * error + 0.01, path.name
        assert loaded.meta["bound_bits"] < loaded.meta["best_bound_bits"] + 5 * error


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint at all",
        b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00",  # a pickle's first bytes
        b"\xff" * 64,
        (8).to_bytes(8, "little") + b"{broken}",
        (1 << 60).to_bytes(8, "little") + b"{}",
    ],
)
def test_foreign_tensors_are_refused(saved, content):
    saved.write_bytes(content)
    refused(saved)


@pytest.mark.parametrize("keep", [4, 100, -1])
def test_cut_off_tensors_are_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    refused(saved)


def test_files_over_the_limit_are_refused_unread(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_BYTES", saved.stat().st_size - 1)
    monkeypatch.setattr(checkpoint, "load_file", lambda path: pytest.fail("read before its size was checked"))
    assert refused(saved) == f"The checkpoint small.safetensors is larger than {checkpoint.MAX_BYTES >> 20} MB."


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"text"', "{}", '{"format": "other"}', '{"format": ["dpm-checkpoint-1"]}'])
def test_foreign_json_is_refused(saved, text):
    saved.with_suffix(".json").write_text(text)
    refused(saved)


def test_another_programs_header_is_refused(saved):
    """Complete and right in every field but its format."""
    header = json.loads(saved.with_suffix(".json").read_text())
    for other in ("dpm-checkpoint-2", None, 1):
        saved.with_suffix(".json").write_text(json.dumps(header | {"format": other}))
        assert "does not describe" in refused(saved)


def test_json_that_is_no_text_or_not_there_is_refused(saved):
    saved.with_suffix(".json").write_bytes(b"\xff\xfe\x00{")
    refused(saved)
    saved.with_suffix(".json").unlink()
    assert "no small.json" in refused(saved)
    with pytest.raises(CheckpointError, match="no checkpoint 'small'"):
        load("small", [saved.parent])


@pytest.mark.parametrize("change", ["missing", "extra", "misshaped", "transposed", "nan", "inf", "none"])
def test_tensors_that_do_not_fit_are_refused(saved, change):
    tensors = load_file(saved)
    key = "network.inputs.weight"
    if change == "missing":
        del tensors[key]
    elif change == "extra":
        tensors["network.more"] = torch.zeros(2)
    elif change == "misshaped":
        tensors[key] = tensors[key][:, :-1].contiguous()
    elif change == "transposed":
        tensors["network.blocks.0.weight"] = tensors["network.blocks.0.weight"].reshape(-1).contiguous()
    elif change == "none":
        tensors = {"network": torch.zeros(1)}
    else:
        tensors[key][0, 0] = float(change)
    save_file(tensors, saved)
    assert "does not fit" in refused(saved)


@pytest.mark.parametrize(
    "where, value",
    [
        ("surprise", 1),
        ("schedule.surprise", 1),
        ("schedule.T", 1),
        ("schedule.T", 10_001),
        ("schedule.T", 10**12),
        ("schedule.T", "5"),
        ("schedule.T", 5.0),
        ("schedule.name", "papyrus"),
        ("schedule.name", None),
        ("schedule.params", {"beta_1": 2.0}),
        ("schedule.params", {"beta_1": "x"}),
        ("schedule.params", {"gamma": 0.1}),
        ("schedule.params", []),
        ("network.name", "transformer"),
        ("network.params", {"width": 1_000_000_000}),
        ("network.params", {"width": 1025}),
        ("network.params", {"width": -1}),
        ("network.params", {"width": 2.5}),
        ("network.params", {"width": "wide"}),
        ("network.params", {"depth": 1_000_000}),
        ("network.params", {"features": 1_000_000}),
        ("network.params", {"dims": 3}),
        ("network.params", {"T": 3}),
        ("network.params", {"width": 16}),
        ("network", {"name": "rbf", "params": {"units": 10**9}}),
        ("data.name", "doughnut"),
        ("data.name", "../../etc/passwd"),
        ("data.noise", 0.9),
        ("data.noise", float("nan")),
        ("data.noise", "loud"),
        ("data", "moons"),
        ("training.loss", "hinge"),
        ("training.steps", 0),
        ("training.learning_rate", "fast"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(saved, where, value):
    header = json.loads(saved.with_suffix(".json").read_text())
    node = header["config"]
    *parents, key = where.split(".")
    for parent in parents:
        node = node[parent]
    node[key] = value
    saved.with_suffix(".json").write_text(json.dumps(header))
    refused(saved)


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_config_that_is_no_object_is_refused(saved, value):
    header = json.loads(saved.with_suffix(".json").read_text())
    header["config"] = value
    saved.with_suffix(".json").write_text(json.dumps(header))
    refused(saved)
    del header["config"]
    saved.with_suffix(".json").write_text(json.dumps(header))
    assert "config" in refused(saved)


@pytest.mark.parametrize(
    "key, value",
    [
        ("noise", 0.9),
        ("noise", 0.0),
        ("noise", "x"),
        ("noise", None),
        ("noise", float("nan")),
        ("mean", None),
        ("mean", [0.0]),
        ("mean", [0.0, 1.0, 2.0]),
        ("mean", ["a", "b"]),
        ("scale", 3),
    ],
)
def test_own_data_with_broken_constants_is_refused(tmp_path, key, value):
    path = save(trained(own=True), tmp_path)
    header = json.loads(path.with_suffix(".json").read_text())
    header["data"][key] = value
    path.with_suffix(".json").write_text(json.dumps(header))
    refused(path)
    del header["data"][key]
    path.with_suffix(".json").write_text(json.dumps(header))
    refused(path)
    header["data"] = [1, 2]
    path.with_suffix(".json").write_text(json.dumps(header))
    refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"data.points": None},
        {"data.weights": None},
        {"data.points": torch.zeros(3, 3)},
        {"data.points": torch.zeros(2, 2)},
        {"data.points": torch.zeros(3)},
        {"data.points": torch.zeros(0, 2), "data.weights": torch.zeros(0)},
        {"data.points": torch.full((3, 2), torch.nan)},
        {"data.points": torch.full((3, 2), torch.inf)},
        {"data.weights": torch.tensor([1.0, -1.0, 1.0])},
        {"data.weights": torch.tensor([1.0, torch.nan, 1.0])},
        {"data.weights": torch.tensor([1.0, torch.inf, 1.0])},
        {"data.weights": torch.zeros(3)},
    ],
)
def test_own_data_with_broken_points_is_refused(tmp_path, change):
    path = save(trained(own=True), tmp_path)
    tensors = load_file(path) | change
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    refused(path)


def test_a_failing_write_leaves_the_old_files_alone(saved, monkeypatch):
    """The disk fills half way through the tensors: both old files byte for byte, nothing beside them, still loadable."""
    before = {p.name: p.read_bytes() for p in saved.parent.iterdir()}

    def half(tensors, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half)
    other = dataclasses.replace(trained("rbf"), meta={"steps": 99})
    with pytest.raises(OSError, match="No space"):
        save(other, saved.parent)
    assert {p.name: p.read_bytes() for p in saved.parent.iterdir()} == before
    with pytest.raises(OSError, match="No space"):
        save(dataclasses.replace(other, name="new"), saved.parent)
    assert {p.name: p.read_bytes() for p in saved.parent.iterdir()} == before
    monkeypatch.undo()
    assert load(saved).config.network.name == "mlp"


def test_a_failing_rename_leaves_no_temporary_file(saved, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.parent.iterdir()}

    def refuse(source, target):
        raise PermissionError("Read-only file system")

    monkeypatch.setattr(checkpoint.os, "replace", refuse)
    with pytest.raises(PermissionError):
        save(trained("rbf"), saved.parent)
    assert {p.name: p.read_bytes() for p in saved.parent.iterdir()} == before


def test_overwriting_replaces_both_files(saved):
    save(trained("rbf"), saved.parent)
    assert load(saved).config.network.name == "rbf"
    assert sorted(p.name for p in saved.parent.iterdir()) == ["small.json", "small.safetensors"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "a\\b", ".hidden", "-flag", "_x", "a b", "a.b", "naïve", "a\n", "a\0b", "x" * 65, "con:"]
)
def test_names_that_are_no_plain_file_names_are_refused(tmp_path, name):
    folder = tmp_path / "inner"
    with pytest.raises(CheckpointError, match=r"\.$"):
        save(dataclasses.replace(trained(), name=name), folder)
    assert not folder.exists() or not any(folder.iterdir())


@pytest.mark.parametrize("name", ["a", "Roll-2_b", "9" * 64])
def test_plain_names_are_kept(tmp_path, name):
    assert save(dataclasses.replace(trained(), name=name), tmp_path) == tmp_path / f"{name}.safetensors"
    assert load(name, [tmp_path]).name == name
