"""Whatever is handed in from outside is read or refused in one sentence: no traceback, no file elsewhere, no gigabyte of memory.

Valid input is damaged in generated ways. ``make test`` tries some cases of each reader; ``make hostile`` tries 10,000.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError
from dpm_core.checkpoints.archive import read_upload
from dpm_core.data.errors import DataError
from dpm_core.data.images.cifar10 import read_archive, read_npz
from dpm_core.data.images.idx import read_idx
from dpm_core.data.uploads import read_bits, read_csv, read_image
from dpm_core.schedules import make_schedule
from pages.ui.components.painter import masks
from pages.ui.components.sketch_pad import codec
from pages.ui.controls.schedule import decode_points
from pages.ui.kinds.points import selected_point
from pages.ui.lecture import tour

ROOT = Path(__file__).resolve().parent.parent
CASES = int(os.environ.get("DPM_HOSTILE_CASES", "100"))
PAGE_CASES = max(1, CASES // 100)  # of a page with a generated link, each a run of the whole page
PAGES = (
    "start",
    "forward",
    "schedule",
    "reverse",
    "train",
    "bound",
    "likelihood",
    "multiply",
    "continuous",
    "reversibility",
    "paths",
    "memory",
    "relatives",
    "guide",
    "inpaint",
    "denoise",
    "checkpoints",
    "lab",
    "minimum_probability_flow",
    "hamiltonian_monte_carlo",
    "random_networks",
    "sum_of_functions",
)
MOST_MEMORY = 1 << 30  # bytes that all cases of a reader may add to the peak of this process
generated = settings(max_examples=CASES, deadline=None, database=None, derandomize=CASES <= 100, suppress_health_check=list(HealthCheck))


def peak() -> int:
    """The largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.fixture(autouse=True)
def memory_and_files(tmp_path, monkeypatch):
    """Nothing is written but in the folder of the test, not above it or by an absolute path, and the memory stays bounded."""
    inside = tmp_path / "above" / "between" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    began = peak()
    yield
    elsewhere = [path for path in tmp_path.rglob("*") if inside not in (path, *path.parents) and path not in inside.parents]
    assert not elsewhere and not Path("/etc/a.json").exists()
    assert peak() - began < MOST_MEMORY


def damaged(*valid: bytes) -> st.SearchStrategy[bytes]:
    """One of the valid inputs, or bytes of any kind, with some bytes replaced, repeated or cut off."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(valid) | st.binary(max_size=200)))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, max(0, min(len(data), draw(st.sampled_from((16, 128, 4096, 1 << 20)))))))
            piece = draw(st.binary(max_size=8) | st.sampled_from((b"\xff" * 8, b"\0" * 8, b"1e999", b"nan", b"-", b",", b'"', b"[" * 50)))
            match draw(st.sampled_from(("replace", "insert", "cut", "drop"))):
                case "replace":
                    data[at : at + len(piece)] = piece
                case "insert":
                    data[at:at] = piece
                case "cut":
                    del data[at:]
                case "drop":
                    del data[at : at + len(piece)]
        return bytes(data)

    return change()


def text_of(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[str]:
    return strategy.map(lambda data: data.decode("utf-8", "replace"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


def refused(function, error, *arguments) -> None:
    """Call a reader: it returns, or raises its own error with one sentence, without the text of another exception's traceback."""
    try:
        function(*arguments)
    except error as found:
        assert str(found) and "\n" not in str(found) and "Traceback" not in str(found)


@dataclass
class File:
    """An uploaded file."""

    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


def png(size=(8, 6), mode="L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    return out.getvalue()


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


PIXELS = np.zeros((4, 32, 32, 3), np.uint8)
NPZ = npz(x_train=PIXELS, x_test=PIXELS, y_train=np.zeros(4, np.int64), y_test=np.zeros(4, np.int64))
IDX = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (2, 28, 28)) + bytes(2 * 28 * 28)
SHIPPED = ROOT / "checkpoints" / "swiss_roll_rbf.safetensors"
TENSORS, HEADER = SHIPPED.read_bytes(), SHIPPED.with_suffix(".json").read_bytes()


@generated
@given(damaged(b"1.5,2\n-3,4e2\n", b"x,y\n0,0\n1,1\n2,3\n", "x;y\n1,5;2\n".encode("utf-16")))
def test_a_table_of_points(raw):
    refused(read_csv, DataError, raw)


@generated
@given(damaged(b"0101\n1100\n", b"0,1,1\n1,0,0\n"))
def test_rows_of_bits(raw):
    refused(read_bits, DataError, raw)


@generated
@given(damaged(png(), png((300, 2), "RGB"), png(mode="RGBA")), st.sampled_from(((6, 8), (6, 8, 3), (1, 1))))
def test_a_picture_and_a_mask(raw, shape):
    refused(read_image, DataError, raw)
    refused(masks.read_png, masks.MaskError, raw, shape)


@generated
@given(damaged(IDX))
def test_an_idx_file(raw):
    path = Path("images")
    path.write_bytes(raw)
    refused(read_idx, DataError, path, (28, 28))


@generated
@given(damaged(NPZ, npz(x_train=PIXELS), npz(x_train=np.array([{}], object), x_test=PIXELS)))
def test_an_npz_file(raw):
    path = Path("cifar.npz")
    path.write_bytes(raw)
    refused(read_npz, DataError, path)


@generated
@given(damaged(b"\x1f\x8b" + bytes(40)))
def test_an_archive(raw):
    path = Path("cifar-10-binary.tar.gz")
    path.write_bytes(raw)
    refused(read_archive, DataError, path)


@generated
@given(damaged(TENSORS), damaged(HEADER))
def test_a_damaged_checkpoint(tensors, header):
    Path("some.safetensors").write_bytes(tensors)
    Path("some.json").write_bytes(header)
    refused(checkpoints.load, CheckpointError, Path("some.safetensors"))


def _paths(value, path=()):
    """The places of all values of a JSON object."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


PLACES = [place for place in _paths(json.loads(HEADER)) if place]
big = st.sampled_from((10**9, 10**18, -1, 0, 1e300, float("inf"), float("nan"), "../../x", "", [1] * 1000))


@generated
@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values | big), min_size=1, max_size=3))
def test_a_checkpoint_that_describes_something_else(changes):
    """Valid JSON with other values in it: huge sizes, other types, unknown names."""
    header = json.loads(HEADER)
    for place, value in changes:
        inner = header
        try:
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    Path("some.safetensors").write_bytes(TENSORS)
    Path("some.json").write_text(json.dumps(header))
    refused(checkpoints.load, CheckpointError, Path("some.safetensors"))


def zipped(files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


ZIPS = (
    zipped([("a.safetensors", TENSORS), ("a.json", HEADER)]),
    zipped([("../../a.safetensors", TENSORS), ("/etc/a.json", HEADER)]),
    zipped([("a.safetensors", bytes(1 << 24)), ("a.json", bytes(1 << 24))]),
)


@generated
@given(damaged(*ZIPS), st.sampled_from(("a.zip", "a.safetensors", "../a.zip", "a")))
def test_an_uploaded_archive(raw, name):
    """What it gives has a plain name."""
    try:
        pair = read_upload([File(name, raw)])
    except CheckpointError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert not {"/", "\\", ".."} & set(pair.stem) and pair.stem not in (".", "..")
    Path("kept").mkdir(exist_ok=True)
    refused(lambda: checkpoints.save_upload(pair.tensors, pair.header, pair.stem, Path("kept")), CheckpointError)
    assert not [path for path in Path().rglob("*") if path.is_file() and path.parent != Path("kept") and path.suffix == ".safetensors"]


@generated
@given(json_values | st.lists(st.integers(-5, 60), max_size=12), st.sampled_from(((6, 8), (1, 1), (2000, 3000, 3))))
def test_a_mask_from_the_browser(runs, shape):
    refused(masks.decode, masks.MaskError, runs, shape)
    refused(masks.decode_drawing, masks.MaskError, runs, shape)


@generated
@given(text_of(damaged(b"0,0.001,0.5,0.1,1,0.9", b"0:0.01;1:0.5", b"0 1e-5 1 1")))
def test_control_points_and_strokes_in_a_link(text):
    refused(decode_points, ValueError, text)
    refused(selected_point.decode, ValueError, text)
    refused(codec.decode, ValueError, text)


@generated
@given(json_values)
def test_control_points_of_the_curve_editor(points):
    refused(lambda: make_schedule("custom", 40, points=points), ValueError)


@generated
@given(damaged(tour.FILE.read_bytes()))
def test_a_tour(raw):
    refused(tour.own, tour.TourError, raw, PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_any_link_opens_a_page(page, monkeypatch):
    """Known parameters with values that make no sense: the page opens, without an exception."""
    monkeypatch.chdir(ROOT)
    app = opened(page, {})
    names = sorted(name for name in app.session_state._state.filtered_state if len(name) < 40)
    strange = ("-1", "0", "1e308", "nan", "inf", "99999999999999999999", "../x", "<b>x</b>", "0,0", "[]")
    values = st.text(max_size=30) | st.sampled_from(strange)

    @settings(generated, max_examples=PAGE_CASES)
    @example(dict.fromkeys(names, "inf"))
    @example(dict.fromkeys(names, ""))
    @given(st.dictionaries(st.sampled_from(names) | st.text(min_size=1, max_size=10), values, max_size=6))
    def check(query):
        found = opened(page, query)
        assert not found.exception, (urlencode(query), found.exception)

    check()


def opened(page: str, query: dict[str, str]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    return app.switch_page(f"pages/{page}.py").run()
