"""What every benchmark prints: a small Markdown table, then where and when it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head as Markdown, first column left, the others right."""
    cells = [list(head), *[list(row) for row in rows]]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *others = (row[i].ljust(w) if i == 0 else row[i].rjust(w) for i, w in enumerate(widths))
        return "| " + " | ".join([first, *others]) + " |"

    print(line(cells[0]))
    print("|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")
    for row in cells[1:]:
        print(line(row))
    print(flush=True)


def footer(gpu: str = "") -> str:
    """Print and return the line that a number needs to be compared: command, machine with its ``gpu`` if one is used, versions, date."""
    name = Path(sys.argv[0]).stem
    command = " ".join([f"python -m benchmarks.{name}", *sys.argv[1:]])
    machine = ", ".join(filter(None, [gpu, _cpu(), f"{os.cpu_count()} cores"]))
    line = f"`{command}` · {machine} · Python {platform.python_version()}, torch {_version('torch')} · {datetime.date.today()}"
    print(line)
    return line


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation of at least two values."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def verdict(value: float, target: float, digits: int, at_most: bool = True) -> str:
    """The target and whether the value meets it, for a table's last column."""
    met = value <= target if at_most else value >= target
    return f"{'≤' if at_most else '≥'} {target:.{digits}f} {'met' if met else 'missed'}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
