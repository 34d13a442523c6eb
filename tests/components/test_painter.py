"""Masks of the painter: exact round trips, messages that are not believed, ready-made masks, and whose mask counts."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pages.ui.components.painter import masks
from pages.ui.components.painter.masks import MaskError
from pages.ui.components.painter.pack import pack
from pages.ui.components.painter.sync import PlaneSync, known_pictures

RNG = np.random.default_rng(0)
SHAPE = (12, 20)
PIXELS = 240
RANDOM = [RNG.random((h, w)) < share for h, w, share in [(12, 20, 0.5), (1, 7, 0.5), (9, 1, 0.5), (64, 48, 0.02), (30, 30, 0.98)]]
PLAIN = [np.zeros(SHAPE, bool), np.ones(SHAPE, bool), np.eye(8, dtype=bool)]


def sentence(act, *args) -> str:
    with pytest.raises(MaskError) as caught:
        act(*args)
    message = str(caught.value)
    assert message.endswith(".") and message[0].isupper() and "\n" not in message and len(message) < 150
    return message


# ---- run lengths ----


def test_the_code_by_hand():
    """Row by row, beginning with what is not missing; runs go on across the ends of rows."""
    mask = np.array([[0, 0, 1], [1, 1, 0]], bool)
    assert masks.encode(mask) == [2, 3, 1]
    assert masks.encode(~mask) == [0, 2, 3, 1]
    assert masks.encode(np.zeros((2, 3), bool)) == [6] and masks.encode(np.ones((2, 3), bool)) == [0, 6]
    np.testing.assert_array_equal(masks.decode([0, 2, 3, 1], (2, 3)), ~mask)


@pytest.mark.parametrize("mask", RANDOM + PLAIN, ids=lambda m: f"{m.shape}-{m.mean():.2f}")
def test_masks_come_back_exactly(mask):
    runs = masks.encode(mask)
    assert sum(runs) == mask.size and all(type(n) is int for n in runs) and all(n > 0 for n in runs[1:])
    back = masks.decode(json.loads(json.dumps(runs)), mask.shape)
    assert back.dtype == bool and back.shape == mask.shape
    np.testing.assert_array_equal(back, mask)
    # a picture's shape serves as well
    np.testing.assert_array_equal(masks.decode(runs, (*mask.shape, 3)), mask)


def test_the_finest_mask_fits():
    """Every pixel a run of its own, the most that is allowed: H·W + 1 runs when the first pixel is missing."""
    board = (np.arange(PIXELS).reshape(SHAPE) % 2) == 0
    runs = masks.encode(board)
    assert len(runs) == PIXELS + 1
    np.testing.assert_array_equal(masks.decode(runs, SHAPE), board)


@pytest.mark.parametrize(
    "runs, words",
    [
        (None, "not a list"),
        ("240", "not a list"),
        ({"0": 240}, "not a list"),
        (240, "not a list"),
        (b"\xf0", "not a list"),
        ([], "0 pixels instead of 240"),
        ([239], "239 pixels instead of 240"),
        ([241], "241 pixels instead of 240"),
        ([100, 100, 41], "241 pixels"),
        ([240.0], "not a whole number"),
        ([120.5, 119.5], "not a whole number"),
        ([float("nan")], "not a whole number"),
        ([float("inf")], "not a whole number"),
        (["240"], "not a whole number"),
        ([None], "not a whole number"),
        ([[240]], "not a whole number"),
        ([True, 239], "not a whole number"),
        ([-1, 241], "negative"),
        ([250, -10], "negative"),
        ([2**63, 2**63], "far too many"),
        ([2**64 + 240], "far too many"),
        ([-(2**64), 2**64 + 240], "negative"),
        ([10**400], "far too many"),
        ([0] * 240 + [240, 0], "more runs"),
        ([1] * 10_000_000, "more runs"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_runs_that_lie_are_refused(runs, words):
    assert words in sentence(masks.decode, runs, SHAPE)


def test_drawings_come_back_exactly():
    levels = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    for drawing in (levels, levels // 128 * 255, np.zeros((28, 28), np.uint8), np.full((3, 5), 255, np.uint8)):
        runs = masks.encode_drawing(drawing)
        back = masks.decode_drawing(json.loads(json.dumps(runs)), drawing.shape)
        assert back.dtype == np.uint8
        np.testing.assert_array_equal(back, drawing)
    assert masks.encode_drawing(np.array([[0, 0, 9], [9, 255, 255]])) == [0, 2, 9, 2, 255, 2]


@pytest.mark.parametrize(
    "runs, words",
    [
        (None, "not a list"),
        ("0,240", "not a list"),
        ([0], "incomplete"),
        ([0, 240, 1], "incomplete"),
        ([], "0 pixels"),
        ([0, 239], "239 pixels"),
        ([256, 240], "above 255"),
        ([10**30, 240], "above 255"),
        ([-1, 240], "negative"),
        ([0, -1, 0, 241], "negative"),
        ([0.5, 240], "not a whole number"),
        ([0, 240.0], "not a whole number"),
        ([0, 2**64 + 240], "far too many"),
        ([0, 1] * 241, "more runs"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_drawings_that_lie_are_refused(runs, words):
    assert words in sentence(masks.decode_drawing, runs, SHAPE)


# ---- PNG ----


def png(array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mask", [m for m in RANDOM + PLAIN if min(m.shape) >= 8], ids=lambda m: f"{m.shape}-{m.mean():.2f}")
def test_png_both_ways(mask):
    raw = masks.to_png(mask)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(raw))), np.where(mask, 255, 0))
    np.testing.assert_array_equal(masks.read_png(raw, mask.shape), mask)


def test_any_picture_is_cut_at_its_middle_grey():
    grey = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
    np.testing.assert_array_equal(masks.read_png(png(grey), SHAPE), grey > 127)
    colour = RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(masks.read_png(png(colour), (*SHAPE, 3)), colour.sum(-1) >= 3 * 128)


def test_a_mask_of_another_size_names_both():
    message = sentence(masks.read_png, masks.to_png(np.zeros((10, 30), bool)), SHAPE)
    assert "30 × 10" in message and "20 × 12" in message
    assert "not a picture" in sentence(masks.read_png, b"nothing", SHAPE)


# ---- ready-made ----


@pytest.mark.parametrize("shape", [(12, 20), (13, 21), (13, 21, 3), (1, 1)])
def test_halves(shape):
    """Both halves of an odd side leave its middle line."""
    h, w = shape[:2]
    for a, b, odd in (("left", "right", w % 2 * h), ("top", "bottom", h % 2 * w)):
        one, other = masks.half(shape, a), masks.half(shape, b)
        assert one.shape == (h, w) and not (one & other).any() and (~(one | other)).sum() == odd
        np.testing.assert_array_equal(one, other[::-1, ::-1])
    assert w == 1 or (masks.half(shape)[:, 0].all() and masks.half(shape, "top")[0, 0] == (h > 1))
    with pytest.raises(ValueError, match="one of left, right, top, bottom"):
        masks.half(shape, "middle")


@pytest.mark.parametrize(
    "shape, side", [((256, 256), 100), ((512, 300, 3), 100), ((200, 200), 100), ((198, 400), 66), ((28, 28), 9), ((8, 30), 2)]
)
def test_the_hole_in_the_centre(shape, side):
    """100 × 100 as in the paper's Fig. 5 up to half of a side, else a third of it; at most half a pixel off the centre."""
    mask = masks.centre(shape)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.sum() == side**2 and len(rows) == len(columns) == side
    assert abs(rows.mean() - (shape[0] - 1) / 2) <= 0.5 and abs(columns.mean() - (shape[1] - 1) / 2) <= 0.5


@pytest.mark.parametrize("share, count", [(0, 0), (0.25, 60), (0.5, 120), (1, 240), (1.5, 240), (-1, 0)])
def test_random_masks_have_their_share(share, count):
    mask = masks.random(SHAPE, share, 3)
    assert mask.shape == SHAPE and mask.sum() == count
    np.testing.assert_array_equal(mask, masks.random(SHAPE, share, 3))
    assert count in (0, 240) or (mask != masks.random(SHAPE, share, 4)).any()


def test_random_pixels_are_independent_of_their_place():
    """400 masks of share 0.3: each pixel is missing 0.3·400 times within five standard errors."""
    counts = sum(masks.random(SHAPE, 0.3, seed).astype(int) for seed in range(400))
    assert np.abs(counts - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)


@pytest.mark.parametrize("shape", [(256, 256), (512, 300, 3), (100, 640), (28, 28)])
def test_lettering_spans_the_picture(shape):
    """Nine tenths of the width, at most a third of the height, in the middle; letters, not a bar."""
    mask = masks.text_strip(shape)
    h, w = shape[:2]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.shape == (h, w) and np.ptp(columns) + 1 >= 0.8 * w and np.ptp(rows) + 1 <= h / 3 + 1
    assert abs(rows.mean() - h / 2) <= 0.08 * h and abs((columns[0] + columns[-1]) / 2 - w / 2) <= 0.06 * w
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0.2 < box.mean() < 0.75
    # between letters one looks through
    assert w < 100 or (~mask[:, columns[0] : columns[-1]].any(0)).sum() >= 5


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_grow_and_shrink_by_distance(k):
    """Distances of all pairs of pixels, worked out one by one."""
    mask = RNG.random((15, 18)) < 0.08
    y, x = np.mgrid[:15, :18]
    wanted = np.array([[bool(((y[mask] - i) ** 2 + (x[mask] - j) ** 2 <= k * k).any()) for j in range(18)] for i in range(15)])
    np.testing.assert_array_equal(masks.grow(mask, k), wanted)
    np.testing.assert_array_equal(masks.shrink(~mask, k), ~wanted)
    assert masks.grow(mask, k).dtype == bool and masks.grow(mask, k) is not mask


def test_the_border_neither_grows_nor_shrinks():
    full, empty = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    assert masks.shrink(full, 3).all() and not masks.grow(empty, 3).any()


# ---- what is sent ----

IMAGE = RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
MASK = RNG.random(SHAPE) < 0.4


def unpacked(raw):
    assert raw[:4] == b"DPP1"
    (length,) = struct.unpack("<I", raw[4:8])
    header, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    blocks = {}
    for block in header["blocks"]:
        blocks[block["name"]], body = np.frombuffer(body[: block["bytes"]], np.uint8), body[block["bytes"] :]
    assert not body
    return header, blocks


def test_the_payload_holds_the_pictures_and_only_the_hole_of_the_result():
    result, before = IMAGE[..., 0].copy(), 255 - IMAGE
    header, blocks = unpacked(pack(IMAGE, MASK, 7, result=result, filled=~MASK, before=before, height=300))
    assert (header["width"], header["height"], header["revision"], header["tall"], header["small"]) == (20, 12, 7, 300, True)
    np.testing.assert_array_equal(blocks["image"], IMAGE.ravel())
    np.testing.assert_array_equal(np.unpackbits(blocks["mask"])[:PIXELS], MASK.ravel())
    np.testing.assert_array_equal(np.unpackbits(blocks["filled"])[:PIXELS], ~MASK.ravel())
    np.testing.assert_array_equal(blocks["result"], result[~MASK])
    np.testing.assert_array_equal(blocks["before"], before.ravel())
    # strided arrays are sent as they look
    np.testing.assert_array_equal(unpacked(pack(IMAGE[:, ::-1], MASK, 0))[1]["image"], IMAGE[:, ::-1].ravel())
    assert len(unpacked(pack(IMAGE, MASK, 0, result=IMAGE))[1]["result"]) == 3 * MASK.sum()
    header, blocks = unpacked(pack(result, None, 0, mode="draw"))
    assert set(blocks) == {"image"} and header["mode"] == "draw"
    assert not unpacked(pack(np.zeros((65, 64), np.uint8), np.zeros((65, 64), bool), 0))[0]["small"]


def test_a_picture_that_the_browser_has_is_not_sent_again():
    before = 255 - IMAGE
    sums = {name: zlib.crc32(picture.tobytes()) for name, picture in (("image", IMAGE), ("before", before))}
    header, blocks = unpacked(pack(IMAGE, MASK, 7, before=before, known={sums["before"]}))
    assert {b["name"]: b["checksum"] for b in header["blocks"]} == {"image": sums["image"], "mask": None, "before": sums["before"]}
    assert len(blocks["before"]) == 0 and np.array_equal(blocks["image"], IMAGE.ravel())
    both = pack(IMAGE, MASK, 7, before=before, known=sums.values())
    assert len(both) < IMAGE.size and np.array_equal(np.unpackbits(unpacked(both)[1]["mask"])[:PIXELS], MASK.ravel())
    # one pixel more and it is another picture; a drawing is always sent
    other = IMAGE.copy()
    other[0, 0, 0] += 1
    assert len(unpacked(pack(other, MASK, 7, known=sums.values()))[1]["image"]) == IMAGE.size
    grey = IMAGE[..., 0].copy()
    assert len(unpacked(pack(grey, None, 7, mode="draw", known={zlib.crc32(grey.tobytes())}))[1]["image"]) == PIXELS


@pytest.mark.parametrize(
    "message, known",
    [
        (None, set()), ("x", set()), ({}, set()), ({"have": None}, set()), ({"have": {"0": 1}}, set()), ({"have": []}, set()),
        ({"have": [1, 2]}, {1, 2}), ({"have": [1.0, "2", True, 3]}, {3}), ({"have": list(range(10**6))}, {0, 1, 2, 3}),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_what_the_browser_says_it_has(message, known):
    assert known_pictures(message) == known


@pytest.mark.parametrize(
    "image, mask, options, words",
    [
        (IMAGE / 255, MASK, {}, "image must be a uint8 array, not float64"),
        (None, MASK, {}, "not NoneType"),
        (IMAGE[..., :2], MASK, {}, r"not \[12, 20, 2\]"),
        (IMAGE[:0], MASK[:0], {}, r"not \[0, 20, 3\]"),
        (IMAGE, None, {}, "mask must be a bool array of the image's size .* not NoneType"),
        (IMAGE, MASK.astype(int), {}, "not int64"),
        (IMAGE, MASK[1:], {}, r"not bool \[11, 20\]"),
        (IMAGE, MASK, {"result": IMAGE[1:]}, r"result must have the image's size \[12, 20\], not \[11, 20\]"),
        (IMAGE, MASK, {"result": IMAGE, "filled": MASK[1:]}, "filled must be a bool array"),
        (IMAGE, MASK, {"before": IMAGE[:, 1:]}, "before must have the image's size"),
        (IMAGE, MASK, {"mode": "erase"}, "one of mask, draw, not 'erase'"),
        (IMAGE, None, {"mode": "draw"}, r"drawing must have shape \[H, W\]"),
        (np.zeros((2100, 2100, 3), np.uint8), np.zeros((2100, 2100), bool), {}, "limit is 12 MB"),
    ],
)
def test_a_mistake_of_the_page_is_one_sentence(image, mask, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        pack(image, mask, 0, **options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


# ---- whose mask counts ----


def message(sync, mask, number=1, **changes):
    return {"sender": "x", "number": number, "revision": sync.revision, "runs": masks.encode(mask), **changes}


def test_the_browsers_mask_is_taken_once():
    sync = PlaneSync(PLAIN[0])
    revision, told = sync.revision, message(sync, MASK)
    assert sync.receive(told) == ""
    np.testing.assert_array_equal(sync.plane, MASK)
    assert (sync.changes, sync.revision) == (1, revision), "the browser keeps what it painted"
    sync.offer(MASK)  # the page gives back what it got
    assert (sync.changes, sync.revision) == (1, revision)
    # the page starts anew; the old message comes again in every run and must not undo that
    sync.offer(PLAIN[0])
    assert (sync.changes, sync.revision) == (2, revision + 1)
    assert sync.receive(json.loads(json.dumps(told))) == ""
    np.testing.assert_array_equal(sync.plane, PLAIN[0])
    # the same stroke painted again is another message
    assert sync.receive(message(sync, MASK, 2)) == ""
    np.testing.assert_array_equal(sync.plane, MASK)


def test_a_message_about_an_older_mask_comes_too_late():
    """Also when the picture has another size by now: no sentence, nobody lied."""
    sync = PlaneSync(PLAIN[0])
    late = message(sync, MASK)
    sync.offer(PLAIN[1])
    assert sync.receive(late) == "" and sync.plane.all() and sync.changes == 1
    late = message(sync, MASK, 2)
    sync.offer(np.zeros((9, 9), bool))
    assert sync.receive(late) == "" and sync.plane.shape == (9, 9)


NONSENSE = ["x", 3, [], {}, {"runs": [1]}, {"revision": 0.5, "runs": [240]}]
CHANGES = [
    {"revision": 1.5}, {"revision": True}, {"revision": None}, {"revision": "1"}, {"runs": None}, {"runs": [241]},
    {"runs": [-1, 241]}, {"runs": [240.0]}, {"runs": "240"}, {"runs": {"0": 240}},
]  # fmt: skip


@pytest.mark.parametrize("forged", NONSENSE + CHANGES, ids=str)
def test_a_forged_message_is_refused_in_one_sentence_and_the_mask_kept(forged):
    sync = PlaneSync(MASK)
    revision = sync.revision
    if forged in CHANGES:
        forged = message(sync, PLAIN[1], **forged)
    problem = sync.receive(forged)
    assert problem.endswith(("the previous mask was restored.", "so the previous one was restored.")) and "\n" not in problem
    np.testing.assert_array_equal(sync.plane, MASK)
    assert sync.revision == revision + 1, "the browser must return to the mask that is kept"
    assert sync.receive(forged) == "", "said once"
    assert sync.changes == 0


def test_a_question_for_the_pictures_changes_nothing():
    sync = PlaneSync(MASK)
    revision = sync.revision
    assert sync.receive({"sender": "x", "number": 1, "revision": None, "have": [], "runs": None}) == ""
    np.testing.assert_array_equal(sync.plane, MASK)
    assert (sync.revision, sync.changes) == (revision, 0)


def test_the_agreed_mask_is_nobody_elses_array():
    """A page that changes the array it got or gave has changed its mask."""
    mine = PLAIN[0].copy()
    sync = PlaneSync(mine)
    mine[3, 4] = True
    assert not sync.plane.any()
    sync.offer(mine)
    mine[5, 5] = True
    assert sync.changes == 1 and sync.plane.sum() == 1


def test_drawings_follow_the_same_rules():
    drawing = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    sync = PlaneSync(np.zeros((28, 28), np.uint8))
    told = {"sender": "x", "number": 1, "revision": sync.revision, "runs": masks.encode_drawing(drawing)}
    assert sync.receive(told) == ""
    np.testing.assert_array_equal(sync.plane, drawing)
    assert "784" in sync.receive({**told, "number": 2, "runs": [0, 785]})
    np.testing.assert_array_equal(sync.plane, drawing)
