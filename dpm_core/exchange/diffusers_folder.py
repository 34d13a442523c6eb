"""A folder that diffusers has saved: its parts, read and checked. Only JSON and safetensors are opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from dpm_core.checkpoints import MAX_HEADER_BYTES, CheckpointError

WEIGHTS = "diffusion_pytorch_model"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")
MODEL, SCHEDULERS = "UNet2DModel", ("DDPMScheduler", "DDIMScheduler")


class Parts(NamedTuple):
    """The configurations of the model and of the scheduler, and the file with the weights."""

    model: dict[str, Any]
    scheduler: dict[str, Any]
    weights: Path


def read(folder: Path) -> Parts:
    """The parts of a pipeline's folder (``unet/`` and ``scheduler/``), or of a model's own folder. Raises CheckpointError."""
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {str(folder)[:200]}.")
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    model = _json(unet / "config.json", "model")
    _require_class(model, (MODEL,), "model")
    scheduler = _json(_scheduler_file(folder), "scheduler")
    _require_class(scheduler, SCHEDULERS, "scheduler")
    return Parts(model, scheduler, _weights(unet))


def _scheduler_file(folder: Path) -> Path:
    places = [folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"]
    return next((place for place in places if place.is_file()), places[0])


def _weights(folder: Path) -> Path:
    path = folder / f"{WEIGHTS}.safetensors"
    if path.is_file():
        return path
    others = sorted(folder.glob("*.safetensors"))
    if len(others) > 1 or list(folder.glob("*.safetensors.index.json")):
        raise CheckpointError(f"The weights in {folder.name} are divided among several files; save the model again as one file.")
    if others:
        return others[0]
    if pickled := sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED):
        raise CheckpointError(
            f"The weights are only there as {pickled[0]}, which can hold any program and is not opened; "
            "save the model again with safe_serialization=True."
        )
    raise CheckpointError(f"There are no weights in {folder.name}; {WEIGHTS}.safetensors is expected.")


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_HEADER_BYTES:
            raise ValueError
        found = json.loads(path.read_text())
    except FileNotFoundError:
        where = "/".join(path.parts[-2:])
        raise CheckpointError(f"The folder has no {where}, which describes the {what}; give the folder that diffusers has saved.") from None
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(f"{path.name} of the {what} cannot be read as JSON.") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.name} of the {what} must hold one JSON object.")
    return found


def _require_class(config: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    name = str(config.get("_class_name", "unknown"))[:60]
    if name not in known:
        raise CheckpointError(f"The {what} is a {name}, and only {' and '.join(known)} can be imported.")
