"""Dead leaves: discs that fall on one another until nothing of the ground is seen.

The model of Matheron and Jeulin (1997) as Lee, Mumford & Huang (2001, "Occlusion models for natural
images", section 3) make it scale invariant: discs of uniform position and grey level whose radii have
the density p(r) ∝ r⁻³ between two cut-offs. The paper compares with the MCGSM of Theis, Hosseini &
Bethge (2012) on images of this kind (its table 2).

Made from the front to the back: a new leaf shows only where nothing lies yet, and the picture is done,
and exact, when no ground is left, which painting from the back only approaches (Kendall & Thönnes 1999).
A pixel has the level of the frontmost disc that covers its centre; edges are not smoothed.
"""

from __future__ import annotations

import math

import numpy as np

from dpm_core.data.toy2d import DataError

MAX_RADIUS = 512  # pixels
TRAINING, HELD_OUT = 24, 6  # canvases of 256 × 256 pixels, or as much area in larger ones


def radii(n: int, r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """n draws of p(r) = 2 r⁻³/(r_min⁻² − r_max⁻²) on [r_min, r_max], by inverting P(R > r); float64."""
    u = rng.random(n)
    return (r_min**-2 - u * (r_min**-2 - r_max**-2)) ** -0.5


def canvas(side: int, r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """One picture of the model, uint8 ``[side, side]``, grey levels uniform on 0..255.

    Centres are uniform over the square widened by r_max on all sides, which all discs that can touch it
    have, so that its statistics are the same everywhere up to the border.
    """
    # after n leaves a pixel is bare with probability exp(−n·E[πr²]/area): a few rounds leave none of side² bare
    area = 2 * math.pi * math.log(r_max / r_min) / (r_min**-2 - r_max**-2)  # E[πr²]
    round_ = min(1 << 14, math.ceil((side + 2 * r_max) ** 2 / area * math.log(side)))
    owner = np.full(side * side, np.iinfo(np.int64).max)  # the frontmost leaf over each pixel so far
    levels = np.empty(0, np.uint8)
    while owner.max() >= len(levels):
        centre = rng.uniform(-r_max, side + r_max, (round_, 2))
        radius = radii(round_, r_min, r_max, rng)
        _cover(owner, side, centre, radius, first=len(levels))
        levels = np.concatenate([levels, rng.integers(0, 256, round_, dtype=np.uint8)])
    return levels[owner].reshape(side, side)


def _cover(owner: np.ndarray, side: int, centre: np.ndarray, radius: np.ndarray, first: int) -> None:
    """Give to each pixel the lowest number among the leaves over its centre; numbers count from ``first``."""
    reach = np.exp2(np.ceil(np.log2(radius))).astype(int)  # leaves of like size together, each on a square that holds it
    for r in np.unique(reach):
        rows = np.flatnonzero((reach == r) & ((centre > -radius[:, None]) & (centre < side + radius[:, None])).all(1))
        for some in np.array_split(rows, min(len(rows), math.ceil(len(rows) * (2 * r + 1) ** 2 / (1 << 21))) or 1):
            offset = np.arange(-r, r + 1)
            y, x = (np.floor(centre[some, axis]).astype(int)[:, None] + offset for axis in (0, 1))  # [leaves, 2r + 1]
            dy, dx = (((i + 0.5 - centre[some, axis, None]) ** 2) for axis, i in ((0, y), (1, x)))
            y_in, x_in = ((i >= 0) & (i < side) for i in (y, x))
            inside = (dy[:, :, None] + dx[:, None, :] <= radius[some, None, None] ** 2) & y_in[:, :, None] & x_in[:, None, :]
            leaf, row, column = np.nonzero(inside)
            np.minimum.at(owner, y[leaf, row] * side + x[leaf, column], first + some[leaf])


def make(size: int = 32, seed: int = 0, r_min: float | None = None, r_max: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Canvases for training and others for holding out, uint8 ``[P, S, S]`` each, from which images of ``size`` are cut.

    Radii, in pixels, go from an eighth of ``size`` (so that leaves are seen as discs) to ``size`` unless
    given. Raises DataError.
    """
    r_min = max(1.0, size / 8) if r_min is None else r_min
    r_max = float(size) if r_max is None else r_max
    if not 0.5 <= r_min < r_max <= MAX_RADIUS:
        raise DataError(f"Radii must satisfy 0.5 ≤ r_min < r_max ≤ {MAX_RADIUS} pixels; {r_min:g} and {r_max:g} do not.")
    if seed < 0:
        raise DataError("The seed must be 0 or a positive whole number.")
    side = 256 if size <= 64 else 512
    share = (256 / side) ** 2
    counts = [max(1, round(n * share)) for n in (TRAINING, HELD_OUT)]
    seeds = np.random.SeedSequence(seed).spawn(sum(counts))  # each canvas has its own, whatever the number of canvases
    pictures = np.stack([canvas(side, r_min, r_max, np.random.default_rng(s)) for s in seeds])
    return pictures[: counts[0]], pictures[counts[0] :]
