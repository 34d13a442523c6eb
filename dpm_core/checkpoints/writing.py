"""Writing checkpoints. Files appear complete or not at all."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save as serialized

import dpm_core
from dpm_core.checkpoints.folders import AUTOENCODERS, CLASSIFIERS, user_folder
from dpm_core.checkpoints.format import FORMAT, Checkpoint, check_name, check_size
from dpm_core.config import to_dict
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.files import written_whole
from dpm_core.guidance import Classifier
from dpm_core.relatives import VAE


def save(checkpoint: Checkpoint, folder: Path | None = None, half: bool = False) -> Path:
    """Write both files into ``folder`` (the user's unless given) and return the path of the safetensors file.

    A classifier goes into the folder ``classifiers`` in it, as it is no model of data, and a VAE into ``autoencoders``.
    ``half`` stores the weights as float16; they are read back as float32. Raises CheckpointError for a name that is not a plain
    file name or a model that is too large, OSError when the files cannot be written.
    """
    check_name(checkpoint.name)
    folder = user_folder() if folder is None else folder
    for kind, own in ((Classifier, CLASSIFIERS), (VAE, AUTOENCODERS)):
        folder = folder / own if isinstance(checkpoint.model, kind) else folder
    folder.mkdir(parents=True, exist_ok=True)
    tensors = check_size(checkpoint, half)
    header = {
        "format": FORMAT,
        "config": to_dict(checkpoint.config),
        "data": DATA_KINDS[checkpoint.dataset.kind].constants(checkpoint.dataset),
        **checkpoint.meta,
        "versions": {"dpm_core": dpm_core.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = folder / f"{checkpoint.name}.safetensors"
    text = json.dumps(header, indent=2) + "\n"
    with written_whole(path) as first, written_whole(path.with_suffix(".json")) as second:  # both are whole before either appears
        first.write_bytes(serialized(tensors))
        second.write_text(text)
    return path
