"""A whole trajectory kept as a few frames: what a player shows and what a file holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dpm_core.figures.rasters import frame_numbers
from dpm_core.process import Step


class Recording(NamedTuple):
    """``times`` int ``[F]`` and ``x`` float32 ``[F, n, ...]`` of the frames kept."""

    times: np.ndarray
    x: np.ndarray


def record(steps: Iterable[Step], total: int, frames: int = 101, particles: int | None = None) -> Recording:
    """Keep evenly spread frames, and the first ``particles`` of each, from ``total`` steps as they stream by.

    Memory is that of the frames kept: T = 1,000 steps of 20,000 particles never exist at once.
    """
    wanted = set(frame_numbers(total, frames).tolist())
    times: list[int] = []
    kept = np.empty(0, np.float32)
    for i, (t, x) in enumerate(steps):
        if i in wanted:
            if not times:
                kept = np.empty((len(wanted), *x[:particles].shape), np.float32)
            kept[len(times)] = x[:particles].cpu().numpy()
            times.append(t)
    return Recording(np.array(times), kept[: len(times)])
