"""Import a model of diffusers: its folder becomes a checkpoint like any other."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint, CheckpointError
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig, frozen
from dpm_core.data import images
from dpm_core.data.errors import DataError
from dpm_core.data.images import ImageSpec
from dpm_core.exchange import diffusers_folder
from dpm_core.networks.unet2d import OURS, architecture_settings, unet_class
from dpm_core.process import make_diffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule

MEAN, SCALE = 128.0, 127.5  # of grey levels: diffusers maps level/127.5 − 1, the middle of a level here is at level + ½
VARIANCES = {"fixed_small": "fixed_small", "fixed_small_log": "fixed_small", "fixed_large": "fixed_large", "fixed_large_log": "fixed_large"}
UNSUPPORTED = {"thresholding": "dynamic thresholding", "rescale_betas_zero_snr": "betas rescaled to zero SNR"}
USUAL_DATA = {(1, 8, 8): "digits", (1, 28, 28): "mnist", (3, 32, 32): "cifar10"}  # by the shape of an image, where the files are there
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
SPARE = 1.5  # of the weights' size, must be free in memory

Report = Callable[[str, float], object]


def import_diffusers(folder: Path, name: str, data: str | None = None, report: Report = lambda what, share: None) -> Checkpoint:
    """Return the model in a folder that diffusers has saved (``UNet2DModel`` with DDPMScheduler or DDIMScheduler) as a checkpoint.

    ``data``: the name of the image set on which K is measured; unless given one of the model's shape, else cuts of photographs. Values are
    those of diffusers, grey levels from −1 to 1. A class-conditional model gets one more label, "no label": the mean of all class vectors.
    ``report`` is called with what is done and the share done. Raises CheckpointError, or ValueError without diffusers, in one sentence.
    """
    checkpoints.check_name(name)
    report("reading the configuration", 0.0)
    parts = diffusers_folder.read(folder)
    unet_class()
    shape = _shape(parts.model)
    classes = _classes(parts.model)
    schedule = _schedule(parts.scheduler)
    network = NetworkConfig("unet2d", _network_params(parts.model, parts.scheduler), classes=classes)
    config = RunConfig(_data(data, shape), schedule, network, TrainConfig(loss="simple"))
    title = images.IMAGE_SETS[config.data.name].title
    named = tuple(str(label) for label in range(classes))
    spec = ImageSpec(config.data.name, title, shape, MEAN, SCALE, 256, named)
    diffusion = make_diffusion(config)
    report("building the network", 0.1)
    try:
        with torch.device("meta"):
            wanted = build_model(network, diffusion, shape).network.state_dict()
        _check_memory(wanted)
        _check_weights(parts.weights, wanted, classes)
        model = build_model(network, diffusion, shape)
    except CheckpointError:
        raise
    except (ValueError, RuntimeError, SafetensorError, OSError) as error:
        raise CheckpointError(str(error).splitlines()[0][:400]) from None
    report("reading the weights", 0.3)
    _fill(model.network, parts.weights, classes, report)
    count = sum(p.numel() for p in model.network.parameters())
    source = f"diffusers, {folder.resolve().name[:80]}"
    meta = {"steps": 0, "parameters": count, "imported_from": source, "command": _command(folder, name, data)}
    report("done", 1.0)
    return Checkpoint(name, model.eval().requires_grad_(False), config, spec, meta)


def _shape(model: dict[str, Any]) -> tuple[int, int, int]:
    size, channels = model.get("sample_size"), model.get("in_channels", 3)
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if not all(isinstance(side, int) and 8 <= side <= 256 for side in (height, width)):
        raise CheckpointError(f"The model is for images of the size {size!r}; sides of 8 to 256 pixels can be imported.")
    if height != width:
        raise CheckpointError(f"The model is for images of {width} × {height} pixels; only square ones can be imported.")
    if channels not in (1, 3) or model.get("out_channels", 3) != channels:
        given = f"{channels} channels in and {model.get('out_channels', 3)} out"
        raise CheckpointError(f"The model has {given}; models with 1 or 3 channels, the same in and out, can be imported.")
    return int(channels), int(height), int(width)  # type: ignore[arg-type]


def _classes(model: dict[str, Any]) -> int:
    if model.get("class_embed_type") is not None:
        raise CheckpointError(f"The model has class embeddings of the type {model['class_embed_type']!r}; only labels can be imported.")
    classes = model.get("num_class_embeds") or 0
    if not isinstance(classes, int) or not 0 <= classes <= 1000:
        raise CheckpointError(f"The model has {classes!r} classes; at most 1,000 can be imported.")
    return classes


def _schedule(scheduler: dict[str, Any]) -> ScheduleConfig:
    """The same betas under a name of this program, else as the points of a custom schedule."""
    import diffusers

    for key, words in UNSUPPORTED.items():
        if scheduler.get(key):
            raise CheckpointError(f"The scheduler uses {words}, which cannot be imported.")
    T = scheduler.get("num_train_timesteps", 1000)
    if not isinstance(T, int) or not 2 <= T <= checkpoints.MAX_T:
        raise CheckpointError(f"The scheduler has {T!r} time steps; 2 to {checkpoints.MAX_T:,} can be imported.")
    made = {key: value for key, value in scheduler.items() if not key.startswith("_")}
    try:
        betas = getattr(diffusers, scheduler["_class_name"]).from_config(made).betas.double()
    except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"The scheduler cannot be built: {str(error).splitlines()[0][:200]}.") from None
    if betas.shape != (T,) or not bool(((betas > 0) & (betas <= 1)).all()):
        raise CheckpointError("The scheduler's betas must lie between 0 and 1, one for each time step.")
    ends = (("beta_end", scheduler.get("beta_end", 0.02)), ("beta_start", scheduler.get("beta_start", 1e-4)))
    for name, params in (("linear", ends), ("quadratic", ends), ("cosine", ())):
        found = ScheduleConfig(name, T, params)
        if torch.allclose(make_schedule(name, T, **dict(params)).betas, betas, rtol=1e-5, atol=1e-9):
            return found
    points = tuple((i / (T - 1), float(beta)) for i, beta in enumerate(betas))
    return ScheduleConfig("custom", T, (("points", points),))


def _network_params(model: dict[str, Any], scheduler: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    prediction, variance = scheduler.get("prediction_type", "epsilon"), scheduler.get("variance_type", "fixed_small")
    if variance not in VARIANCES:
        raise CheckpointError(f"The scheduler's variance is {variance!r}; {', '.join(VARIANCES)} can be imported.")
    known = architecture_settings()
    params = {key: frozen(value) for key, value in model.items() if not key.startswith("_") and key not in OURS}
    if unknown := sorted(set(params) - known):
        raise CheckpointError(f"The model has the setting {unknown[0]!r}, which the installed diffusers does not know.")
    params |= {"prediction": str(prediction), "variance": VARIANCES[variance]}
    if scheduler.get("clip_sample", True):
        limit = scheduler.get("clip_sample_range", 1.0)
        if not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise CheckpointError(f"The scheduler clips to {limit!r}; a positive number is needed.")
        params["clip"] = float(limit)
    return tuple(sorted(params.items()))


def _data(data: str | None, shape: tuple[int, int, int]) -> DataConfig:
    """The image set on which K is measured. Raises CheckpointError for an unknown one, or one whose images have another shape."""
    if data is None:
        usual = USUAL_DATA.get(shape, "")
        data = usual if usual and images.available(usual) is None else "photographs"
    if data not in images.IMAGE_SETS:
        raise CheckpointError(f"Unknown image set {data[:60]!r}; choose one of {', '.join(images.IMAGE_SETS)}.")
    given = {"channels": shape[0], "size": shape[1]}
    params = tuple((key, given[key]) for key, _ in images.IMAGE_SETS[data].params if key in given)
    if images.available(data) is None:
        try:
            found = images.make_images(data, params).shape
        except DataError as error:
            raise CheckpointError(str(error)) from None
        if found != shape:
            sizes = [" × ".join(map(str, one)) for one in (found, shape)]
            raise CheckpointError(f"The images of {data!r} are {sizes[0]}, and the model is for {sizes[1]}; choose other data.")
    return DataConfig(data, params=tuple(sorted(params)))


def _check_memory(wanted: dict[str, Tensor]) -> None:
    needed = SPARE * sum(tensor.numel() * 4 for tensor in wanted.values())
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not known on this system
        return
    if needed > free:
        raise CheckpointError(
            f"The model needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; close other programs."
        )


def _check_weights(path: Path, wanted: dict[str, Tensor], classes: int) -> None:
    """Compare names and shapes in the file's header with those of the network. Raises CheckpointError."""
    expected = {key.removeprefix("unet."): tuple(value.shape) for key, value in wanted.items()}
    if classes:
        rows, width = expected["class_embedding.weight"]
        expected["class_embedding.weight"] = (rows - 1, width)
    with safe_open(path, framework="pt") as file:
        given = {_renamed(key): tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    for key in sorted(expected.keys() | given.keys()):
        if expected.get(key) != given.get(key):
            found, wish = given.get(key, "missing"), expected.get(key, "not part of the model")
            raise CheckpointError(f"The weights contradict config.json: {key[:80]!r} is {found} in the file, {wish} by the configuration.")


def _renamed(key: str) -> str:
    """A weight's name today: files of older versions call the parts of attention otherwise."""
    _, part, kind = ["", "", *key.split(".")][-3:]
    if ".attentions." not in key or part not in OLD_NAMES:
        return key
    return key.removesuffix(f"{part}.{kind}") + f"{OLD_NAMES[part]}.{kind}"


def _fill(network: torch.nn.Module, path: Path, classes: int, report: Report) -> None:
    own = network.state_dict()
    with safe_open(path, framework="pt") as file, torch.no_grad():
        names = list(file.keys())
        for i, key in enumerate(names):
            value = file.get_tensor(key).float()
            if not bool(value.isfinite().all()):
                raise CheckpointError(f"The weights {key[:80]!r} are not finite.")
            if classes and key == "class_embedding.weight":
                value = torch.cat([value, value.mean(0, keepdim=True)])
            own[f"unet.{_renamed(key)}"].copy_(value)
            report("reading the weights", 0.3 + 0.7 * (i + 1) / len(names))


def _command(folder: Path, name: str, data: str | None) -> str:
    extra = "" if data is None else f" --data {data}"
    return f"python -m dpm_core import {folder.resolve().name} --name {name}{extra}"
