"""Checkpoints as files: one .zip to download; two files, or one .zip of both, to upload. Nothing here imports Streamlit."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from dpm_core.checkpoints import MAX_BYTES, MAX_HEADER_BYTES, CheckpointError

LIMITS = {".safetensors": MAX_BYTES, ".json": MAX_HEADER_BYTES}
WANTED = "A checkpoint is one .safetensors and one .json file, or a .zip of both."


class Uploaded(Protocol):
    """What a file uploader gives."""

    name: str

    def getvalue(self) -> bytes: ...


class Pair(NamedTuple):
    """The bytes of both files, and what the first one was called."""

    tensors: bytes
    header: bytes
    stem: str


def zipped(path: Path) -> bytes:
    """Both files of a checkpoint in one archive. Raises OSError."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (path, path.with_suffix(".json")):
            archive.write(file, file.name)
    return out.getvalue()


def read_upload(files: Sequence[Uploaded]) -> Pair:
    """The pair that was uploaded. Raises CheckpointError, in one sentence, for anything else; nothing is unpacked beyond the limits."""
    if len(files) == 1 and files[0].name.lower().endswith(".zip"):
        found = _unzip(files[0].getvalue())
    else:
        found = [(file.name, file.getvalue()) for file in files]
    by_kind: dict[str, tuple[str, bytes]] = {}
    for name, data in found:
        kind = PurePosixPath(name).suffix.lower()
        if kind not in LIMITS or kind in by_kind:
            raise CheckpointError(WANTED)
        if len(data) > LIMITS[kind]:
            raise CheckpointError(f"{PurePosixPath(name).name} is larger than {LIMITS[kind] >> 20} MB.")
        by_kind[kind] = (name, data)
    if len(by_kind) != 2:
        raise CheckpointError(WANTED)
    name, tensors = by_kind[".safetensors"]
    return Pair(tensors, by_kind[".json"][1], plain_name(PurePosixPath(name).stem))


def plain_name(text: str) -> str:
    """A checkpoint's name made from any text."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64] or "model"


def _unzip(raw: bytes) -> list[tuple[str, bytes]]:
    """The files of an archive, each read only up to its limit, whatever its directory says."""
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) != 2:
                raise CheckpointError(WANTED)
            found = []
            for entry in entries:
                limit = LIMITS.get(PurePosixPath(entry.filename).suffix.lower(), 0)
                with archive.open(entry) as file:
                    found.append((entry.filename, file.read(limit + 1)))
            return found
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        raise CheckpointError("This .zip file cannot be read.") from None
    except Exception as error:  # zlib, lzma and bz2 each have errors of their own
        raise CheckpointError(f"This .zip file cannot be read ({type(error).__name__}).") from None
