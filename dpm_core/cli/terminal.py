"""Output of the command line: a progress bar, and errors in one line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

T_co = TypeVar("T_co")


def progress(items: Iterable[T_co], total: int | None, label: str) -> Iterator[T_co]:
    """The ``items`` themselves; after one second a progress bar on standard error, or a count when the total is not known."""
    started = shown = time.monotonic()
    drawn = False
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if now - started > 1 and (now - shown > 0.2 or done == total):
            if total:
                left = (now - started) / done * (total - done)
                text = f"{'█' * (30 * done // total):<30} {done}/{total}  {left:4.0f} s left"
            else:
                text = f"step {done}  {now - started:4.0f} s"
            print(f"\r{label} {text}", end="", file=sys.stderr, flush=True)
            shown, drawn = now, True
        yield item
    if drawn:
        print(file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong argument in one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line on standard error."""
        self.exit(2, f"error: {message} ({self.prog} --help shows examples)\n")
