"""Reading the user's own files: two columns of numbers, rows of bits, or a picture."""

from __future__ import annotations

from io import BytesIO, StringIO

import numpy as np
from PIL import Image, ImageOps

from dpm_core.data.errors import DataError

TABLES = (".csv", ".tsv", ".txt")  # endings of files of points or bits
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

MAX_BYTES = 10 << 20
MAX_ROWS = 500_000

MAX_PATTERNS, MAX_BITS = 4096, 256
_SEPARATORS = str.maketrans(",;\t", "   ")

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_IMAGE_BYTES = 50 << 20
MAX_PIXELS = 16_000_000  # decoded
MAX_CAMERA_PIXELS = 64_000_000  # of a JPEG, which can be decoded at a half to an eighth of its side
MIN_SIDE = 8  # pixels, of the smallest picture that any model takes


def read_csv(raw: bytes) -> np.ndarray:
    """Two numeric columns, float64 ``[N, 2]``, from comma, semicolon, tab or space separated text.

    One line of column names is allowed. Raises DataError.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"The file is larger than {MAX_BYTES >> 20} MB; reduce it to at most {MAX_ROWS:,} rows.")
    try:
        text = "\n".join(raw.decode("utf-8-sig").strip().splitlines())
    except UnicodeDecodeError:
        raise DataError("The file is not a text file; save it as CSV with two numeric columns (x and y).") from None
    if not text:
        raise DataError("The file is empty; two numeric columns are needed (x and y).")
    first, *rest = text.split("\n", 1)
    delimiter = next((d for d in (";", "\t", ",") if d in first), None)
    if not any(_numeric(cell) for cell in first.split(delimiter)):
        text = rest[0] if rest else ""
    if not text.strip():
        raise DataError("The file has column names but no rows; two numeric columns are needed (x and y).")
    if text.count("\n") >= MAX_ROWS:
        raise DataError(f"The file has more than {MAX_ROWS:,} rows; reduce it to a random sample of them.")
    try:
        values = np.loadtxt(StringIO(text), delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:
        raise DataError("The file has text among the numbers or rows of different lengths; give two numeric columns (x and y).") from None
    if values.size == 0 or values.shape[1] != 2:
        count = values.shape[1] if values.size else 0
        raise DataError(f"The file has {count} numeric column{'' if count == 1 else 's'}; two numeric columns are needed (x and y).")
    if not np.isfinite(values).all():
        raise DataError("Some values are missing or not finite; remove those rows.")
    return values


def looks_like_bits(raw: bytes) -> bool:
    """Whether a table holds bits rather than points: its first row consists of digits and does not have two columns."""
    first = raw[:4096].decode("utf-8-sig", "replace").strip().split("\n", 1)[0].strip()
    cells = first.translate(_SEPARATORS).split()
    return len(cells) not in (0, 2) and all(
        set(cell) <= set("01") if len(cells) == 1 else len(cell) == 1 and cell.isdigit() for cell in cells
    )


def read_bits(raw: bytes) -> np.ndarray:
    """Rows of 0 and 1, uint8 ``[N, L]``: digits one after the other, or separated by commas, semicolons, tabs or spaces.

    Raises DataError.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"The file is larger than {MAX_BYTES >> 20} MB; reduce it to at most {MAX_PATTERNS:,} rows of 0 and 1.")
    try:
        lines = [line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError("The file is not a text file; save the rows of 0 and 1 as CSV.") from None
    if not lines:
        raise DataError("There are no patterns; give at least one row of 0 and 1.")
    if len(lines) > MAX_PATTERNS:
        raise DataError(f"The file has {len(lines):,} rows; reduce it to at most {MAX_PATTERNS:,}.")
    rows = [line.translate(_SEPARATORS).split() if not line.isdigit() else list(line) for line in lines]
    for i, row in enumerate(rows, 1):
        if wrong := next((cell for cell in row if cell not in ("0", "1")), None):
            raise DataError(f"Row {i} holds {wrong[:20]!r}; every value must be 0 or 1.")
        if len(row) != len(rows[0]):
            raise DataError(f"Row {i} has {len(row)} values and the first row {len(rows[0])}; all rows must be equally long.")
    if not 2 <= len(rows[0]) <= MAX_BITS:
        raise DataError(f"The patterns have {len(rows[0])} bits; 2 to {MAX_BITS} bits are possible.")
    return np.array(rows, dtype=np.uint8)


def _numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell.strip()  # a missing number, not a name
    return True


def read_image(raw: bytes, max_side: int | None = None) -> np.ndarray:
    """A PNG, JPEG or WebP picture as viewers show it: uint8, grey ``[H, W]`` or RGB ``[H, W, 3]``.

    It is rotated as its EXIF says, transparent parts become white, 16 bits are rounded to 8, and of several frames the first is
    taken. Where its longer side exceeds ``max_side`` it is scaled down, and a JPEG may then have more pixels than other pictures.
    The size is checked before the picture is decoded. Raises DataError.
    """
    if len(raw) > MAX_IMAGE_BYTES:
        raise DataError(f"The file is larger than {MAX_IMAGE_BYTES >> 20} MB; save the picture with fewer pixels.")
    try:
        with Image.open(BytesIO(raw), formats=FORMATS) as image:
            if max_side is not None and image.format == "JPEG" and image.width * image.height <= MAX_CAMERA_PIXELS:
                image.draft(image.mode, (max_side, max_side))  # never below that, and only by powers of two
            _check_size(*image.size)
            upright = ImageOps.exif_transpose(image)
            picture = _grey_or_rgb(upright)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"The picture has more than {MAX_PIXELS // 10**6} megapixels; save it with fewer pixels.") from None
    except Image.UnidentifiedImageError:
        raise DataError("The file is not a picture that can be read; save it as PNG, JPEG or WebP.") from None
    except Exception:  # PIL's decoders raise nearly anything on a damaged file
        raise DataError("The picture is damaged or incomplete; save it again as PNG or JPEG.") from None
    if max_side is not None and max(picture.size) > max_side:
        ratio = max_side / max(picture.size)
        width, height = (max(1, round(side * ratio)) for side in picture.size)
        if min(width, height) < MIN_SIDE:
            raise DataError(f"Scaled to {max_side} pixels the picture would have {width} × {height}; crop it to less extreme proportions.")
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.array(picture)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"The picture has {width:,} × {height:,} pixels; save it with at most {MAX_PIXELS // 10**6} million.")
    if min(width, height) < MIN_SIDE:
        raise DataError(f"The picture has {width:,} × {height:,} pixels; each side needs at least {MIN_SIDE}.")


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    """The picture in mode "L" or "RGB": grey stays grey, transparent parts become white."""
    if image.mode.startswith("I"):  # 16 bits; convert("L") would clip at 255
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
