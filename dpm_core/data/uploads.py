"""Reading what a person brings: two columns of numbers."""

from __future__ import annotations

from io import StringIO

import numpy as np

from dpm_core.data.toy2d import DataError

MAX_BYTES = 10 << 20
MAX_ROWS = 500_000


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


def _numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell.strip()  # a missing number, not a name
    return True
