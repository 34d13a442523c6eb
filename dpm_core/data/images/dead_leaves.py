"""Dead leaves: images of discs that occlude one another until they cover the whole image.

The model of Matheron and Jeulin (1997) in the scale-invariant form of Lee, Mumford & Huang (2001, "Occlusion models for
natural images", section 3): discs of uniform position and grey level whose radii have
the density p(r) ∝ r⁻³ between two cut-offs. The paper compares with the MCGSM of Theis, Hosseini &
Bethge (2012) on images of this kind (its table 2).

Discs are added from the front to the back: a new one is visible only where no earlier one lies. The image is complete, and
an exact sample of the model, when every pixel is covered; painting from the back only converges to it (Kendall & Thönnes
1999). A pixel has the level of the frontmost disc that covers its centre; edges are not smoothed.
"""

from __future__ import annotations

import math

import numpy as np

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images.cuts import DEFAULT_SIZE, checked_size
from dpm_core.data.images.registry import Pools, image_set

MAX_RADIUS = 512  # pixels
TRAINING, HELD_OUT = 24, 6  # canvases of 256 × 256 pixels, or as much area in larger ones


def radii(n: int, r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """n draws of p(r) = 2 r⁻³/(r_min⁻² − r_max⁻²) on [r_min, r_max], by inverting P(R > r); float64."""
    u = rng.random(n)
    return (r_min**-2 - u * (r_min**-2 - r_max**-2)) ** -0.5


def canvas(side: int, r_min: float, r_max: float, rng: np.random.Generator) -> np.ndarray:
    """One image of the model, uint8 ``[side, side]``, grey levels uniform on 0..255.

    Centres are uniform over the square enlarged by r_max on all sides, so that the statistics are the same everywhere up to
    the border.
    """
    # after n discs a pixel is uncovered with probability exp(−n·E[πr²]/area): a few rounds cover all side² pixels
    area = 2 * math.pi * math.log(r_max / r_min) / (r_min**-2 - r_max**-2)  # E[πr²]
    round_ = min(1 << 14, math.ceil((side + 2 * r_max) ** 2 / area * math.log(side)))
    owner = np.full(side * side, np.iinfo(np.int64).max)  # number of the frontmost disc over each pixel so far
    levels = np.empty(0, np.uint8)
    while owner.max() >= len(levels):
        centre = rng.uniform(-r_max, side + r_max, (round_, 2))
        radius = radii(round_, r_min, r_max, rng)
        _cover(owner, side, centre, radius, first=len(levels))
        levels = np.concatenate([levels, rng.integers(0, 256, round_, dtype=np.uint8)])
    return levels[owner].reshape(side, side)


def _cover(owner: np.ndarray, side: int, centre: np.ndarray, radius: np.ndarray, first: int) -> None:
    """Set ``owner`` of each pixel to the lowest number among the discs over its centre; these discs are numbered from ``first``."""
    reach = np.exp2(np.ceil(np.log2(radius))).astype(int)  # discs of similar size together, each on a square that contains it
    for r in np.unique(reach):
        rows = np.flatnonzero((reach == r) & ((centre > -radius[:, None]) & (centre < side + radius[:, None])).all(1))
        for some in np.array_split(rows, min(len(rows), math.ceil(len(rows) * (2 * r + 1) ** 2 / (1 << 21))) or 1):
            offset = np.arange(-r, r + 1)
            y, x = (np.floor(centre[some, axis]).astype(int)[:, None] + offset for axis in (0, 1))  # [discs, 2r + 1]
            dy, dx = (((i + 0.5 - centre[some, axis, None]) ** 2) for axis, i in ((0, y), (1, x)))
            y_in, x_in = ((i >= 0) & (i < side) for i in (y, x))
            inside = (dy[:, :, None] + dx[:, None, :] <= radius[some, None, None] ** 2) & y_in[:, :, None] & x_in[:, None, :]
            leaf, row, column = np.nonzero(inside)
            np.minimum.at(owner, y[leaf, row] * side + x[leaf, column], first + some[leaf])


def make(size: int = 32, seed: int = 0, r_min: float | None = None, r_max: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out canvases, uint8 ``[P, S, S]`` each, from which images of ``size`` × ``size`` pixels are cut.

    Radii, in pixels, range from an eighth of ``size`` (so that discs can be recognised) to ``size`` unless
    given. Raises DataError.
    """
    r_min = max(1.0, size / 8) if r_min is None else r_min
    r_max = float(size) if r_max is None else r_max
    if not 0.5 <= r_min < r_max <= MAX_RADIUS:
        raise DataError(f"The radii r_min = {r_min:g} and r_max = {r_max:g} do not fit; choose 0.5 ≤ r_min < r_max ≤ {MAX_RADIUS} pixels.")
    if seed < 0:
        raise DataError(f"The seed is {seed}; choose 0 or a positive whole number.")
    side = 256 if size <= 64 else 512
    share = (256 / side) ** 2
    counts = [max(1, round(n * share)) for n in (TRAINING, HELD_OUT)]
    seeds = np.random.SeedSequence(seed).spawn(sum(counts))  # one seed per canvas, independent of the number of canvases
    pictures = np.stack([canvas(side, r_min, r_max, np.random.default_rng(s)) for s in seeds])
    return pictures[: counts[0]], pictures[counts[0] :]


@image_set(
    "dead_leaves",
    "Dead leaves",
    "Discs that occlude one another, with radii from a power law; generated here.",
    (("size", DEFAULT_SIZE), ("seed", 0), ("r_min", None), ("r_max", None)),
    types={"r_min": float, "r_max": float},
)
def dead_leaves(progress: Progress | None, size: int, seed: int, r_min: float | None, r_max: float | None) -> Pools:
    """Cuts of ``size`` × ``size`` pixels from the canvases of :func:`make`. Raises DataError."""
    train, held_out = make(checked_size(size), seed, r_min, r_max)
    return Pools(train[:, None], held_out[:, None], size=size)
