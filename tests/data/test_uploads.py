"""Reading a person's own columns and pictures: exact values in, or one sentence."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpm_core.data import uploads
from dpm_core.data.errors import DataError
from dpm_core.data.uploads import read_csv, read_image

WANTED = [[1.5, -2.0], [0.25, 3e2], [7.0, 0.1]]


@pytest.mark.parametrize(
    "raw",
    [
        b"1.5,-2\n0.25,3e2\n7,.1",
        b"1.5,-2\n0.25,3e2\n7,.1\n",
        b"x,y\n1.5,-2\n0.25,3e2\n7,.1\n",
        b'"x","y"\n1.5,-2\n0.25,3e2\n7,.1\n',
        b"longitude,latitude in degrees\n1.5,-2\n0.25,3e2\n7,.1\n",
        b"1.5;-2\n0.25;3e2\n7;.1\n",
        b"x;y\n1.5;-2\n0.25;3e2\n7;.1\n",
        b"1.5\t-2\n0.25\t3e2\n7\t.1\n",
        b"x\ty\n1.5\t-2\n0.25\t3e2\n7\t.1\n",
        b"x;y, in metres\n1.5;-2\n0.25;3e2\n7;.1\n",
        b"x\ty, in metres\n1.5\t-2\n0.25\t3e2\n7\t.1\n",
        b"1.5 -2\n0.25 3e2\n7 .1\n",
        b"x y\n1.5   -2\n  0.25 3e2\n7 .1\n",
        b"1.5, -2\n0.25 , 3e2\n 7,.1\n",
        b"\xef\xbb\xbf1.5,-2\n0.25,3e2\n7,.1\n",
        b"\xef\xbb\xbfx,y\n1.5,-2\n0.25,3e2\n7,.1\n",
        b"1.5,-2\r\n0.25,3e2\r\n7,.1\r\n",
        b"x,y\r\n1.5,-2\r\n0.25,3e2\r\n7,.1\r\n",
        b"\n\n1.5,-2\n\n0.25,3e2\n7,.1\n\n\n",
        "größe,höhe\n1.5,-2\n0.25,3e2\n7,.1\n".encode(),
    ],
)
def test_two_columns_parse_exactly(raw):
    """Comma, semicolon, tab or spaces, with names or without, BOM, CRLF, blank lines."""
    values = read_csv(raw)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, WANTED)


def test_one_row_is_still_two_columns():
    np.testing.assert_array_equal(read_csv(b"3,4"), [[3, 4]])
    np.testing.assert_array_equal(read_csv(b"x,y\n3,4\n"), [[3, 4]])


def test_every_digit_survives():
    """repr round trip of 200 random doubles."""
    values = np.random.default_rng(0).normal(size=(200, 2)) * 10.0 ** np.random.default_rng(1).integers(-9, 9, (200, 2))
    text = "\n".join(f"{a!r},{b!r}" for a, b in values.tolist())
    np.testing.assert_array_equal(read_csv(text.encode()), values)


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize(
    "raw, word",
    [
        (b"", "empty"),
        (b"  \n \r\n\t", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"x,y\n", "two numeric columns"),
        (b"x,y", "two numeric columns"),
        (b"1\n2\n3", "has 1"),
        (b"x\n1\n2", "has 1"),
        (b"1,2,3\n4,5,6", "has 3"),
        (b"a b c\n1 2 3\n4 5 6", "has 3"),
        (b"1,2\n3,four\n5,6", "text"),
        (b"x,y\nred,blue\ngreen,white", "text"),
        (b"name,x,y\nanna,1,2\nbob,3,4", "text"),
        (b"1,2\n3\n4,5", "different lengths"),
        (b"1,2\n3,4,5\n6,7", "different lengths"),
        (b"1,2\n3,\n4,5", "text"),
        (b"1\t\t2\n3\t\t4", "columns"),
        (b"1,2\n,3\n4,5", "text"),
        (b"1,2\nnan,3", "not finite"),
        (b"nan,2\n1,3", "not finite"),
        (b"1,inf\n2,3", "not finite"),
        (b"1,2\n-1e400,3", "not finite"),
        (b"1,5;2,5\n3,5;4,5", "text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "not a text file"),
        ("x,y\n1,2".encode("utf-16"), "not a text file"),
        (b"PK\x03\x04\x00\x00\x00\x00\n\x00\x00", "column"),
        (b'{"x": [1, 2], "y": [3, 4]}', "column"),
        (b"<html>\n<p>1,2</p>\n</html>", "text"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(raw, word):
    with pytest.raises(DataError) as caught:
        read_csv(raw)
    message = str(caught.value)
    assert word in message and message.endswith(".") and "\n" not in message


def test_limits(monkeypatch):
    """Exactly MAX_ROWS rows and MAX_BYTES bytes pass, with or without names; one more does not."""
    monkeypatch.setattr(uploads, "MAX_ROWS", 4)
    rows = ["1,2", "3,4", "5,6", "7,8"]
    for text in ("\n".join(rows), "\n".join(["x,y", *rows]), "\n".join(rows) + "\n"):
        assert read_csv(text.encode()).shape == (4, 2)
    for text in ("\n".join([*rows, "9,10"]), "\n".join(["x,y", *rows, "9,10"])):
        with pytest.raises(DataError, match="more than 4 rows"):
            read_csv(text.encode())
    monkeypatch.setattr(uploads, "MAX_BYTES", 8)
    np.testing.assert_array_equal(read_csv(b"1,2\n33,4"), [[1, 2], [33, 4]])
    with pytest.raises(DataError, match="larger than"):
        read_csv(b"1,2\n33,44")


# --- pictures ---

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (12, 20), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (12, 20)).astype(np.uint16)
ALPHA = RNG.integers(0, 256, (12, 20), dtype=np.uint8)


def saved(picture, kind="PNG", **options):
    out = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(out, kind, **options)
    return out.getvalue()


def picture_sentence(raw, *args):
    with pytest.raises(DataError) as caught:
        read_image(raw, *args)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("array", [RGB, GREY], ids=["colour", "grey"])
def test_lossless_pictures_come_in_exactly(array):
    """PNG of both kinds; lossless WebP, which knows no grey."""
    read = read_image(saved(array))
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(read_image(saved(RGB, "WEBP", lossless=True)), RGB)


def test_jpeg_keeps_kind_and_colours():
    """A smooth ramp within 4 grey levels of itself; grey stays [H, W]."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)
    colour = np.stack([ramp, 255 - ramp, ramp // 2], -1)
    for array in (ramp, colour):
        read = read_image(saved(array, "JPEG", quality=95))
        assert read.shape == array.shape and np.abs(read.astype(int) - array).max() <= 4


def test_cmyk_jpeg_becomes_rgb():
    """Full ink is black, none is white, cyan ink takes away red."""
    ink = np.zeros((16, 48, 4), np.uint8)
    ink[:, :16, 3], ink[:, 32:, 0] = 255, 255
    read = read_image(saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=100)).astype(int)
    for columns, wanted in ((slice(2, 14), (0, 0, 0)), (slice(18, 30), (255, 255, 255)), (slice(34, 46), (0, 255, 255))):
        assert np.abs(read[:, columns] - wanted).max() <= 4


def test_16_bits_are_scaled_not_clipped():
    """round(v·255/65535) for grey; within one level for colour, of which PIL keeps the upper byte."""
    np.testing.assert_array_equal(read_image(saved(DEEP)), np.rint(DEEP * (255 / 65535)))
    np.testing.assert_array_equal(read_image(saved(DEEP, transparency=int(DEEP[3, 4])))[DEEP[3, 4] == DEEP], 255)
    deep_rgb = RNG.integers(0, 65536, (9, 10, 3)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in deep_rgb)
    read = read_image(png(10, 9, body, bits=16, colour=2))
    assert np.abs(read - deep_rgb * (255 / 65535)).max() < 1


def png(width, height, body, bits=8, colour=0):
    """A PNG file written by hand."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def test_few_bits_and_palettes():
    """1 bit is black and white, 4 bits are spread over 0..255; a palette's colours are looked up."""
    bits = RNG.integers(0, 2, (12, 20)).astype(bool)
    np.testing.assert_array_equal(read_image(saved(bits)), bits * 255)
    rows = b"".join(b"\0" + bytes(range(0x01, 0x100, 0x22)) for _ in range(9))
    np.testing.assert_array_equal(read_image(png(16, 9, rows, bits=4)), np.tile(np.arange(16) * 17, (9, 1)))
    indexed = Image.fromarray(GREY % 3, "P")
    indexed.putpalette([255, 0, 0, 0, 200, 0, 0, 0, 9])
    colours = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 9]])
    np.testing.assert_array_equal(read_image(saved(indexed)), colours[GREY % 3])


def test_transparency_shows_white():
    """v·a + 255·(1 − a) to one level, for RGBA and grey with alpha, PNG and WebP; one colour or palette entry made clear."""
    a = ALPHA[..., None] / 255
    wanted = RGB * a + 255 * (1 - a)
    rgba = np.concatenate([RGB, ALPHA[..., None]], -1)
    for raw in (saved(rgba), saved(rgba, "WEBP", lossless=True, exact=True)):
        assert np.abs(read_image(raw) - wanted).max() <= 1
    read = read_image(saved(np.stack([GREY, ALPHA], -1)))
    assert read.shape == (12, 20) and np.abs(read - (GREY * a[..., 0] + 255 * (1 - a[..., 0]))).max() <= 1
    few = GREY % 3
    np.testing.assert_array_equal(read_image(saved(few, transparency=1)), np.where(few == 1, 255, few))
    np.testing.assert_array_equal(
        read_image(saved(RGB, transparency=tuple(RGB[2, 3].tolist()))), np.where((RGB[2, 3] == RGB).all(-1, keepdims=True), 255, RGB)
    )
    indexed = Image.fromarray(few, "P")
    indexed.putpalette([255, 0, 0, 0, 200, 0, 0, 0, 9])
    colours = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 9]])
    np.testing.assert_array_equal(read_image(saved(indexed, transparency=1)), colours[few])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_the_first_frame_of_several(kind):
    frames = [Image.fromarray(np.full((12, 20, 3), level, np.uint8)) for level in (40, 90, 200)]
    raw = saved(frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "GIF":
        assert "PNG, JPEG or WebP" in picture_sentence(raw)
    else:
        assert np.unique(read_image(raw)).tolist() == [40]


@pytest.mark.parametrize(
    "orientation, upright",
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
        (99, lambda a: a),
    ],
)
def test_exif_turns_pictures_upright(orientation, upright):
    """The eight orientations of the EXIF standard, for colour and for 16-bit grey; an unknown one changes nothing."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(saved(RGB, exif=exif)), upright(RGB))
    np.testing.assert_array_equal(read_image(saved(DEEP, exif=exif)), upright(np.rint(DEEP * (255 / 65535))))


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"", "not a picture"),
        (b"x,y\n1,2\n", "not a picture"),
        (saved(RGB, "BMP"), "PNG, JPEG or WebP"),
        (saved(RGB, "TIFF"), "PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (saved(RGB)[:20], "incomplete"),
        (saved(RGB)[:-60], "incomplete"),
        (saved(RGB, "JPEG")[:-200], "incomplete"),
        (saved(RGB, "JPEG")[:300], "incomplete"),
        (saved(RGB, "WEBP")[:-40], "incomplete"),
        (saved(RGB).replace(b"IDAT", b"IDOT"), "not a picture"),
        (png(20, 12, b""), "incomplete"),
        (saved(np.zeros((1, 1), np.uint8)), "1 × 1 pixels; each side needs at least 8"),
        (saved(np.zeros((1, 20_000), np.uint8)), "20,000 × 1 pixels; each side needs at least 8"),
        (saved(np.zeros((7, 8), np.uint8)), "8 × 7 pixels"),
    ],
)
def test_what_is_no_picture_is_refused(raw, words):
    assert words in picture_sentence(raw)


def test_the_smallest_picture_passes():
    assert read_image(saved(np.zeros((8, 8), np.uint8))).shape == (8, 8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "side, words", [(4001, "4,001 × 4,001"), (9_000, "9,000 × 9,000"), (12_000, "12,000 × 12,000"), (40_000, "megapixels")]
)
def test_bombs_are_refused_before_they_are_decoded(side, words, monkeypatch):
    """A few kilobytes that announce many pixels: PIL's decoder is never started."""
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    row = zlib.compressobj(9)
    body = b"".join([*(row.compress(bytes(side // 8 + 1)) for _ in range(200)), row.flush()])
    raw = png(side, side, b"", bits=1).replace(zlib.compress(b"", 9), body)
    assert len(raw) < 20_000 and words in picture_sentence(raw)


def test_many_pixels_within_the_limit(monkeypatch):
    """Exactly MAX_PIXELS pass, one row more does not; the same for bytes."""
    monkeypatch.setattr(uploads, "MAX_PIXELS", 240)
    raw = saved(GREY)
    assert read_image(raw).shape == (12, 20)
    assert "13 pixels" in picture_sentence(saved(np.zeros((13, 20), np.uint8)))
    monkeypatch.setattr(uploads, "MAX_IMAGE_BYTES", len(raw))
    assert read_image(raw).shape == (12, 20)
    assert "larger than" in picture_sentence(raw + b"x")


@pytest.mark.parametrize(
    "shape, max_side, wanted", [((60, 100), 50, (30, 50)), ((100, 60), 50, (50, 30)), ((40, 40), 50, (40, 40)), ((50, 50), 50, (50, 50))]
)
def test_large_pictures_are_made_smaller(shape, max_side, wanted):
    """Proportions and mean are kept; smaller ones are left alone."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ramp = (y + x).astype(np.uint8)
    for array in (ramp, np.stack([ramp, ramp // 2, 200 - ramp], -1)):
        read = read_image(saved(array), max_side)
        assert read.shape[:2] == wanted and read.ndim == array.ndim
        np.testing.assert_allclose(read.mean((0, 1)), array.mean((0, 1)), atol=1)
    assert "less extreme" in picture_sentence(saved(np.zeros((10, 100), np.uint8)), 50)


def test_a_cameras_jpeg_may_be_larger(monkeypatch):
    """20 megapixels, lying on its side: decoded at a fraction, turned upright; refused where its full size is wanted."""
    ramp = np.linspace(20, 220, 5000).astype(np.uint8)[None].repeat(4000, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the right edge is the bottom
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "JPEG", quality=90, exif=exif)
    read = read_image(out.getvalue(), 512)
    assert read.shape == (512, 410)
    np.testing.assert_allclose(read[:, 200], np.linspace(20, 220, 512), atol=2)
    assert "5,000 × 4,000" in picture_sentence(out.getvalue())
    monkeypatch.setattr(uploads, "MAX_CAMERA_PIXELS", 19_000_000)
    assert "5,000 × 4,000" in picture_sentence(out.getvalue(), 512)


def test_a_16_bit_picture_is_made_smaller_after_it_is_scaled():
    flat = np.full((40, 80), 257 * 100, np.uint16)
    assert np.unique(read_image(saved(flat), 40)).tolist() == [100]


def test_reading_leaves_no_trace():
    """PIL's limit is the whole process's: it stays as it was."""
    before = Image.MAX_IMAGE_PIXELS
    read_image(saved(RGB))
    picture_sentence(b"nothing")
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.skipif(not (SHARED / "photos").is_dir(), reason="the sample photographs are not on this machine")
@pytest.mark.parametrize("name, shape", [("astronaut.png", (512, 512, 3)), ("camera.png", (512, 512)), ("rocket.jpg", (427, 640, 3))])
def test_real_photographs(name, shape):
    raw = (SHARED / "photos" / name).read_bytes()
    read = read_image(raw)
    assert read.shape == shape
    np.testing.assert_array_equal(read, np.asarray(Image.open(io.BytesIO(raw))))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts resident memory by /proc")
def test_memory_of_the_largest_picture():
    """16 million pixels with alpha, the dearest kind: a fresh process stays below 600 MB more than it had."""
    import subprocess

    code = """
import io, resource, sys, numpy as np
from PIL import Image
from dpm_core.data.uploads import read_image
out = io.BytesIO()
Image.new("RGBA", (4000, 4000), (10, 20, 30, 128)).save(out, "PNG", compress_level=1)
def peak():
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20
    # of this program alone: ru_maxrss would begin with the peak of the one that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10
before = peak()
assert read_image(out.getvalue()).shape == (4000, 4000, 3)
print(peak() - before)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert int(done.stdout) < 600
