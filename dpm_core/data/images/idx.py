"""MNIST and Fashion-MNIST: IDX files, gzipped or not, as their authors publish them.

Format (Y. LeCun): big-endian 32-bit magic number 0x0000 08 d (unsigned bytes, d dimensions), d sizes of
32 bits, then the bytes, last index fastest. Sources: LeCun, Cortes & Burges; Xiao, Rasul & Vollgraf 2017.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress, data_folder, download, find
from dpm_core.data.images.registry import Pools, image_set

SIDE = 28
MAX_ITEMS = 100_000  # the published sets have 60,000
MAX_DOWNLOAD = 40 << 20  # bytes; the largest published file has 26.4 million
FILES = {
    "train": "train-images-idx3-ubyte",
    "held_out": "t10k-images-idx3-ubyte",
    "labels": "train-labels-idx1-ubyte",
    "held_out_labels": "t10k-labels-idx1-ubyte",
}
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True)
class Source:
    """Where a set's files are searched (folders in the data folder), where they are downloaded from, the published md5 of each .gz."""

    folders: tuple[str, ...]
    addresses: tuple[str, ...]
    md5: dict[str, str]


SOURCES = {
    "mnist": Source(
        ("mnist", "MNIST/raw", ""),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "held_out": "9fb629c4189551a2d022fa330f9573f3",
            "labels": "d53e105ee54ea40749a09fcbcd1e9432",
            "held_out_labels": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    # its files have the names of MNIST's files, so they are never read from the data folder itself, where those could be MNIST's
    "fashion_mnist": Source(
        ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "held_out": "bef4ecab320f06d8554ea6380940ec79",
            "labels": "25c81989df183df01b3e8a0aad5dffbe",
            "held_out_labels": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
}


def local(name: str) -> dict[str, Path]:
    """Paths of the set's FILES that are on this machine, by the names in FILES."""
    paths = {key: find(SOURCES[name].folders, _spellings(file)) for key, file in FILES.items()}
    return {key: path for key, path in paths.items() if path}


def missing(name: str) -> str | None:
    """None when both image files are on this machine; else one sentence that says what to put where."""
    absent = [FILES[key] + ".gz" for key in ("train", "held_out") if key not in local(name)]
    return f"Put {' and '.join(absent)} into {data_folder() / SOURCES[name].folders[0]}." if absent else None


def load(name: str, classes: tuple[str, ...], progress: Progress | None = None) -> Pools:
    """Training and held-out images, uint8 ``[N, 1, 28, 28]``, and the labels of each, int64 ``[N]``.

    Missing files are downloaded; when both image files are present but a file of labels is not, those labels are None.
    Raises DataError.
    """
    source, paths = SOURCES[name], local(name)
    wanted = [key for key in FILES if key not in paths] if missing(name) else []
    for key in wanted:
        file = FILES[key] + ".gz"
        target = data_folder() / source.folders[0] / file
        paths[key] = download([base + file for base in source.addresses], target, f"md5:{source.md5[key]}", MAX_DOWNLOAD, progress)
    train, held_out = (read_idx(paths[key], (SIDE, SIDE)) for key in ("train", "held_out"))
    labels = _labels(paths.get("labels"), len(train), len(classes))
    held_out_labels = _labels(paths.get("held_out_labels"), len(held_out), len(classes))
    images, held_out_images = (torch.from_numpy(pool)[:, None] for pool in (train, held_out))
    return Pools(images, held_out_images, labels=labels, held_out_labels=held_out_labels, classes=classes)


def _labels(path: Path | None, count: int, classes: int) -> Tensor | None:
    if path is None:
        return None
    labels = read_idx(path, ())
    if len(labels) != count:
        raise DataError(f"{path.name} has {len(labels):,} labels for {count:,} images; use images and labels of the same set.")
    if labels.max() >= classes:
        raise DataError(f"{path.name} has the label {labels.max()}, but there are {classes} classes; use labels of the same set.")
    return torch.from_numpy(labels.astype(np.int64))


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """The bytes of an IDX file, uint8 ``[N, *item]``, from plain or gzipped content, whatever the name says.

    Sizes are read before anything is allocated, and no more is decompressed than they announce. Raises
    DataError that names the file and says what is wrong with it.
    """
    kind = "images" if item else "labels"
    magic, header = 0x0800 + 1 + len(item), 4 * (2 + len(item))
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            length = raw.seek(0, 2)
            raw.seek(0)
            with gzip.open(raw) if zipped else raw as stream:
                first = stream.read(header)
                if len(first) < header:
                    raise DataError(f"{path.name} has fewer than the {header} bytes of an IDX header; download it again.")
                found, count, *sizes = struct.unpack(f">{header // 4}I", first)
                if found != magic:
                    raise DataError(f"{path.name} begins with the number {found}, but IDX {kind} begin with {magic}; replace the file.")
                if tuple(sizes) != item or not 1 <= count <= MAX_ITEMS:
                    sides = " × ".join(map(str, [count, *sizes]))
                    wanted = " × ".join(map(str, [f"1 to {MAX_ITEMS:,}", *item]))
                    raise DataError(f"{path.name} announces {sides} bytes, but {wanted} are expected; replace the file.")
                size = math.prod([count, *item])
                if not zipped and length != header + size:
                    raise DataError(f"{path.name} has {length:,} bytes, but its header announces {header + size:,}; download it again.")
                body = stream.read(size + 1)  # one byte more, so that a longer body is noticed and gzip's checksum is read
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path.name} is a damaged gzip file; download it again.") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}); check the file.") from None
    if len(body) != size:
        than = "more" if len(body) > size else "fewer"
        raise DataError(f"{path.name} holds {than} bytes than the {size:,} that its header announces; download it again.")
    return np.frombuffer(bytearray(body), np.uint8).reshape(count, *item)


def _spellings(file: str) -> list[str]:
    """The names "train-images-idx3-ubyte" and "train-images.idx3-ubyte", each with and without ".gz"."""
    return [name + end for name in (file, file.replace("-idx", ".idx")) for end in (".gz", "")]


@image_set("mnist", "MNIST", "60,000 handwritten digits, 28 × 28.", needs_files=True, missing=lambda: missing("mnist"))
def mnist(progress: Progress | None) -> Pools:
    """Training and held-out digits with their labels. Raises DataError."""
    return load("mnist", DIGITS, progress)


@image_set(
    "fashion_mnist", "Fashion-MNIST", "60,000 pieces of clothing, 28 × 28.", needs_files=True, missing=lambda: missing("fashion_mnist")
)
def fashion_mnist(progress: Progress | None) -> Pools:
    """Training and held-out pieces of clothing with their labels. Raises DataError."""
    return load("fashion_mnist", CLOTHES, progress)
