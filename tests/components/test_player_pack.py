"""What the player is sent: exact round trips, one sentence for every mistake, and clicks that are not believed."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from pages.ui.components.player import Arrows, Formula, Histogram, Images, Lines, Mesh, Number, Panel, Stage, clean_pick, pack, unpack

F, N, S = 5, 7, 3
TIMES = list(range(F))
RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (F, 4, 6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (F, 4, 6, 9, 3), dtype=np.uint8)
EDGES = [-1.0, 0.0, 0.5, 2.0]
COUNTS = RNG.random((F, 3))


def images(pixels, **changes) -> Images:
    return Images("digits", "digits", "data", pixels, **changes)


def stage(*panels, **changes) -> Stage:
    return Stage(panels, TIMES, F - 1, **changes)


def versioned(*panels, **changes) -> Stage:
    return stage(*panels, versions=["0", "50", "200"], **changes)


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_come_back_byte_for_byte(pixels):
    header, blocks = unpack(pack(stage(images(pixels, columns=2, captions=["a", "b", "c", "d"]))))
    assert blocks["digits/pixels"].dtype == np.uint8
    assert np.array_equal(blocks["digits/pixels"], pixels)
    panel = header["panels"][0]
    assert (panel["kind"], panel["n"], panel["height"], panel["width"], panel["columns"]) == ("images", 4, 6, 9, 2)
    assert panel["channels"] == (3 if pixels is COLOUR else 1) and panel["captions"] == ["a", "b", "c", "d"]
    assert header["versions"] == []


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_versions_of_images_beside_one_that_all_share(pixels):
    many = np.stack([pixels, 255 - pixels, pixels // 2])
    header, blocks = unpack(pack(versioned(images(many), Images("truth", "truth", "exact", pixels))))
    assert np.array_equal(blocks["digits/pixels"], many) and np.array_equal(blocks["truth/pixels"], pixels)
    assert [panel["versioned"] for panel in header["panels"]] == [True, False]
    assert header["versions"] == ["0", "50", "200"] and header["versions_label"] == "training step"


def test_versions_of_particles_arrows_and_numbers():
    x = RNG.normal(size=(S, F, N, 2))
    start, end = RNG.normal(size=(6, 2)), RNG.normal(size=(S, 2, 6, 2))
    mesh = Mesh("mesh", "mesh", "noise", RNG.normal(size=(2, 3, 3, 2)))
    lines = Lines("lines", "lines", "data", [[RNG.normal(size=(4, 2))], []])
    layers = (Arrows("drift", "drift", "model", start, end), Arrows("same", "same", "exact", start, end[0]), mesh, lines)
    values, whole = RNG.random((S, F)), [[1], [2], [3]]
    readouts = (Number("loss", values), Number("one", [1.5]), Formula("f", "{a} {b}", {"a": values, "b": whole}))
    header, blocks = unpack(pack(versioned(Panel("x", "x", "model", x, layers=layers), readouts=readouts, lo=-4, hi=4)))
    step = 24 / 65534  # of the quantised range
    for name, array in {"positions": x, "drift/end": end, "same/end": end[0], "mesh/points": mesh.points}.items():
        assert blocks[f"x/{name}"].shape == array.shape
        assert np.abs(blocks[f"x/{name}"] - array).max() <= 0.51 * step
    assert [layer.get("versioned") for layer in header["panels"][0]["layers"]] == [True, False, None, None]
    loss, one, formula = header["readouts"]
    assert np.allclose(loss["values"], values, rtol=1e-5) and one["values"] == [1.5]
    assert np.allclose(formula["values"]["a"], values, rtol=1e-5) and formula["values"]["b"] == whole


@pytest.mark.parametrize("curve", [None, COUNTS[0], COUNTS], ids=["no curve", "one curve", "curve per frame"])
@pytest.mark.parametrize("counts", [COUNTS, np.stack([COUNTS, 2 * COUNTS, 3 * COUNTS])], ids=["shared", "versions"])
def test_histograms_come_back_as_float32(counts, curve):
    card = Histogram("values", EDGES, counts, curve, "a note", "data")
    header, blocks = unpack(pack(versioned(images(GREY), readouts=(Number("n", [1]), card))))
    assert np.array_equal(blocks["cards/1/counts"], counts.astype(np.float32))
    assert ("cards/1/curve" in blocks) == (curve is not None)
    if curve is not None:
        assert np.array_equal(blocks["cards/1/curve"], curve.astype(np.float32))
    head = header["readouts"][1]
    assert (head["kind"], head["edges"], head["note"], head["role"]) == ("histogram", EDGES, "a note", "data")


def test_the_bytes_do_not_change():
    """Players in open tabs read this format: the checksum is of a stage with every kind of panel, layer and card."""
    line = np.arange(8.0).reshape(4, 2)
    ramp = np.arange(2 * F * N, dtype=float).reshape(F, N, 2) / 10
    layers = (
        Arrows("arrows", "arrows", "model", line, np.stack([line + 1, line + 2])),
        Lines("lines", "lines", "data", [[line, line[:2]], []]),
        Mesh("mesh", "mesh", "noise", line.reshape(1, 2, 2, 2)),
    )
    pixels = np.arange(F * 2 * 3 * 5, dtype=np.uint8).reshape(F, 2, 3, 5)
    panels = (
        Panel("x", "x", "model", ramp, "q<sub>t</sub>", layers),
        Images("i", "i", "exact", np.stack([pixels] * S), captions=["a", "b"]),
        Images("b", "b", "data", pixels % 2, bits=True),
    )
    readouts = (
        Number("n", [1.5], 2, "nats", "note", True, "exact"),
        Formula("f", "{a}", {"a": list(range(F))}),
        Histogram("h", EDGES, np.arange(F * 3).reshape(F, 3), np.ones(3), "note"),
    )
    payload = pack(versioned(*panels, readouts=readouts, caption="[lines](lines)", on=("lines",), start=2, clock="c"))
    assert (len(payload), zlib.crc32(payload)) == (2861, 809858830)


def test_blocks_start_where_the_browser_can_read_them():
    """Typed arrays need their own alignment, whatever the odd number of bytes before."""
    card = Histogram("values", EDGES, COUNTS)
    odd = Images("odd", "odd", "data", GREY[:, :1, :3, :1])
    plane = Panel("x", "x", "model", RNG.normal(size=(F, N, 2)))
    header, blocks = unpack(pack(stage(odd, plane, readouts=(card,))))
    assert [block["type"] for block in header["blocks"]] == ["u1", "u2", "f4"]
    assert all(block["offset"] % 4 == 0 for block in header["blocks"])
    assert np.array_equal(blocks["odd/pixels"], odd.pixels)


MANY = np.stack([GREY] * S)
POSITIONS = np.zeros((F, N, 2))
WRONG = {
    "must be uint8, not float64": stage(images(GREY / 255)),
    "must be uint8, not bool": stage(images(GREY > 100)),
    r"shape \[F, n, H, W\], with a last axis of 3 for colour, not \[4, 6, 9\]": stage(images(GREY[0])),
    r"not \[5, 4, 6, 9, 4\]": stage(images(np.zeros((F, 4, 6, 9, 4), np.uint8))),
    r"not \[3, 5, 4, 6, 9\]": stage(images(MANY)),
    "has 4 frames but the stage has 5 times": stage(images(GREY[:4])),
    "has 2 versions but the stage has 3": versioned(images(MANY[:2])),
    "has 4 frames but the stage has 5 times.": versioned(images(MANY[:, :4])),
    "has no pixels": stage(images(GREY[:, :0])),
    "columns must be 1 to 4, not 5": stage(images(GREY, columns=5)),
    "one caption for each of 4 images, not 1": stage(images(GREY, captions=["a"])),
    "role must be one of": stage(replace(images(GREY), role="red")),
    "use fewer or smaller ones": stage(images(np.zeros((F, 2000, 9, 1), np.uint8))),
    "5.3 MB and the limit is 5 MB: use fewer images or frames": stage(images(np.zeros((F, 100, 103, 103), np.uint8))),
    "use fewer images, versions or frames": versioned(images(np.zeros((S, F, 100, 80, 80), np.uint8))),
    "use fewer particles or frames": stage(Panel("x", "x", "model", np.zeros((F, 300_000, 2)))),
    "must be Panel or Images, not list": stage([GREY]),
    "no other panel or layer has": stage(images(GREY), images(GREY)),
    "list of different labels": stage(images(GREY), versions=["1", "1"]),
    "list of different labels.": stage(images(GREY), versions="12"),
    r"shape \[S, F, N, 2\] or \[F, N, 2\]": versioned(Panel("x", "x", "model", POSITIONS[0])),
    "Layer 'a' has 2 versions but the stage has 3": versioned(
        Panel("x", "x", "model", POSITIONS, layers=(Arrows("a", "a", "model", np.zeros((6, 2)), np.zeros((2, 1, 6, 2))),))
    ),
    "has values for 2 versions but the stage has 3": versioned(images(GREY), readouts=(Number("n", np.zeros((2, F))),)),
    "one value or one for each of 5 frames, not 4": versioned(images(GREY), readouts=(Number("n", np.zeros((S, 4))),)),
    "two edges that increase": stage(images(GREY), readouts=(Histogram("h", [0, 1, 1, 2], COUNTS),)),
    r"counts must have shape \[5, 3\], not \[5, 2\]": stage(images(GREY), readouts=(Histogram("h", EDGES, COUNTS[:, :2]),)),
    r"\[5, 3\] or \[3, 5, 3\]": versioned(images(GREY), readouts=(Histogram("h", EDGES, COUNTS[:2]),)),
    r"curve must have shape \[3\] or \[5, 3\], not \[2\]": stage(images(GREY), readouts=(Histogram("h", EDGES, COUNTS, COUNTS[0, :2]),)),
    "finite and not negative": stage(images(GREY), readouts=(Histogram("h", EDGES, -COUNTS),)),
    "finite and not negative.": stage(images(GREY), readouts=(Histogram("h", EDGES, COUNTS, np.full(3, np.nan)),)),
    "must be Number, Formula or Histogram, not str": stage(images(GREY), readouts=("n",)),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_mistake_is_one_sentence(sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        pack(WRONG[sentence])
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


PLANE = Panel("plane", "plane", "model", np.stack([POSITIONS] * S))
HEADER = unpack(pack(versioned(images(MANY), PLANE)))[0]
ON_IMAGE = {"panel": "digits", "frame": 2, "version": 1, "image": 3, "x": 8, "y": 5}
ON_PLANE = {"panel": "plane", "frame": 4, "version": 0, "x": 0.5, "y": -1.0, "particle": 6}


def test_clicks_that_make_sense():
    assert clean_pick({**ON_IMAGE, "t": 99, "more": "x"}, HEADER) == {**ON_IMAGE, "t": 2}
    assert clean_pick({**ON_IMAGE, "frame": 2.0}, HEADER) == {**ON_IMAGE, "t": 2}
    assert clean_pick(ON_PLANE, HEADER) == {**ON_PLANE, "t": 4}
    assert clean_pick({**ON_PLANE, "particle": None}, HEADER) == {**ON_PLANE, "t": 4, "particle": None}
    header = unpack(pack(stage(images(GREY))))[0]
    assert clean_pick({**ON_IMAGE, "version": None}, header) == {**ON_IMAGE, "t": 2, "version": None}


NONSENSE = [-1, 1.5, "1", None, True, [1], {}, float("nan"), float("inf"), 10**30]


@pytest.mark.parametrize("field", ["frame", "version", "image", "x", "y"])
@pytest.mark.parametrize("value", [*NONSENSE, 9])
def test_nonsense_about_an_image_is_no_click(field, value):
    assert clean_pick({**ON_IMAGE, field: value}, HEADER) is None


@pytest.mark.parametrize("field", ["frame", "version", "particle"])
@pytest.mark.parametrize("value", [*NONSENSE, 9])
def test_nonsense_about_a_particle_is_no_click(field, value):
    expected = {**ON_PLANE, "t": 4, "particle": None} if (field, value) == ("particle", None) else None
    assert clean_pick({**ON_PLANE, field: value}, HEADER) == expected


@pytest.mark.parametrize("value", [1e9, float("nan"), float("-inf"), None, [], "x"])
def test_a_click_outside_the_plane_is_no_click(value):
    assert clean_pick({**ON_PLANE, "x": value}, HEADER) is None


def test_a_click_without_its_parts_is_no_click():
    for click in (ON_IMAGE, ON_PLANE):
        for field in click.keys() - {"particle"}:
            assert clean_pick({name: value for name, value in click.items() if name != field}, HEADER) is None
        assert clean_pick({**click, "panel": ["digits"]}, HEADER) is None
        assert clean_pick({**click, "panel": "other"}, HEADER) is None
    for value in (None, 3, "digits", [], [ON_IMAGE]):
        assert clean_pick(value, HEADER) is None
