"""Patterns of the user's own."""

from __future__ import annotations

import numpy as np

from dpm_core.data.bits.registry import Listed, bit_set
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress


@bit_set("patterns", "Your own patterns", "Rows of 0 and 1.", shape=lambda: None, takes_patterns=True)
def own_patterns(progress: Progress | None, patterns: np.ndarray | None) -> Listed:
    """The user's patterns ``[N, ...]``, equally likely. Raises DataError without patterns."""
    if patterns is None:
        raise DataError("There are no patterns; upload or paint some rows of 0 and 1 first.")
    return Listed(patterns)
