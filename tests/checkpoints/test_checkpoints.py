"""Checkpoints: what is saved is what is loaded, and nothing broken gets in."""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint, CheckpointError, delete, list_checkpoints, load, rename, save, save_upload
from dpm_core.cli.common import held_out_bound
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.data.images import IMAGE_SETS, ImageSpec, available, make_images
from dpm_core.data.toy2d import from_points, make_dataset
from dpm_core.measure.bound import estimate_bound
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ancestral, ddim
from dpm_core.schedules import make_schedule
from dpm_core.training import train_steps

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
    monkeypatch.setattr(checkpoints.folders, "SHIPPED", tmp_path / "none")
    assert set(list_checkpoints()) == {"small", "other"}
    assert save(trained(name="third")) == mine / "third.safetensors" and "third" in list_checkpoints()
    for unknown in ("fourth", str(tmp_path / "fourth.safetensors"), "", "../a/small"):
        with pytest.raises(CheckpointError, match=r"\.$"):
            load(unknown)


def test_every_shipped_checkpoint_loads_and_keeps_its_promise(monkeypatch, tmp_path):
    """K of each on 400 fresh data lies within 5 standard errors (of both) plus 0.01 bits of the number in its JSON.

    Those of images that are not here are only loaded; where the data's distribution is known, none is better than the best chain.
    """
    monkeypatch.setenv("DPM_DATA", str(tmp_path))
    found = list_checkpoints([checkpoints.SHIPPED])
    assert len(found) >= 8
    for path in found.values():
        loaded = load(path)
        name = loaded.config.data.name
        if name in IMAGE_SETS and (name == "textures" or available(name)):
            continue
        bound = held_out_bound(loaded.model, sources.of_checkpoint(loaded.dataset, loaded.config.data), 5, 400)
        error = np.hypot(bound.standard_error_bits, loaded.meta["bound_standard_error_bits"])
        assert abs(bound.bound_bits - loaded.meta["bound_bits"]) < 5 * error + 0.01, path.name
        if "best_bound_bits" in loaded.meta:
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
    monkeypatch.setattr(checkpoints.format, "MAX_BYTES", saved.stat().st_size - 1)
    monkeypatch.setattr(checkpoints.reading, "load_file", lambda path: pytest.fail("read before its size was checked"))
    assert refused(saved) == f"The checkpoint small.safetensors is larger than {checkpoints.format.MAX_BYTES >> 20} MB."


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

    def half(path, data, _write=Path.write_bytes):
        _write(path, data[: len(data) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
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

    monkeypatch.setattr("dpm_core.files.os.replace", refuse)
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


# --- images ---

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@functools.cache
def imaged(kind="digits"):
    """Two optimiser steps on digits, on cuts from a colour picture, or on cuts from one too small to hold anything out."""
    side = {"digits": None, "image": 16, "small": 12}[kind]
    params = (("size", side),) if side else ()
    picture = PICTURE[:20, :20] if kind == "small" else PICTURE
    dataset = make_images("image", params, picture) if side else make_images("digits")
    config = RunConfig(
        DataConfig(dataset.name, params=params),
        ScheduleConfig("log_snr", 20),
        NetworkConfig("unet", (("width", 8),)),
        TrainConfig(steps=3, batch=8, learning_rate=4e-3),
    )
    model = build_model(config.network, GaussianDiffusion(make_schedule("log_snr", 20)), dataset.shape)
    *_, step = train_steps(model, dataset.batches(), config.training)
    return Checkpoint(kind, step.average, config, dataset, {"steps": 3})


@pytest.mark.parametrize("network", ["mlp", "multiscale"])
def test_a_checkpoint_without_a_form_of_its_variance_has_the_older_one(network, tmp_path):
    """Var(x⁽⁰⁾|x⁽ᵗ⁾) = (1−ᾱ_t) sigmoid(v), or sigmoid(4 + v) of the multi-scale network, which counts from there; v as given."""
    made = trained() if network == "mlp" else imaged("digits")
    asked = made.config.network if network == "mlp" else NetworkConfig("multiscale", (("dense", 0), ("layers", 1), ("width", 4)))
    model = build_model(asked, made.diffusion, made.shape).requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1
    made = dataclasses.replace(made, config=dataclasses.replace(made.config, network=asked), model=model)
    path = save(made, tmp_path)
    header = json.loads(path.with_suffix(".json").read_text())
    assert header["config"]["network"].pop("variance") == "free"
    path.with_suffix(".json").write_text(json.dumps(header))
    older, t = load(path), 3
    assert older.config.network.variance == "capped"
    x = torch.randn(3, *made.shape, generator=torch.Generator().manual_seed(0))
    schedule = made.diffusion.schedule
    _, v = model.network(x, torch.tensor(t), schedule.log_snr(t).float())
    mean, variance = older.model.x0_posterior(x, t)
    torch.testing.assert_close(mean, model.x0_posterior(x, t)[0])
    start = 4.0 if network == "multiscale" else 0.0
    assert float(v.abs().max()) > 0.05
    torch.testing.assert_close(variance, float(schedule.noise(t)) / (1 + torch.exp(-v - start)))


@pytest.mark.parametrize("kind", ["digits", "image", "small"])
def test_an_image_checkpoint_comes_back_whole(kind, tmp_path):
    """The same samples bit for bit; the spec; of a person's own picture every pixel of both pools, of digits none."""
    original = imaged(kind)
    path = save(original, tmp_path)
    loaded = load(path)
    assert loaded.config == original.config and loaded.shape == original.dataset.shape
    samples = []
    for one in (loaded, original):
        *_, last = ancestral(one.model, one.diffusion, (3, *one.shape), steps=5, generator=torch.Generator().manual_seed(1))
        samples.append(last.x)
    assert torch.equal(*samples) and float(samples[0].std()) > 0.3
    own = {k for k in load_file(path) if k.startswith("data.")}
    if kind == "digits":
        assert type(loaded.dataset) is ImageSpec and loaded.dataset == original.dataset.spec and not own
        return
    assert loaded.dataset.spec == original.dataset.spec and own == {"data.train", "data.held_out"}
    for pool in ("train", "held_out"):
        assert torch.equal(getattr(loaded.dataset, pool), getattr(original.dataset, pool))
    draws = (one.dataset.sample_held_out(9, torch.Generator().manual_seed(2)) for one in (loaded, original))
    assert torch.equal(*draws)


def test_half_stores_sixteen_bits(tmp_path):
    """Half the bytes; each weight to 2⁻¹¹ of itself, float32 again; K of the same draws moves by under 0.005 bits per pixel."""
    original = imaged()
    whole, half = save(original, tmp_path / "whole"), save(original, tmp_path / "half", half=True)
    assert {v.dtype for v in load_file(half).values()} == {torch.float16}
    assert {v.dtype for v in load_file(whole).values()} == {torch.float32}
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = load(half)
    moved = 0
    for key, value in loaded.model.network.state_dict().items():
        exact = original.model.network.state_dict()[key]
        assert value.dtype == torch.float32
        assert bool(((value - exact).abs() <= 2**-11 * exact.abs() + 2**-25).all())
        moved += int((value != exact).sum())
    assert moved > 1000
    x0 = original.dataset.sample_held_out(300, torch.Generator().manual_seed(0))
    bits = [estimate_bound(m, original.diffusion, x0, torch.Generator().manual_seed(1)).bound_bits for m in (loaded.model, original.model)]
    assert 0 < abs(bits[0] - bits[1]) < 0.005 * 64


@pytest.mark.parametrize(
    "key, value",
    [
        ("shape", [1, 512, 8]),
        ("shape", [1, 8, 257]),
        ("shape", [2, 8, 8]),
        ("shape", [0, 8, 8]),
        ("shape", [1, 0, 8]),
        ("shape", [1, -8, 8]),
        ("shape", [True, 8, 8]),
        ("shape", [1.0, 8, 8]),
        ("shape", [1, 10**30, 8]),
        ("shape", ["1", "8", "8"]),
        ("scale", 0),
        ("scale", -1.0),
        ("scale", float("nan")),
        ("scale", float("inf")),
        ("mean", float("nan")),
        ("mean", float("-inf")),
        ("levels", 1),
        ("levels", 257),
        ("levels", 17.0),
        ("levels", True),
        ("levels", None),
    ],
)
def test_image_constants_are_checked_before_any_tensor_is_read(tmp_path, key, value):
    """Beside tensors that no parser takes: the complaint is the description's, as it would be the tensors' were it right."""
    path = save(imaged(), tmp_path)
    path.write_bytes(b"no tensors at all")
    of_tensors = refused(path)
    header = json.loads(path.with_suffix(".json").read_text())
    header["data"][key] = value
    path.with_suffix(".json").write_text(json.dumps(header))
    message = refused(path)
    assert message != of_tensors and ("3 channels and sides up to 256" in message or "constants are out of range" in message)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"title": "x", "shape": [1, 8], "mean": 1, "scale": 1, "levels": 17},
        {"title": "x", "shape": 8, "mean": 1, "scale": 1, "levels": 17},
        {"title": "x", "shape": [1, 8, 8], "mean": "x", "scale": 1, "levels": 17},
        {"title": "x", "shape": [1, 8, 8], "mean": 10**400, "scale": 1, "levels": 17},
        {"title": "x", "shape": [1, 8, 8], "mean": 1, "scale": [1], "levels": 17},
        {"title": "x", "shape": [1, 8, 8], "mean": 1, "scale": 1},
    ],
)
def test_an_image_description_that_is_none_is_refused_unread(tmp_path, data, monkeypatch):
    path = save(imaged(), tmp_path)
    monkeypatch.setattr(checkpoints.reading, "load_file", lambda path: pytest.fail("read before its description was checked"))
    header = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(header | {"data": data}))
    refused(path)


def test_a_network_for_points_cannot_claim_images(tmp_path):
    """And the reverse: description and network must fit each other."""
    path = save(trained(), tmp_path)
    header = json.loads(path.with_suffix(".json").read_text())
    header["config"]["network"] = {"name": "unet", "params": {"width": 8}}
    path.with_suffix(".json").write_text(json.dumps(header))
    assert "The U-Net is for images" in refused(path)


@pytest.mark.parametrize(
    "pool",
    [
        torch.zeros(1, 3, 40, 45),  # not uint8
        torch.zeros(1, 1, 40, 45, dtype=torch.uint8),  # grey
        torch.zeros(1, 3, 15, 45, dtype=torch.uint8),  # lower than a cut
        torch.zeros(1, 3, 40, 15, dtype=torch.uint8),  # narrower
        torch.zeros(0, 3, 40, 45, dtype=torch.uint8),
        torch.zeros(3, 40, 45, dtype=torch.uint8),
        torch.zeros(1, 1, 3, 40, 45, dtype=torch.uint8),
        None,
    ],
)
@pytest.mark.parametrize("name", ["data.train", "data.held_out"])
def test_a_picture_that_does_not_fit_its_description_is_refused(tmp_path, name, pool):
    path = save(imaged("image"), tmp_path)
    tensors = load_file(path) | {name: pool}
    if pool is None and name == "data.train":
        tensors = {k: v for k, v in tensors.items() if not k.startswith("data.")}
        save_file(tensors, path)
        assert type(load(path).dataset) is ImageSpec  # a model whose picture is not given away is still a model
        return
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    refused(path)


def test_weights_for_other_images_are_refused(tmp_path):
    """Colour weights under a grey description."""
    path = save(imaged("image"), tmp_path)
    header = json.loads(path.with_suffix(".json").read_text())
    header["data"]["shape"] = [1, 16, 16]
    path.with_suffix(".json").write_text(json.dumps(header))
    refused(path)


def test_what_would_be_too_large_to_load_is_not_written(tmp_path, monkeypatch):
    """At the size of its file plus a header's it is, one byte below it is not; nothing is left."""
    size = sum(v.nbytes for v in load_file(save(imaged("image"), tmp_path)).values())
    monkeypatch.setattr(checkpoints.format, "MAX_BYTES", size + checkpoints.format.MAX_HEADER_BYTES)
    assert load(save(imaged("image"), tmp_path)).name == "image"
    monkeypatch.setattr(checkpoints.format, "MAX_BYTES", size + checkpoints.format.MAX_HEADER_BYTES - 1)
    with pytest.raises(CheckpointError, match=r"smaller network or picture\.$"):
        save(imaged("image"), tmp_path / "new")
    assert not any((tmp_path / "new").iterdir())
    assert save(imaged("image"), tmp_path / "new", half=True).exists()


def test_a_disk_that_fills_leaves_an_image_checkpoint_alone(tmp_path, monkeypatch):
    path = save(imaged("image"), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dpm_core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(dataclasses.replace(imaged("digits"), name="image"), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert load(path).shape == (3, 16, 16)


def test_a_pickle_by_another_name_is_refused_and_not_run(saved):
    """torch.save's own file, and a pickle that would write a file."""

    class Trap:
        def __reduce__(self):
            return open, (str(saved.parent / "sprung"), "w")

    torch.save({"network.inputs.weight": torch.zeros(2), "trap": Trap()}, saved)
    refused(saved)
    saved.write_bytes(pickle.dumps(Trap()))
    refused(saved)
    assert not (saved.parent / "sprung").exists()


# --- uploading, renaming, deleting ---


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped checkpoints with "small" in it."""
    folder = (tmp_path / "shipped").resolve()
    save(trained(), folder)
    monkeypatch.setattr(checkpoints.folders, "SHIPPED", folder)
    return folder


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    save(trained(name="first"), folder)
    return folder


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def both(path):
    return path.read_bytes(), path.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("make", [trained, lambda: imaged("digits"), lambda: imaged("image")])
def test_an_upload_is_kept_byte_for_byte(tmp_path, shipped, make):
    given = both(save(make(), tmp_path / "there"))
    path = save_upload(*given, "kept", tmp_path / "new" / "folder")
    assert both(path) == given and path == tmp_path / "new" / "folder" / "kept.safetensors"
    assert sorted(p.name for p in path.parent.iterdir()) == ["kept.json", "kept.safetensors"]
    assert load("kept", [path.parent]).config == make().config


@pytest.mark.parametrize("change", ["missing", "extra", "misshaped", "nan", "cut", "text", "empty", "pickle", "json", "format", "config"])
def test_a_broken_upload_leaves_nothing_behind(tmp_path, mine, shipped, change):
    tensors_path = save(trained(), tmp_path / "there")
    raw, header = both(tensors_path)
    tensors, key = load_file(tensors_path), "network.inputs.weight"
    if change == "missing":
        del tensors[key]
    elif change == "extra":
        tensors["network.more"] = torch.zeros(2)
    elif change == "misshaped":
        tensors[key] = tensors[key][:, :-1].contiguous()
    elif change == "nan":
        tensors[key][0, 0] = torch.nan
    save_file(tensors, tensors_path)
    raw = tensors_path.read_bytes()
    raw = {"cut": raw[:-5], "text": b"hello", "empty": b"", "pickle": pickle.dumps(tensors)}.get(change, raw)
    described = json.loads(header)
    if change == "config":
        described["config"]["network"]["params"]["width"] = 10**9
    broken = {"json": b"{", "format": b"{}", "config": json.dumps(described).encode()}
    before = files(mine)
    with pytest.raises(CheckpointError) as caught:
        save_upload(raw, broken.get(change, header), "new", mine)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert files(mine) == before and len(list(mine.iterdir())) == 2


@pytest.mark.parametrize("name", ["../out", "a b", "", "x" * 65, "first", "small"])
def test_an_upload_needs_a_plain_name_that_is_free(tmp_path, mine, shipped, name):
    """The name "first" is there already, "small" is shipped."""
    given = both(save(trained(), tmp_path / "there"))
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match="choose another name" if name in ("first", "small") else "name may hold"):
        save_upload(*given, name, mine)
    assert files(tmp_path) == before


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_HEADER_BYTES"])
def test_an_upload_over_the_limit_is_not_written(tmp_path, mine, shipped, monkeypatch, limit):
    tensors, header = both(save(trained(), tmp_path / "there"))
    monkeypatch.setattr(checkpoints.format, limit, len(tensors if limit == "MAX_BYTES" else header) - 1)
    monkeypatch.setattr(checkpoints.managing, "load", lambda path: pytest.fail("unpacked before its size was checked"))
    before = files(mine)
    with pytest.raises(CheckpointError, match="MB"):
        save_upload(tensors, header, "new", mine)
    assert files(mine) == before


@pytest.mark.parametrize("at", [1, 2])
def test_an_upload_that_the_disk_refuses_leaves_nothing_behind(tmp_path, mine, shipped, monkeypatch, at):
    """Refused at either of the two files."""
    given = both(save(trained(), tmp_path / "there"))
    before = files(mine)
    refuse_replace(monkeypatch, at)
    with pytest.raises(OSError, match="No space"):
        save_upload(*given, "new", mine)
    monkeypatch.undo()
    assert files(mine) == before and len(list(mine.iterdir())) == 2


def refuse_replace(monkeypatch, at):
    """The disk refuses step number ``at`` of a move: copying the description, putting the tensors in place."""
    calls = []

    def sometimes(act):
        def acting(*args, **options):
            calls.append(args)
            if len(calls) == at:
                raise OSError(28, "No space left on device")
            return act(*args, **options)

        return acting

    for module, name in ((checkpoints.managing.shutil, "copy2"), (checkpoints.managing.os, "replace")):
        monkeypatch.setattr(module, name, sometimes(getattr(module, name)))


def test_renaming_moves_both_files(mine, shipped):
    given = both(mine / "first.safetensors")
    path = rename(mine / "first.safetensors", "second")
    assert path == mine / "second.safetensors" and both(path) == given
    assert sorted(p.name for p in mine.iterdir()) == ["second.json", "second.safetensors"]
    assert load("second", [mine]).name == "second"


@pytest.mark.parametrize("name, words", [("a/b", "name may hold"), ("", "name may hold"), ("other", "already"), ("small", "already")])
def test_a_name_that_is_taken_or_not_plain_is_no_new_name(mine, shipped, name, words):
    """The name "other" is the person's own, "small" shipped."""
    save(trained("rbf", name="other"), mine)
    before = files(mine)
    with pytest.raises(CheckpointError, match=words):
        rename(mine / "first.safetensors", name)
    assert files(mine) == before


@pytest.mark.parametrize("at", [1, 2])
def test_a_failing_rename_keeps_the_old_name(mine, shipped, monkeypatch, at):
    before = files(mine)
    refuse_replace(monkeypatch, at)
    with pytest.raises(OSError, match="No space"):
        rename(mine / "first.safetensors", "second")
    assert files(mine) == before


def test_deleting_removes_both_files_and_no_other(mine, shipped):
    save(trained("rbf", name="other"), mine)
    delete(mine / "first.safetensors")
    assert sorted(p.name for p in mine.iterdir()) == ["other.json", "other.safetensors"]


def test_what_is_shipped_stays(shipped, monkeypatch):
    """By its own path and by a detour."""
    before = files(shipped)
    monkeypatch.chdir(shipped)
    for path in (shipped / "small.safetensors", shipped / ".." / "shipped" / "small.safetensors", Path("small.safetensors")):
        for change in (lambda p: rename(p, "mine"), delete):
            with pytest.raises(CheckpointError, match="'small' is shipped"):
                change(path)
    assert files(shipped) == before


def test_a_description_of_a_huge_network_is_refused_before_it_is_built(saved, monkeypatch):
    """The shapes in the file are compared with the description's on no memory at all; nothing real is built for a mismatch."""
    header = json.loads(saved.with_suffix(".json").read_text())
    header["config"]["network"]["params"] = {"width": 1024, "depth": 16}
    saved.with_suffix(".json").write_text(json.dumps(header))
    built = []
    build = checkpoints.reading.make_model

    def watched(*args, **options):
        model = build(*args, **options)
        built.append(next(model.parameters()).device.type)
        return model

    monkeypatch.setattr(checkpoints.reading, "make_model", watched)
    with pytest.raises(CheckpointError, match="does not fit its own description"):
        load(saved)
    assert built == ["meta"]


def test_a_parameter_that_is_an_object_is_refused(saved):
    """A config is a cache's key, so it must be hashable; an object inside a parameter is one sentence, not a TypeError."""
    header = json.loads(saved.with_suffix(".json").read_text())
    header["config"]["schedule"]["params"] = {"beta_1": {"a": 1}}
    saved.with_suffix(".json").write_text(json.dumps(header))
    with pytest.raises(CheckpointError, match="cannot be an object"):
        load(saved)


def test_a_checkpoint_that_is_renamed_is_whole_under_one_name_at_every_instant(saved, tmp_path, monkeypatch):
    """Before and after each of the steps on disk exactly one name has both files."""
    seen = []

    def whole(act):
        def acting(*args, **options):
            seen.append(list(list_checkpoints([tmp_path])))
            out = act(*args, **options)
            seen.append(list(list_checkpoints([tmp_path])))
            return out

        return acting

    for module, name in ((checkpoints.managing.shutil, "copy2"), (checkpoints.managing.os, "replace")):
        monkeypatch.setattr(module, name, whole(getattr(module, name)))
    checkpoints.rename(saved, "new")
    assert all(names in (["small"], ["new"]) for names in seen) and seen[-1] == ["new"]
    assert load(tmp_path / "new.safetensors").name == "new"
