"""MNIST and CIFAR-10 files: the exact bytes in, or one sentence naming the file; the real sets where they are."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dpm_core.data.errors import DataError
from dpm_core.data.images import available, cifar10, idx, make_images

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 28, 28), dtype=np.uint8)
OTHERS = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 50).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
CLASSES = RNG.integers(0, 10, 60).astype(np.uint8)


def zipped(body: bytes) -> bytes:
    """Gzipped without the time of day: the names of the cases are the same in every process that collects them."""
    return gzip.compress(body, mtime=0)


def packed(array):
    """An IDX file's bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no network behind it."""

    def offline(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setenv("DPM_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    return tmp_path


def put(folder, files):
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def sentence(call, *args):
    with pytest.raises(DataError) as caught:
        call(*args)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


# --- IDX ---


@pytest.mark.parametrize("place", ["mnist/", "MNIST/raw/", ""])
@pytest.mark.parametrize("dot, end", [("-idx", ".gz"), ("-idx", ""), (".idx", ".gz"), (".idx", "")])
def test_mnist_as_people_have_it(folder, place, dot, end):
    """Each spelling, gzipped or not, in each folder: the same bytes and labels."""
    wrap = gzip.compress if end else bytes
    bodies = {
        "train-images-idx3-ubyte": packed(IMAGES),
        "t10k-images-idx3-ubyte": packed(OTHERS),
        "train-labels-idx1-ubyte": packed(LABELS),
    }
    put(folder, {place + name.replace("-idx", dot) + end: wrap(body) for name, body in bodies.items()})
    assert available("mnist") is None
    data = make_images("mnist")
    assert torch.equal(data.train, torch.from_numpy(IMAGES)[:, None]) and data.size == 50
    assert torch.equal(data.held_out, torch.from_numpy(OTHERS)[:, None])
    assert data.labels.tolist() == LABELS.tolist() and data.shape == (1, 28, 28)


def test_gzip_is_known_by_content(folder):
    """A plain file called .gz and a gzipped one without it."""
    put(folder, {"a.gz": packed(IMAGES), "b": gzip.compress(packed(IMAGES))})
    for name in ("a.gz", "b"):
        np.testing.assert_array_equal(idx.read_idx(folder / name, (28, 28)), IMAGES)


def test_labels_may_be_missing(folder):
    put(folder, {"mnist/train-images-idx3-ubyte": packed(IMAGES), "mnist/t10k-images-idx3-ubyte": packed(OTHERS)})
    assert make_images("mnist").labels is None


def test_mnist_is_not_taken_for_fashion(folder):
    """The two have files of the same names: from the data folder itself only MNIST is read."""
    put(folder, {"train-images-idx3-ubyte": packed(IMAGES), "t10k-images-idx3-ubyte": packed(OTHERS)})
    assert available("mnist") is None
    assert "fashion_mnist" in available("fashion_mnist")
    put(folder, {"fashion_mnist/train-images-idx3-ubyte": packed(OTHERS), "fashion_mnist/t10k-images-idx3-ubyte": packed(IMAGES)})
    assert available("fashion_mnist") is None
    assert torch.equal(make_images("fashion_mnist").train, torch.from_numpy(OTHERS)[:, None])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_offline_and_without_files_one_sentence_says_what_to_put_where(folder, name):
    for message in (available(name), sentence(make_images, name)):
        assert str(folder / name) in message and ".gz" in message and message.endswith(".") and "\n" not in message
    assert list(folder.iterdir()) == []


HEADER = packed(IMAGES)[:16]


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", "has fewer than the 16 bytes"),
        (HEADER[:10], "has fewer than the 16 bytes"),
        (packed(LABELS), "begins with the number 2049, but IDX images begin with 2051"),
        (b"PK\x03\x04" + bytes(40), "begins with"),
        (packed(IMAGES[:, :27]), "50 × 27 × 28"),
        (packed(IMAGES[:0]), "0 × 28 × 28"),
        (struct.pack(">4I", 2051, 2**32 - 1, 28, 28), "4294967295 × 28 × 28"),
        (struct.pack(">4I", 2051, 50, 2**31, 2**31), "2147483648"),
        (packed(IMAGES)[:-1], "39,215 bytes, but its header announces 39,216"),
        (packed(IMAGES) + b"x", "39,217 bytes, but its header announces 39,216"),
        (zipped(b""), "has fewer than the 16 bytes"),
        (zipped(packed(LABELS)), "begins with the number 2049"),
        (zipped(packed(IMAGES)[:-1]), "fewer bytes"),
        (zipped(packed(IMAGES) + b"x"), "more bytes"),
        (zipped(packed(IMAGES))[:-9], "damaged gzip"),
        (zipped(packed(IMAGES))[:-8] + bytes(8), "damaged gzip"),
        (zipped(packed(IMAGES))[:30], "damaged gzip"),
        (b"\x1f\x8b" + b"\x08garbage" * 9, "damaged gzip"),
        (zipped(HEADER) + zipped(bytes(50 * 784 + 5)), "more bytes"),
    ],
)
def test_other_bytes_are_refused(folder, body, words):
    put(folder, {"train-images": body})
    message = sentence(idx.read_idx, folder / "train-images", (28, 28))
    assert words in message and message.startswith("train-images ")


def test_a_gzip_bomb_is_not_unpacked(folder):
    """200 MB of zeros after a header of 50 images: read no further than one byte past them, in a twentieth of the memory."""
    import tracemalloc

    put(folder, {"bomb.gz": gzip.compress(HEADER + bytes(200 << 20), 1)})
    tracemalloc.start()
    assert "more bytes" in sentence(idx.read_idx, folder / "bomb.gz", (28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_labels_of_another_set_are_refused(folder):
    put(
        folder,
        {
            "mnist/train-images-idx3-ubyte": packed(IMAGES),
            "mnist/t10k-images-idx3-ubyte": packed(OTHERS),
            "mnist/train-labels-idx1-ubyte": packed(LABELS[:-1]),
        },
    )
    assert "49 labels for 50 images" in sentence(make_images, "mnist")


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the real MNIST is not on this machine")
def test_the_real_mnist(monkeypatch):
    """Counts, the well-known mean 33.3184 and deviation 78.5675 of the training pixels (this copy lacks 22,896 ones), label counts."""
    monkeypatch.setenv("DPM_DATA", str(SHARED))
    data = make_images("mnist")
    assert (data.size, len(data.held_out)) == (60_000, 10_000)
    assert data.mean - 0.5 == pytest.approx(33.318421, abs=22_897 / 47_040_000)
    assert (data.scale**2 - 1 / 12) ** 0.5 == pytest.approx(78.5675, abs=1e-3)
    assert torch.bincount(data.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


# --- CIFAR-10 ---


@pytest.fixture
def small(monkeypatch):
    """Batches of ten records instead of ten thousand."""
    monkeypatch.setattr(cifar10, "PER_BATCH", 10)


def batches():
    """The six .bin files of COLOUR, the last ten images being the test batch."""
    records = np.concatenate([CLASSES[:, None], COLOUR.transpose(0, 3, 1, 2).reshape(60, -1)], 1)
    return {name: records[10 * i : 10 * i + 10].tobytes() for i, name in enumerate(cifar10.BATCHES)}


def archive(files, prefix="cifar-10-batches-bin/", kinds=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size, info.type = len(body), (kinds or {}).get(name, tarfile.REGTYPE)
            info.linkname = "/etc/passwd" if info.type != tarfile.REGTYPE else ""
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def is_colour(data, count=50):
    assert torch.equal(data.train, torch.from_numpy(COLOUR[:count]).permute(0, 3, 1, 2))
    assert torch.equal(data.held_out, torch.from_numpy(COLOUR[count:]).permute(0, 3, 1, 2))
    assert data.labels.tolist() == CLASSES[:count].tolist() and data.shape == (3, 32, 32)


@pytest.mark.parametrize("place", ["cifar10/", "cifar10/cifar-10-batches-bin/", "cifar-10-batches-bin/", ""])
def test_cifar_from_its_files(folder, small, place):
    put(folder, {place + name: body for name, body in batches().items()})
    assert available("cifar10") is None
    is_colour(make_images("cifar10"))


@pytest.mark.parametrize("place", ["cifar10/", ""])
def test_cifar_from_its_archive(folder, small, place):
    """With the two other files that are in it, in any order."""
    files = {"readme.html": b"<html>", **dict(reversed(batches().items())), "batches.meta.txt": b"airplane\n"}
    put(folder, {place + cifar10.ARCHIVE: archive(files)})
    assert available("cifar10") is None
    is_colour(make_images("cifar10"))


@pytest.mark.parametrize("name", cifar10.NPZ)
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.int32])
def test_cifar_from_numpy(folder, name, kind):
    """x_holdout joins x_test; other arrays do not matter; Fortran order is undone."""
    y = CLASSES[:40].astype(kind)
    arrays = {"x_train": np.asfortranarray(COLOUR[:40]), "x_test": COLOUR[40:50], "x_holdout": COLOUR[50:], "y_train": y, "names": "abc"}
    put(folder, {f"cifar10/{name}": npz(**arrays)})
    assert available("cifar10") is None
    is_colour(make_images("cifar10"), 40)


def without(name):
    return {k: v for k, v in batches().items() if k != name}


@pytest.mark.parametrize(
    "body, words",
    [
        (lambda: archive(without("data_batch_3.bin")), "lacks data_batch_3.bin"),
        (lambda: archive({**batches(), "test_batch.bin": bytes(30_729)}), "must hold test_batch.bin exactly once"),
        (lambda: archive(batches(), kinds={"test_batch.bin": tarfile.SYMTYPE}), "exactly once"),
        (lambda: archive(batches(), kinds={"test_batch.bin": tarfile.LNKTYPE}), "exactly once"),
        (lambda: archive({**batches(), "x/test_batch.bin": bytes(30_730)}), "once"),
        (lambda: archive({**batches(), "filler": bytes(1 << 20)}), "not a complete gzipped tar"),
        (lambda: archive({"data_batch_1": b"\x80\x04N.", "test_batch": b"\x80\x04N."}), "lacks data_batch_1.bin"),
        (lambda: archive(batches())[:90_000], "not a complete gzipped tar"),
        (lambda: archive(batches())[:-6] + bytes(6), "not a complete gzipped tar"),
        (lambda: b"", "not a complete gzipped tar"),
        (lambda: b"text\n", "not a complete gzipped tar"),
        (lambda: gzip.compress(b"text\n" * 1000), "not a complete gzipped tar"),
        (lambda: archive({name: bytes([77]) * 30_730 for name in batches()}), "labels above 9"),
    ],
)
def test_other_archives_are_refused(folder, small, body, words):
    put(folder, {"cifar10/" + cifar10.ARCHIVE: body()})
    assert words in sentence(make_images, "cifar10")


def test_a_batch_of_another_length_is_refused(folder, small):
    put(folder, {"cifar10/" + name: body for name, body in {**batches(), "data_batch_2.bin": bytes(30_729)}.items()})
    message = sentence(make_images, "cifar10")
    assert message.startswith("data_batch_2.bin has 30,729 bytes, but 30,730 are expected")


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickles_are_never_opened(folder, small):
    """In the Python archive, in an object array, in a file that is only called .npz."""
    trap = folder / "sprung"
    bait = np.empty(1, object)
    bait[0] = Trap(trap)
    put(folder, {"cifar10/cifar-10-python.tar.gz": archive({"data_batch_1": pickle.dumps(Trap(trap))})})
    for message in (available("cifar10"), sentence(make_images, "cifar10")):
        assert "cifar-10-binary.tar.gz" in message and "pickles" in message
    put(folder, {"cifar10/cifar10.npz": npz(x_train=bait, x_test=COLOUR)})
    assert "x_train in cifar10.npz is object" in sentence(make_images, "cifar10")
    put(folder, {"cifar10/cifar10.npz": pickle.dumps(Trap(trap))})
    assert "not a complete .npz" in sentence(make_images, "cifar10")
    assert not trap.exists()


def header_only(shape, dtype="|u1"):
    """A .npy file that announces more than it holds."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name + ".npy", body)
    return out.getvalue()


@pytest.mark.parametrize(
    "body, words",
    [
        (lambda: npz(x_test=COLOUR), "no array x_train"),
        (lambda: npz(x_train=COLOUR), "no array x_test"),
        (lambda: npz(x_train=COLOUR.astype(np.float32) / 255, x_test=COLOUR), "float32, 60 × 32 × 32 × 3"),
        (lambda: npz(x_train=COLOUR.astype(np.int64), x_test=COLOUR), "int64"),
        (lambda: npz(x_train=COLOUR.transpose(0, 3, 1, 2), x_test=COLOUR), "60 × 3 × 32 × 32"),
        (lambda: npz(x_train=COLOUR.reshape(60, -1), x_test=COLOUR), "60 × 3072"),
        (lambda: npz(x_train=COLOUR[:0], x_test=COLOUR), "0 × 32"),
        (lambda: npz(x_train=np.uint8(3), x_test=COLOUR), "a single number"),
        (lambda: npz(x_train=COLOUR, x_test=COLOUR, y_train=CLASSES[:-1]), "59 labels for 60 images"),
        (lambda: npz(x_train=COLOUR, x_test=COLOUR, y_train=CLASSES / 2), "float64"),
        (lambda: zipped(x_train=header_only((10**12, 32, 32, 3))), "1000000000000 × 32"),
        (lambda: zipped(x_train=header_only((50_000, 32, 32, 3)) + bytes(99)), "damaged"),
        (lambda: zipped(x_train=b"no numpy at all"), "damaged"),
        (lambda: zipped(x_train=b"\x93NUMPY\x09\x00" + bytes(99)), "damaged"),
        (lambda: npz(x_train=COLOUR, x_test=COLOUR)[:-100], "not a complete .npz"),
        (lambda: b"", "not a complete .npz"),
    ],
)
def test_other_numpy_archives_are_refused(folder, body, words):
    put(folder, {"cifar10/cifar10.npz": body()})
    assert words in sentence(make_images, "cifar10")


@pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason="no part of the real CIFAR-10 is on this machine")
def test_the_real_subset(monkeypatch):
    """18,000 and 3,000 images, disjoint; channel means near the well-known (.4914, .4822, .4465)."""
    monkeypatch.setenv("DPM_DATA", str(SHARED))
    data = make_images("cifar10")
    assert (data.size, len(data.held_out)) == (18_000, 3_000)
    means = data.train.double().mean((0, 2, 3)) / 255
    assert torch.allclose(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.003)
    distinct = {row.tobytes() for row in data.train.numpy()}
    assert not distinct & {row.tobytes() for row in data.held_out.numpy()}
