"""The paper's heartbeat (App. D.1.2), and one whose beats come early or late."""

from __future__ import annotations

import itertools
import math

import numpy as np

from dpm_core.data.toy2d import DataError

MAX_LENGTH = 64
MOST = 1 << 16  # rhythms that are listed


def patterns(length: int = 20, period: int = 5, jitter: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rhythms as bits, uint8 ``[N, length]``, and their probabilities ``[N]``; the same one may come more than once.

    A 1 in every ``period``-th place, any phase alike. With ``jitter`` j every beat comes up to j places early or late, each
    alike; one that is moved over an end is not seen. Raises DataError for a rhythm that cannot be, or of too many patterns.
    """
    if not (2 <= length <= MAX_LENGTH and 2 <= period <= length):
        raise DataError(f"A heartbeat has 2 to {MAX_LENGTH} places and a period from 2 to its length.")
    if not 0 <= 2 * jitter < period:
        raise DataError("Beats may come early or late by less than half a period, so that none overtakes another.")
    shifts = range(-jitter, jitter + 1)
    if period * len(shifts) ** math.ceil((length + 2 * jitter) / period) > MOST:
        raise DataError(f"So many beats with so much jitter make over {MOST:,} rhythms; choose less of either.")
    rows, weights = [], []
    for phase in range(period):
        places = range(phase - period if phase - period >= -jitter else phase, length + jitter, period)
        for moved in itertools.product(shifts, repeat=len(places)):
            row = np.zeros(length, np.uint8)
            row[[p + m for p, m in zip(places, moved) if 0 <= p + m < length]] = 1
            rows.append(row)
            weights.append(1 / period / len(shifts) ** len(places))
    return np.stack(rows), np.array(weights)
