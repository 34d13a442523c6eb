"""The folders of checkpoints, and the names that are taken in them."""

from __future__ import annotations

import os
from pathlib import Path

from dpm_core.checkpoints.format import CheckpointError

_PACKAGED, _CHECKOUT = Path(__file__).resolve().parent / "shipped", Path(__file__).resolve().parents[2] / "checkpoints"
CLASSIFIERS = "classifiers"  # the folder, among checkpoints, of classifiers, which are not models of data
AUTOENCODERS = "autoencoders"  # and that of VAEs, which are no reverse processes
SHIPPED = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT  # a wheel holds the shipped files inside this package


def user_folder() -> Path:
    """The folder of this user's checkpoints: $DPM_CHECKPOINTS, or checkpoints/ in the user's data folder."""
    base = os.environ.get("DPM_CHECKPOINTS")
    return Path(base) if base else Path.home() / ".local" / "share" / "dpm-explorer" / "checkpoints"


def list_checkpoints(folders: list[Path] | None = None) -> dict[str, Path]:
    """Name → path of every checkpoint with both files: the shipped ones first, then the user's."""
    found: dict[str, Path] = {}
    for folder in folders or [SHIPPED, user_folder()]:
        for path in sorted(folder.glob("*.safetensors")):
            if path.with_suffix(".json").exists():
                found.setdefault(path.stem, path)
    return found


def list_classifiers() -> dict[str, Path]:
    """Name → path of every classifier of noisy data: the shipped ones, then the user's. They lie in folders of their own."""
    return list_checkpoints([SHIPPED / CLASSIFIERS, user_folder() / CLASSIFIERS])


def find(name_or_path: str | Path, folders: list[Path] | None = None) -> Path:
    """The path of a checkpoint given by its path, or by its name in ``folders``. Raises CheckpointError."""
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        if os.path.exists(path):  # unlike Path.exists, False for a path longer than the system allows
            return path
        raise CheckpointError(f"There is no file {str(path)[:200]}.")
    found = list_checkpoints(folders)
    if str(name_or_path) not in found:
        raise CheckpointError(f"There is no checkpoint {str(name_or_path)!r}; available are {', '.join(found) or 'none'}.")
    return found[str(name_or_path)]


def check_own(path: Path) -> None:
    """Raise CheckpointError for a shipped checkpoint, which must not change."""
    if path.resolve().parent in (SHIPPED, SHIPPED / CLASSIFIERS, SHIPPED / AUTOENCODERS):
        raise CheckpointError(f"{path.stem!r} is shipped with the program and cannot be renamed or deleted.")


def check_free(name: str, folder: Path) -> None:
    """Raise CheckpointError when a shipped checkpoint or one in ``folder`` has this name."""
    if name in list_checkpoints([SHIPPED, folder]):
        raise CheckpointError(f"There is already a checkpoint named {name!r}; choose another name.")
