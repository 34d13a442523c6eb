"""What the command line shows: a progress bar, and errors in one line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

T_co = TypeVar("T_co")


def progress(items: Iterable[T_co], total: int | None, label: str) -> Iterator[T_co]:
    """Pass items on; draw a bar on standard error once a second has gone by, or a count when the total is not known."""
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
    """Says what is wrong in one line, without the usage that would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} ({self.prog} --help shows examples)\n")
