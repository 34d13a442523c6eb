"""Reading checkpoints: the model is rebuilt from its own description. Only safetensors and JSON are ever read, never pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from dpm_core.checkpoints import format as limits
from dpm_core.checkpoints.folders import find, list_classifiers
from dpm_core.checkpoints.format import FORMAT, Checkpoint, CheckpointError
from dpm_core.config import ConfigError, RunConfig, from_dict
from dpm_core.data.dataset import Spec
from dpm_core.data.errors import DataError
from dpm_core.data.kinds import DataKind, classes_of, kind_of
from dpm_core.guidance import Classifier, make_model
from dpm_core.process import make_diffusion
from dpm_core.relatives import VAE


def load(name_or_path: str | Path, folders: list[Path] | None = None) -> Checkpoint:
    """A checkpoint by its path, or by its name among the shipped and the user's own.

    The config is checked before any tensor is read; name, shape and finiteness of every tensor are checked before it is used.
    Raises CheckpointError, also for a classifier or a VAE, which reverse no process (see :func:`load_classifier`, :func:`load_vae`).
    """
    found = load_any(find(name_or_path, folders))
    if isinstance(found.model, Classifier):
        raise CheckpointError(f"{found.name!r} is a classifier and no model of data; choose another checkpoint.")
    if isinstance(found.model, VAE):
        raise CheckpointError(f"{found.name!r} is a variational autoencoder and no diffusion model; choose another checkpoint.")
    return found


def load_vae(path: Path) -> Checkpoint:
    """A variational autoencoder by its path. Raises CheckpointError, also for any other checkpoint."""
    found = load_any(path)
    if not isinstance(found.model, VAE):
        raise CheckpointError(f"{found.name!r} is no variational autoencoder; choose one.")
    return found


def load_classifier(path: Path) -> Checkpoint:
    """A classifier by its path. Raises CheckpointError, also for any other checkpoint."""
    found = load_any(path)
    if not isinstance(found.model, Classifier):
        raise CheckpointError(f"{found.name!r} is a model of data and no classifier; choose a classifier.")
    return found


def classifier_of(spec: Spec) -> Checkpoint | None:
    """The classifier of a data set in the units of ``spec``, the user's before the shipped one, or None. Raises CheckpointError."""
    for path in reversed(list_classifiers().values()):
        try:
            described = read_header(path).get("config")
        except CheckpointError:
            continue  # a damaged file must not hide the others
        of_data = described.get("data") if isinstance(described, dict) else None
        if isinstance(of_data, dict) and of_data.get("name") == spec.name:
            loaded = load_classifier(path)
            if _same_units(loaded.dataset, spec):
                return loaded
    return None


def _same_units(a: Any, b: Any) -> bool:
    """Whether two specs of images have the same shape and levels and, to one per cent, the same constants."""
    constants = [(float(getattr(s, "mean", 0.0)), float(getattr(s, "scale", 1.0))) for s in (a, b)]
    (mean, scale), (other_mean, other_scale) = constants
    near = abs(mean - other_mean) < 0.01 * scale and abs(scale - other_scale) < 0.01 * scale
    return a.shape == b.shape and getattr(a, "levels", 2) == getattr(b, "levels", 2) and near


def load_any(path: Path) -> Checkpoint:
    """A model of data, a classifier or a VAE by its path. Raises CheckpointError."""
    header = read_header(path)
    try:
        config = from_dict(RunConfig, header["config"])
        if config.schedule.T > limits.MAX_T:
            raise ConfigError(f"T may be at most {limits.MAX_T}, not {config.schedule.T}.")
        kind = _kind(config)
        diffusion = make_diffusion(config)
        size = path.stat().st_size
        if size > (most := limits.largest(config)):
            raise CheckpointError(f"The checkpoint {path.name} is larger than {most >> 20} MB.")
        shape = kind.described_shape(config.data, header["data"])
        with torch.device("meta"):  # names and shapes only, no memory: a description may ask for any size
            _compare(make_model(config.network, diffusion, shape).network, path)
        model = make_model(config.network, diffusion, shape)
        tensors = load_file(path)
        dataset = kind.rebuild(config.data, header["data"], tensors)
        count = len(classes_of(dataset))
        if config.network.classes and count and config.network.classes != count:
            raise ConfigError(f"its network is for {config.network.classes} classes, and its data have {count}.")
        _fill(model.network, tensors, path.name)
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, OSError, ArithmeticError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint {path.name} cannot be read: {_sentence(error)}") from None
    known = {"format", "config", "data"}
    return Checkpoint(path.stem, model.eval().requires_grad_(False), config, dataset, {k: v for k, v in header.items() if k not in known})


def read_header(path: Path) -> dict[str, Any]:
    """The JSON beside a checkpoint. Raises CheckpointError when it is missing, corrupt or not of this program."""
    try:
        if path.with_suffix(".json").stat().st_size > limits.MAX_HEADER_BYTES:
            raise ValueError
        header = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        raise CheckpointError(f"The checkpoint {path.name} has no {path.stem}.json beside it.") from None
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(f"{path.stem}.json cannot be read as JSON.") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path.stem}.json does not describe a checkpoint of this program.")
    return header


def _kind(run: RunConfig) -> DataKind[Any, Any]:
    """The kind of the data of a run. Raises DataError when it is unknown or takes another forward process."""
    kind = kind_of(run.data.name)
    if kind.diffusion != run.diffusion.kind:
        raise DataError(f"its data set {run.data.name!r} takes the {kind.diffusion} diffusion, not the {run.diffusion.kind} one.")
    return kind


def _compare(network: torch.nn.Module, path: Path) -> None:
    """Raise CheckpointError unless the file's header lists exactly the network's tensors, each in its shape."""
    wanted = {f"network.{key}": tuple(value.shape) for key, value in network.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        given = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys() if key.startswith("network.")}  # noqa: SIM118
    for key in sorted(wanted.keys() | given.keys()):
        if wanted.get(key) != given.get(key):
            found, expected = given.get(key, "missing"), wanted.get(key, "not part of the network")
            problem = f"{found} in the file, {expected} by its description"
            key = key.removeprefix("network.")
            raise CheckpointError(f"The checkpoint {path.name} does not fit its own description: tensor {key!r} is {problem}.")


def _fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    wanted = network.state_dict()
    given = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    for key, value in given.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"The checkpoint {name} does not fit its own description: tensor {key!r} is not finite.")
    network.load_state_dict({k: v.to(wanted[k].dtype) for k, v in given.items()})


def _sentence(error: Exception) -> str:
    text = f"its header lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
    return text if text.endswith(".") else text + "."
