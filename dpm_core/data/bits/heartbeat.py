"""The heartbeat of the paper (App. D.1.2), and a variant whose beats are early or late by random amounts."""

from __future__ import annotations

import itertools
import math

import numpy as np

from dpm_core.data.bits.registry import Listed, bit_set
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress

MAX_LENGTH = 64
MAX_RHYTHMS = 1 << 16  # that are enumerated, counting repetitions


def patterns(length: int = 20, period: int = 5, jitter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rhythms as bits, uint8 ``[N, length]``, and their probabilities ``[N]``; a rhythm may occur more than once.

    There is a 1 in every ``period``-th place, with a uniform phase. With ``jitter`` j every beat is moved by −j..j places,
    uniformly and independently; a beat that is moved beyond an end is dropped. Raises DataError for numbers out of range and
    for more than MAX_RHYTHMS rhythms.
    """
    if not (2 <= length <= MAX_LENGTH and 2 <= period <= length):
        raise DataError(
            f"The length is {length} and the period {period}; choose a length of 2 to {MAX_LENGTH} and a period from 2 to the length."
        )
    if not 0 <= 2 * jitter < period:
        raise DataError(f"The jitter is {jitter}; choose less than half a period of {period}, so that no beat overtakes another.")
    shifts = range(-jitter, jitter + 1)
    if period * len(shifts) ** math.ceil((length + 2 * jitter) / period) > MAX_RHYTHMS:
        raise DataError(f"These beats with this jitter make more than {MAX_RHYTHMS:,} rhythms; choose less of either.")
    rows, weights = [], []
    for phase in range(period):
        places = range(phase - period if phase - period >= -jitter else phase, length + jitter, period)
        for moved in itertools.product(shifts, repeat=len(places)):
            row = np.zeros(length, np.uint8)
            row[[p + m for p, m in zip(places, moved) if 0 <= p + m < length]] = 1
            rows.append(row)
            weights.append(1 / period / len(shifts) ** len(places))
    return np.stack(rows), np.array(weights)


@bit_set(
    "heartbeat",
    "Heartbeat",
    "A 1 in every fifth of 20 places, any phase (App. D.1.2).",
    (("length", 20), ("period", 5), ("jitter", 0)),
    shape=lambda length, **_: (length,),
)
def heartbeat(progress: Progress | None, length: int, period: int, jitter: int) -> Listed:
    """The rhythms of :func:`patterns` as a data set. Raises DataError."""
    return Listed(*patterns(length, period, jitter))
