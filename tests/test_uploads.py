"""Reading a person's own columns: exact values in, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from dpm_core.data import uploads
from dpm_core.data.toy2d import DataError
from dpm_core.data.uploads import read_csv

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
        (b"x,y\n", "Two numeric columns"),
        (b"x,y", "Two numeric columns"),
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
