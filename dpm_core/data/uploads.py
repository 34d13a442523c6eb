"""Reading what a person brings: two columns of numbers, rows of bits, or a picture."""

from __future__ import annotations

from io import BytesIO, StringIO

import numpy as np
from PIL import Image, ImageOps

from dpm_core.data.toy2d import DataError

MAX_BYTES = 10 << 20
MAX_ROWS = 500_000

MAX_PATTERNS, MAX_BITS = 4096, 256
_SEPARATORS = str.maketrans(",;\t", "   ")

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_IMAGE_BYTES = 50 << 20
MAX_PIXELS = 16_000_000  # decoded
MAX_CAMERA_PIXELS = 64_000_000  # of a JPEG, which can be decoded at a half to an eighth of its size
MIN_SIDE = 8  # pixels, the smallest picture that any model takes


def read_csv(raw: bytes) -> np.ndarray:
    """Two numeric columns, float64 ``[N, 2]``, from comma, semicolon, tab or space separated text.

    One line of column names is allowed. Raises DataError, in one sentence that says what to do.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"This file is larger than {MAX_BYTES >> 20} MB; keep at most {MAX_ROWS:,} rows.")
    try:
        text = "\n".join(raw.decode("utf-8-sig").strip().splitlines())
    except UnicodeDecodeError:
        raise DataError("This is not a text file; save it as CSV with two numeric columns.") from None
    if not text:
        raise DataError("This file is empty; two numeric columns are needed.")
    first, *rest = text.split("\n", 1)
    delimiter = next((d for d in (";", "\t", ",") if d in first), None)
    if not any(_numeric(cell) for cell in first.split(delimiter)):
        text = rest[0] if rest else ""
    if not text.strip():
        raise DataError("Two numeric columns are needed; this file holds only their names.")
    if text.count("\n") >= MAX_ROWS:
        raise DataError(f"This file has more than {MAX_ROWS:,} rows; keep a sample of them.")
    try:
        values = np.loadtxt(StringIO(text), delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:
        raise DataError("This file holds text or rows of different lengths; keep two numeric columns.") from None
    if values.size == 0 or values.shape[1] != 2:
        count = values.shape[1] if values.size else 0
        raise DataError(f"Two numeric columns are needed; this file has {count}.")
    if not np.isfinite(values).all():
        raise DataError("Some values are missing or not finite; remove those rows.")
    return values


def looks_like_bits(raw: bytes) -> bool:
    """Whether a table's first row is one of digits that are not two numbers: bits, not points."""
    first = raw[:4096].decode("utf-8-sig", "replace").strip().split("\n", 1)[0].strip()
    cells = first.translate(_SEPARATORS).split()
    return len(cells) not in (0, 2) and all(
        set(cell) <= set("01") if len(cells) == 1 else len(cell) == 1 and cell.isdigit() for cell in cells
    )


def read_bits(raw: bytes) -> np.ndarray:
    """Rows of 0 and 1, uint8 ``[N, L]``: digits one after the other, or separated by commas, semicolons, tabs or spaces.

    Raises DataError, in one sentence that says what to do.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"This file is larger than {MAX_BYTES >> 20} MB; keep at most {MAX_PATTERNS:,} rows of 0 and 1.")
    try:
        lines = [line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError("This is not a text file; save the rows of 0 and 1 as CSV.") from None
    if not lines:
        raise DataError("There are no patterns; give at least one row of 0 and 1.")
    if len(lines) > MAX_PATTERNS:
        raise DataError(f"These are {len(lines):,} rows; keep at most {MAX_PATTERNS:,}.")
    rows = [line.translate(_SEPARATORS).split() if not line.isdigit() else list(line) for line in lines]
    for i, row in enumerate(rows, 1):
        if wrong := next((cell for cell in row if cell not in ("0", "1")), None):
            raise DataError(f"Row {i} holds {wrong[:20]!r}; every value must be 0 or 1.")
        if len(row) != len(rows[0]):
            raise DataError(f"Row {i} has {len(row)} values and the first row {len(rows[0])}; all rows must be equally long.")
    if not 2 <= len(rows[0]) <= MAX_BITS:
        raise DataError(f"A pattern has 2 to {MAX_BITS} bits; these have {len(rows[0])}.")
    return np.array(rows, dtype=np.uint8)


def _numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell.strip()  # a missing number, not a name
    return True


def read_image(raw: bytes, max_side: int | None = None) -> np.ndarray:
    """A PNG, JPEG or WebP picture as it is meant to be seen: uint8, grey ``[H, W]`` or RGB ``[H, W, 3]``.

    Turned upright as its EXIF says, transparency laid on white, 16 bits rounded to 8, the first frame of
    several; made smaller, keeping its proportions, where its longer side exceeds ``max_side``, so that a
    camera's JPEG may be larger than other pictures. Its size is checked before it is decoded. Raises DataError,
    in one sentence that says what to do.
    """
    if len(raw) > MAX_IMAGE_BYTES:
        raise DataError(f"This file is larger than {MAX_IMAGE_BYTES >> 20} MB; save the picture smaller.")
    try:
        with Image.open(BytesIO(raw), formats=FORMATS) as image:
            if max_side is not None and image.format == "JPEG" and image.width * image.height <= MAX_CAMERA_PIXELS:
                image.draft(image.mode, (max_side, max_side))  # never below that, and only by powers of two
            _check_size(*image.size)
            upright = ImageOps.exif_transpose(image)
            seen = _as_seen(upright)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"This picture has more than {MAX_PIXELS // 10**6} megapixels; save it smaller.") from None
    except Image.UnidentifiedImageError:
        raise DataError("This is not a picture that can be read; save it as PNG, JPEG or WebP.") from None
    except Exception:  # PIL's decoders raise nearly anything on a damaged file
        raise DataError("This picture is damaged or incomplete; save it anew as PNG or JPEG.") from None
    if max_side is not None and max(seen.size) > max_side:
        ratio = max_side / max(seen.size)
        width, height = (max(1, round(side * ratio)) for side in seen.size)
        if min(width, height) < MIN_SIDE:
            raise DataError(f"At {max_side} pixels this picture is only {width} × {height}; cut it to less extreme proportions.")
        seen = seen.resize((width, height), Image.Resampling.LANCZOS)
    return np.array(seen)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"This picture has {width:,} × {height:,} pixels; save it with at most {MAX_PIXELS // 10**6} million.")
    if min(width, height) < MIN_SIDE:
        raise DataError(f"This picture has {width:,} × {height:,} pixels; each side needs at least {MIN_SIDE}.")


def _as_seen(image: Image.Image) -> Image.Image:
    """Mode "L" or "RGB": grey stays grey, transparency shows white."""
    if image.mode.startswith("I"):  # 16 bits; convert("L") would cut off at 255
        values = np.asarray(image).astype(np.uint32)
        grey8 = ((values * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            grey8[values == clear] = 255
        return Image.fromarray(grey8)
    grey = image.mode in ("1", "L", "LA", "La")
    if "A" not in image.mode.upper() and "transparency" not in image.info:
        return image.convert("L" if grey else "RGB")
    with_alpha = image.convert("LA" if grey else "RGBA")
    white = Image.new("L" if grey else "RGB", image.size, "white")
    white.paste(with_alpha.convert(white.mode), mask=with_alpha.getchannel("A"))
    return white
