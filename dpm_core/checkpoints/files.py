"""Checkpoints: ``name.safetensors`` beside ``name.json``, from which the model rebuilds itself.

Only safetensors and JSON are ever read. Files appear whole or not at all.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

import dpm_core
from dpm_core.checkpoints import stored_data
from dpm_core.config import ConfigError, RunConfig, from_dict, to_dict
from dpm_core.process import Chain, make_diffusion
from dpm_core.reverse import ReverseModel, build_model

FORMAT = "dpm-checkpoint-1"
SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"
MAX_BYTES = 64 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_T = 10_000


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, in one sentence."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model with everything needed to use it. ``meta``: step count, K and its error in bits per datum, command, versions.

    ``dataset``: the whole set in the plane; of images what a model must know of them, with the pictures
    themselves only when they are the person's own; of bits the patterns where they can be listed.
    """

    name: str
    model: ReverseModel
    config: RunConfig
    dataset: stored_data.Kept
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def diffusion(self) -> Chain:
        """The forward process that the model was trained to undo."""
        return self.model.diffusion

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum: ``(2,)``, ``(C, H, W)``, or ``(L,)`` of bits."""
        return stored_data.shape(self.dataset)


def user_folder() -> Path:
    """Where this user's own checkpoints live: $DPM_CHECKPOINTS, or checkpoints/ in the user's data folder."""
    base = os.environ.get("DPM_CHECKPOINTS")
    return Path(base) if base else Path.home() / ".local" / "share" / "dpm-explorer" / "checkpoints"


def save(checkpoint: Checkpoint, folder: Path | None = None, half: bool = False) -> Path:
    """Write both files into ``folder`` (the user's unless given) and return the path of the safetensors file.

    ``half`` stores the weights as float16; they are read back as float32.

    Raises CheckpointError for a name that is no plain file name or a model too large, OSError when the disk refuses.
    """
    check_name(checkpoint.name)
    folder = user_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    tensors = check_size(checkpoint, half)
    header = {
        "format": FORMAT,
        "config": to_dict(checkpoint.config),
        "data": stored_data.constants(checkpoint.dataset),
        **checkpoint.meta,
        "versions": {"dpm_core": dpm_core.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = folder / f"{checkpoint.name}.safetensors"
    text = json.dumps(header, indent=2) + "\n"
    _write({path: lambda file: save_file(tensors, file), path.with_suffix(".json"): lambda file: file.write_text(text)})
    return path


def check_size(checkpoint: Checkpoint, half: bool = False) -> dict[str, torch.Tensor]:
    """The tensors that ``save`` would write. Raises CheckpointError when ``load`` would refuse them for their size: ask before training."""
    weights = checkpoint.model.network.state_dict()
    tensors = {f"network.{k}": (v.half() if half and v.is_floating_point() else v).contiguous() for k, v in weights.items()}
    tensors |= stored_data.tensors(checkpoint.config.data, checkpoint.dataset)
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_BYTES - MAX_HEADER_BYTES:
        limit = f"the {MAX_BYTES >> 20} MB that a checkpoint may have"
        raise CheckpointError(f"This model and its data take more than {limit}; choose a smaller network or picture.")
    return tensors


def check_name(name: str) -> None:
    """Raise CheckpointError for a name that is no plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise CheckpointError("A checkpoint's name may hold up to 64 letters, digits, '-' and '_'.")


def load(name_or_path: str | Path, folders: list[Path] | None = None) -> Checkpoint:
    """A checkpoint by its path, or by its name among the shipped and the user's own.

    The config is checked before any tensor is read, every tensor's name, shape and finiteness before it
    is used. Raises CheckpointError, in one sentence.
    """
    path = _find(name_or_path, folders)
    header = read_header(path)
    try:
        config = from_dict(RunConfig, header["config"])
        if config.schedule.T > MAX_T:
            raise ConfigError(f"T may be at most {MAX_T}.")
        stored_data.check_kind(config)
        diffusion = make_diffusion(config)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(f"The checkpoint {path.name} is larger than {MAX_BYTES >> 20} MB.")
        shape = stored_data.described_shape(config.data, header["data"])
        with torch.device("meta"):  # names and shapes alone: a description may ask for any size
            _compare(build_model(config.network, diffusion, shape).network, path)
        model = build_model(config.network, diffusion, shape)
        tensors = load_file(path)
        dataset = stored_data.rebuild(config.data, header["data"], tensors)
        _fill(model.network, tensors, path.name)
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, OSError, ArithmeticError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint {path.name} cannot be read: {_sentence(error)}") from None
    known = {"format", "config", "data"}
    return Checkpoint(path.stem, model.eval().requires_grad_(False), config, dataset, {k: v for k, v in header.items() if k not in known})


def save_upload(tensors: bytes, header: bytes, name: str, folder: Path | None = None) -> Path:
    """Keep an uploaded checkpoint under ``name`` once it has been loaded whole.

    Raises CheckpointError, or OSError when the disk refuses; nothing is left behind.
    """
    check_name(name)
    folder = user_folder() if folder is None else folder
    if len(tensors) > MAX_BYTES or len(header) > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"A checkpoint may have up to {MAX_BYTES >> 20} MB of tensors and {MAX_HEADER_BYTES >> 20} MB of description."
        )
    _check_free(name, folder)
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
    """Give a checkpoint of the user's another name in its folder. Raises CheckpointError for a shipped one or a name taken."""
    _check_own(path)
    check_name(name)
    _check_free(name, path.parent)
    new = path.with_name(f"{name}.safetensors")
    _move(path, new)
    return new


def delete(path: Path) -> None:
    """Remove a checkpoint of the user's. Raises CheckpointError for a shipped one."""
    _check_own(path)
    path.unlink(missing_ok=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def _move(path: Path, new: Path) -> None:
    """Both files, or none when the disk refuses; at every instant one of the two names has both."""
    try:
        shutil.copy2(path.with_suffix(".json"), new.with_suffix(".json"))
        os.replace(path, new)
    except OSError:
        new.with_suffix(".json").unlink(missing_ok=True)
        raise
    path.with_suffix(".json").unlink(missing_ok=True)


def _check_own(path: Path) -> None:
    if path.resolve().parent == SHIPPED:
        raise CheckpointError(f"{path.stem!r} is shipped with the program and stays as it is.")


def _check_free(name: str, folder: Path) -> None:
    """Raise CheckpointError when a checkpoint of this name can be found already."""
    if name in list_checkpoints([SHIPPED, folder]):
        raise CheckpointError(f"There is a checkpoint named {name!r} already; choose another name.")


def list_checkpoints(folders: list[Path] | None = None) -> dict[str, Path]:
    """Name → path of every checkpoint with both files; the shipped first, the user's own after."""
    found: dict[str, Path] = {}
    for folder in folders or [SHIPPED, user_folder()]:
        for path in sorted(folder.glob("*.safetensors")):
            if path.with_suffix(".json").exists():
                found.setdefault(path.stem, path)
    return found


def read_header(path: Path) -> dict[str, Any]:
    """The JSON beside a checkpoint. Raises CheckpointError when it is missing, corrupt or foreign."""
    try:
        if path.with_suffix(".json").stat().st_size > MAX_HEADER_BYTES:
            raise ValueError
        header = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        raise CheckpointError(f"The checkpoint {path.name} has no {path.stem}.json beside it.") from None
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(f"{path.stem}.json cannot be read as JSON.") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path.stem}.json does not describe a checkpoint of this program.")
    return header


def _find(name_or_path: str | Path, folders: list[Path] | None) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        if os.path.exists(path):  # unlike Path.exists, False for a path longer than the system allows
            return path
        raise CheckpointError(f"There is no file {str(path)[:200]}.")
    found = list_checkpoints(folders)
    if str(name_or_path) not in found:
        raise CheckpointError(f"There is no checkpoint {str(name_or_path)!r}; there are {', '.join(found) or 'none'}.")
    return found[str(name_or_path)]


def _compare(network: torch.nn.Module, path: Path) -> None:
    """Raise CheckpointError unless the file's header lists just the network's tensors, each in its shape."""
    wanted = {f"network.{key}": tuple(value.shape) for key, value in network.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        given = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys() if key.startswith("network.")}  # noqa: SIM118
    for key in sorted(wanted.keys() | given.keys()):
        if wanted.get(key) != given.get(key):
            problem = "mis-shaped" if key in wanted and key in given else "missing or foreign"
            key = key.removeprefix("network.")
            raise CheckpointError(f"The checkpoint {path.name} does not fit its own description: tensor {key!r} is {problem}.")


def _fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> None:
    wanted = network.state_dict()
    given = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    for key, value in given.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"The checkpoint {name} does not fit its own description: tensor {key!r} is not finite.")
    network.load_state_dict({k: v.to(wanted[k].dtype) for k, v in given.items()})


def _write(files: dict[Path, Callable[[Path], Any]]) -> None:
    """Write every file to a temporary one beside it, flush, and rename only when all are whole."""
    written: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
            os.close(handle)
            written[path] = Path(name)
            write(written[path])
            with open(name, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
        for path, temporary in written.items():
            os.replace(temporary, path)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def _sentence(error: Exception) -> str:
    text = f"its header lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
    return text if text.endswith(".") else text + "."
