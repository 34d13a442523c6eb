"""A diffusers folder that was uploaded as one .zip."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from dpm_core.checkpoints import MAX_HEADER_BYTES, CheckpointError
from dpm_core.exchange.diffusers_folder import PICKLED, WEIGHTS

MAX_WEIGHTS = 512 << 20  # bytes of the weights in an archive, unpacked
MAX_ENTRIES = 200
CONFIGS = {"config.json": "unet", "scheduler_config.json": "scheduler"}  # a file's name → the folder that it belongs to


def holds_diffusers(raw: bytes) -> bool:
    """Whether a .zip holds a model that diffusers has saved: a config.json and a scheduler's, wherever they lie."""
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            names = {PurePosixPath(name).name for name in archive.namelist()[:MAX_ENTRIES]}
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False
    return set(CONFIGS) <= names or "model_index.json" in names


@contextmanager
def unpacked(raw: bytes, name: str) -> Iterator[Path]:
    """A temporary folder with the configurations and the weights of an archive, and nothing else of it. Raises CheckpointError."""
    with TemporaryDirectory(prefix="dpm-import-") as scratch:
        folder = Path(scratch) / name
        try:
            with zipfile.ZipFile(BytesIO(raw)) as archive:
                _unpack(archive, folder)
        except CheckpointError:
            raise
        except Exception as error:  # zlib, lzma and bz2 each have errors of their own
            raise CheckpointError(f"This .zip file cannot be read ({type(error).__name__}).") from None
        yield folder


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not (entry.is_dir() or _of_macos(entry.filename))]
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"The archive holds {len(entries):,} files; a model of diffusers has fewer than {MAX_ENTRIES}.")
    weights = [entry for entry in entries if entry.filename.endswith(".safetensors")]
    if not weights and any(PurePosixPath(entry.filename).suffix in PICKLED for entry in entries):
        raise CheckpointError(
            "The weights are only there as a pickle, which can hold any program and is not opened; "
            "save the model again with safe_serialization=True."
        )
    if len(weights) != 1:
        raise CheckpointError(f"The archive holds {len(weights)} files of weights (.safetensors); exactly one is expected.")
    for entry in entries:
        name = PurePosixPath(entry.filename).name
        if name in CONFIGS:
            _write(archive, entry, folder / CONFIGS[name] / name, MAX_HEADER_BYTES)
    _write(archive, weights[0], folder / "unet" / f"{WEIGHTS}.safetensors", MAX_WEIGHTS)


def _of_macos(name: str) -> bool:
    """Whether the Finder has added a file beside the person's own."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("._")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, limit: int) -> None:
    """Unpack one file, whatever size the archive's directory says, up to its limit."""
    if path.exists():
        raise CheckpointError(f"The archive holds {path.name} more than once.")
    path.parent.mkdir(parents=True, exist_ok=True)
    left = limit
    with archive.open(entry) as source, path.open("wb") as target:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise CheckpointError(f"{path.name} in the archive is larger than {limit >> 20} MB.")
            target.write(block)
