"""CIFAR-10 (Krizhevsky 2009) from its binary archive, the files in it, or a NumPy archive; never from pickles.

A binary record is one byte of label and 3 × 32 × 32 bytes of red, green and blue, row by row; five files
of 10,000 records for training, one for testing.
"""

from __future__ import annotations

import gzip
import tarfile
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress, data_folder, download, find
from dpm_core.data.images.registry import Pools, image_set

ARCHIVE = "cifar-10-binary.tar.gz"
ADDRESSES = ("https://www.cs.toronto.edu/~kriz/" + ARCHIVE,)
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
MAX_DOWNLOAD = 200 << 20  # bytes; the archive has 170,052,171
BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
NPZ = ("cifar10.npz", "cifar10_subset.npz", "cifar-10.npz")
FOLDERS = ("cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin", "")
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes
PER_BATCH = 10_000  # records
MAX_IMAGES = 60_000  # in one array of a NumPy archive

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def missing() -> str | None:
    """None when the set is on this machine in one of its forms; else one sentence that says what to put where."""
    if _extracted() or find(FOLDERS, (ARCHIVE, *NPZ)):
        return None
    if find((*FOLDERS, "cifar10/cifar-10-batches-py", "cifar-10-batches-py"), ("cifar-10-python.tar.gz", "data_batch_1")):
        where = data_folder() / FOLDERS[0]
        return f"The Python version of CIFAR-10 consists of pickles, which are unsafe to open; put {ARCHIVE} into {where}."
    return f"Put {ARCHIVE} (or its .bin files) into {data_folder() / FOLDERS[0]}."


def load(progress: Progress | None = None) -> Pools:
    """Training and held-out images, uint8 ``[N, 3, 32, 32]``, and the labels of each, int64 ``[N]``, if available.

    Read from the extracted .bin files, else the archive, else an .npz, else downloaded. Raises DataError.
    """
    if folder := _extracted():
        return _from_batches({name: _read_whole(folder / name) for name in BATCHES})
    archive = find(FOLDERS, (ARCHIVE,))
    if archive is None and (npz := find(FOLDERS, NPZ)):
        return read_npz(npz)
    if archive is None:
        if "pickles" in (refusal := missing() or ""):
            raise DataError(refusal)
        archive = download(ADDRESSES, data_folder() / FOLDERS[0] / ARCHIVE, f"md5:{MD5}", MAX_DOWNLOAD, progress)
    return read_archive(archive)


def read_archive(path: Path) -> Pools:
    """The images of cifar-10-binary.tar.gz, read in one pass; nothing is written to disk. Raises DataError."""
    batches: dict[str, bytes] = {}
    size = PER_BATCH * RECORD
    try:
        with gzip.open(path) as unzipped:
            stream = _Bounded(unzipped, 7 * size)
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as tar:
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    if name not in BATCHES:
                        continue
                    if name in batches or not member.isreg() or member.size != size:
                        raise DataError(
                            f"{path.name} must hold {name} exactly once with {size:,} bytes and does not; download the archive again."
                        )
                    body = tar.extractfile(member)
                    assert body is not None  # because it is a regular file
                    batches[name] = body.read(size)
            while stream.read(1 << 16):  # up to the end, where gzip verifies its checksum
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        raise DataError(f"{path.name} is not a complete gzipped tar archive; download it again.") from None
    if absent := [name for name in BATCHES if name not in batches]:
        raise DataError(f"{path.name} lacks {', '.join(absent)}; download the binary version, {ARCHIVE}.")
    return _from_batches(batches)


def read_npz(path: Path) -> Pools:
    """The images of a NumPy archive: ``x_train`` and ``x_test``, uint8 ``[N, 32, 32, 3]``; ``y_train`` and ``y_test`` are optional.

    ``x_holdout`` (as in a subset of CIFAR-10) is added to the held-out images. The type and shape of every array are
    checked before it is read. Raises DataError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            train = _array(archive, path, "x_train", (32, 32, 3))
            held_out = [_array(archive, path, "x_test", (32, 32, 3))]
            if "x_holdout.npy" in archive.namelist():
                held_out.append(_array(archive, path, "x_holdout", (32, 32, 3)))
            labels = _labels(archive, path, [("y_train", train)])
            held_out_labels = _labels(archive, path, list(zip(("y_test", "y_holdout"), held_out)))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise DataError(f"{path.name} is not a complete .npz archive; download it again.") from None
    pools = _channels_first(train), torch.cat([_channels_first(images) for images in held_out])
    return Pools(*pools, labels=labels, held_out_labels=held_out_labels, classes=CLASSES)


def _labels(archive: zipfile.ZipFile, path: Path, parts: list[tuple[str, np.ndarray]]) -> Tensor | None:
    """The labels under these names, of the images beside each, joined; None where one is absent. Raises DataError."""
    if not all(f"{name}.npy" in archive.namelist() for name, _ in parts):
        return None
    found = [_labels_array(archive, path, name) for name, _ in parts]
    for labels, (_, images) in zip(found, parts):
        if len(labels) != len(images):
            raise DataError(f"{path.name} has {len(labels):,} labels for {len(images):,} images; save it again with one label per image.")
    joined = np.concatenate(found).astype(np.int64)
    if joined.min() < 0 or joined.max() >= len(CLASSES):
        raise DataError(f"{path.name} has labels from {joined.min()} to {joined.max()}, but the classes of CIFAR-10 are 0 to 9.")
    return torch.from_numpy(joined)


def _labels_array(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray:
    """Labels ``[N]``, which some programs save as ``[N, 1]``."""
    try:
        return _array(archive, path, name, ())
    except DataError as error:
        try:
            return _array(archive, path, name, (1,), labels=True)[:, 0]
        except DataError:
            raise error from None


class _Bounded:
    """A readable stream that fails after ``left`` bytes, because tarfile skips, and stores long names, of any length a header announces."""

    def __init__(self, stream: gzip.GzipFile, left: int):
        self.stream, self.left = stream, left

    def read(self, n: int) -> bytes:
        block = self.stream.read(n)
        self.left -= len(block)
        if self.left < 0:
            raise tarfile.ReadError("more than the archive can hold")
        return block


def _array(archive: zipfile.ZipFile, path: Path, name: str, item: tuple[int, ...], labels: bool = False) -> np.ndarray:
    """One member ``[N, *item]``: bytes for images, any integers for labels."""
    if name + ".npy" not in archive.namelist():
        raise DataError(f"{path.name} has no array {name}; it needs x_train and x_test, uint8, N × 32 × 32 × 3.")
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with archive.open(name + ".npy") as stream:
            shape, _, dtype = read_header[np.lib.format.read_magic(stream)](stream)
        right = dtype == np.uint8 if item and not labels else dtype.kind in "iu"
        if not right or shape[1:] != item or len(shape) != 1 + len(item) or not 1 <= shape[0] <= MAX_IMAGES:
            found = f"{dtype}, {' × '.join(map(str, shape)) or 'a single number'}"
            wanted = "uint8, N × 32 × 32 × 3" if item else "integers, N"
            raise DataError(f"{name} in {path.name} is {found}; {wanted} with N at most {MAX_IMAGES:,} is needed.")
        with archive.open(name + ".npy") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except DataError:
        raise
    # no header, one that Python's own parser refuses, an unknown version, or fewer numbers than announced
    except (ValueError, KeyError, TypeError, OverflowError, SyntaxError, tokenize.TokenError):
        raise DataError(f"{name} in {path.name} is damaged; download the file again.") from None


def _from_batches(batches: dict[str, bytes]) -> Pools:
    records = {name: np.frombuffer(body, np.uint8).reshape(-1, RECORD) for name, body in batches.items()}
    train = np.concatenate([records[name] for name in BATCHES[:-1]])
    if train[:, 0].max() > 9 or records[BATCHES[-1]][:, 0].max() > 9:
        raise DataError(
            "These CIFAR-10 files have labels above 9, but there are ten classes; download the binary version of CIFAR-10, not CIFAR-100."
        )
    images, held_out = (torch.from_numpy(r[:, 1:].copy()).view(-1, *SHAPE) for r in (train, records[BATCHES[-1]]))
    labels, held_out_labels = (torch.from_numpy(r[:, 0].astype(np.int64)) for r in (train, records[BATCHES[-1]]))
    return Pools(images, held_out, labels, held_out_labels=held_out_labels, classes=CLASSES)


def _extracted() -> Path | None:
    """The folder that has all of the .bin files."""
    paths = (data_folder() / folder for folder in FOLDERS)
    return next((path for path in paths if all((path / name).is_file() for name in BATCHES)), None)


def _read_whole(path: Path) -> bytes:
    size = PER_BATCH * RECORD
    try:
        if path.stat().st_size != size:
            raise DataError(f"{path.name} has {path.stat().st_size:,} bytes, but {size:,} are expected; download it again.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}); check the file.") from None


def _channels_first(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


@image_set("cifar10", "CIFAR-10", "Small colour photographs of ten classes, 32 × 32.", needs_files=True, missing=missing)
def cifar10(progress: Progress | None) -> Pools:
    """Training and held-out photographs with their labels. Raises DataError."""
    return load(progress)
