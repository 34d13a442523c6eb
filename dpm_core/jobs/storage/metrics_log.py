"""The metrics log of a run, ``metrics.jsonl``: one JSON object per row."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from dpm_core.files import replace_file


class MetricsLog:
    """All rows in memory, appended to the file by ``flush``. Safe to use from several threads."""

    def __init__(self, path: Path, last_step: int | None = None):
        """Read the rows on disk up to ``last_step`` (none by default) and drop later or incomplete ones. Raises OSError."""
        self._path, self._lock = path, threading.Lock()
        self._rows: list[dict[str, Any]] = []
        if last_step is not None and path.exists():
            rows = map(_parse_row, path.read_text(errors="replace").splitlines())
            self._rows = [row for row in rows if row and row["step"] <= last_step]
        text = _to_lines(self._rows)
        if not path.exists() or path.read_bytes() != text:
            replace_file(path, text)
        self._written, self._size = len(self._rows), len(text)

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """Return copies of the rows from number ``since`` on."""
        with self._lock:
            return [dict(row) for row in self._rows[since:]]

    def add(self, row: dict[str, Any]) -> None:
        """Add a row in memory; ``flush`` writes it."""
        with self._lock:
            self._rows.append(row)

    def flush(self) -> None:
        """Append all rows that are not on disk yet. After an OSError the next call writes them; no row is written twice."""
        with self._lock:
            rows = self._rows[self._written :]
            if not rows:
                return
            text = _to_lines(rows)
            with open(self._path, "r+b") as file:
                file.truncate(self._size)  # an earlier call may have written part of a row before the disk was full
                file.seek(self._size)
                file.write(text)
            self._written, self._size = self._written + len(rows), self._size + len(text)


def _to_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parse_row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
