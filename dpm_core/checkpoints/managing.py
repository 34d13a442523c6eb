"""Adding uploaded checkpoints to a folder, renaming and deleting the user's own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from dpm_core.checkpoints import format as limits
from dpm_core.checkpoints.folders import check_free, check_own, user_folder
from dpm_core.checkpoints.format import CheckpointError, check_name
from dpm_core.checkpoints.reading import load


def save_upload(tensors: bytes, header: bytes, name: str, folder: Path | None = None) -> Path:
    """Save an uploaded checkpoint as ``name`` in ``folder`` (the user's unless given) once it has been loaded completely.

    Raises CheckpointError, or OSError when the files cannot be written; then nothing is left in the folder.
    """
    check_name(name)
    folder = user_folder() if folder is None else folder
    if len(tensors) > limits.MAX_BYTES or len(header) > limits.MAX_HEADER_BYTES:
        given = f"{len(tensors) / (1 << 20):.1f} MB of tensors and {len(header) / (1 << 20):.1f} MB of JSON"
        most = f"{limits.MAX_BYTES >> 20} MB and {limits.MAX_HEADER_BYTES >> 20} MB"
        raise CheckpointError(f"The files have {given}; a checkpoint may have at most {most}.")
    check_free(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=folder) as scratch:
        trial = Path(scratch) / f"{name}.safetensors"
        trial.write_bytes(tensors)
        trial.with_suffix(".json").write_bytes(header)
        load(trial)
        path = folder / trial.name
        _move(trial, path)
    return path


def rename(path: Path, name: str) -> Path:
    """Rename a checkpoint of the user's in its folder; its new path. Raises CheckpointError for a shipped one or a name taken."""
    check_own(path)
    check_name(name)
    check_free(name, path.parent)
    new = path.with_name(f"{name}.safetensors")
    _move(path, new)
    return new


def delete(path: Path) -> None:
    """Delete a checkpoint of the user's. Raises CheckpointError for a shipped one."""
    check_own(path)
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def _move(path: Path, new: Path) -> None:
    """Move both files, or neither when that fails; at every moment exactly one of the two names has both files."""
    try:
        shutil.copy2(path.with_suffix(".json"), new.with_suffix(".json"))
        os.replace(path, new)
    except OSError:
        new.with_suffix(".json").unlink(missing_ok=True)
        raise
    path.with_suffix(".json").unlink(missing_ok=True)
