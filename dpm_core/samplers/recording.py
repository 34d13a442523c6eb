"""A trajectory reduced to a few frames, for a player or a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dpm_core.figures.rasters import frame_numbers
from dpm_core.process import Step


class Recording(NamedTuple):
    """``times`` int ``[F]`` and ``x`` float32 ``[F, n, ...]`` of the recorded frames."""

    times: np.ndarray
    x: np.ndarray


def record(steps: Iterable[Step], total: int, frames: int = 101, particles: int | None = None) -> Recording:
    """Record evenly spaced frames of ``total`` steps, with the first ``particles`` of each, as the steps are generated.

    Memory is that of the recorded frames: T = 1,000 steps of 20,000 particles never exist at the same time.
    """
    wanted = set(frame_numbers(total, frames).tolist())
    times: list[int] = []
    x_recorded = np.empty(0, np.float32)
    for i, (t, x) in enumerate(steps):
        if i in wanted:
            if not times:
                x_recorded = np.empty((len(wanted), *x[:particles].shape), np.float32)
            x_recorded[len(times)] = x[:particles].cpu().numpy()
            times.append(t)
    return Recording(np.array(times), x_recorded[: len(times)])
