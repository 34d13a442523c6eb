"""The Ising model: spins on a square lattice with periodic boundaries that tend to agree with their neighbours; no external field."""

from __future__ import annotations

import math

import numpy as np

from dpm_core.data.bits.registry import Drawn, Listed, bit_set
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress

CRITICAL = round(2 / math.log(1 + math.sqrt(2)), 3)  # Onsager's critical temperature, in units of the coupling
LISTED = 4  # spins along a side up to which all patterns are listed
CHAINS, SWEEPS = 4608, 300  # of Gibbs sampling on larger lattices: independent chains, each one draw
HELD_OUT = 512  # of these draws


def lattices(size: int = 4, temperature: float = CRITICAL, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Lattices as bits, uint8 ``[N, 1, size, size]``: all of them with their probabilities ``[N]`` ∝ exp(Σ_neighbours s s'/temperature).

    Above 4 × 4: CHAINS draws by Gibbs sampling from random starts, and None. Raises DataError.
    """
    if not 2 <= size <= 32 or (size > LISTED and size % 2):
        raise DataError(f"The size of the lattice is {size}; choose 2, 3 or an even number of spins along a side, up to 32.")
    if not 0.2 <= temperature <= 100:
        raise DataError(f"The temperature is {temperature:g}; choose a value between 0.2 and 100, in units of the coupling.")
    if size > LISTED:
        return _gibbs(size, temperature, np.random.default_rng(seed)), None
    rows = ((np.arange(1 << size * size)[:, None] >> np.arange(size * size)) & 1).astype(np.uint8).reshape(-1, 1, size, size)
    spins = 2.0 * rows - 1
    bonds = (spins * (np.roll(spins, 1, 2) + np.roll(spins, 1, 3))).sum((1, 2, 3))
    weights = np.exp((bonds - bonds.max()) / temperature)
    return rows, weights / weights.sum()


def _gibbs(size: int, temperature: float, random: np.random.Generator) -> np.ndarray:
    """Heat-bath updates of the black squares of a checkerboard, whose neighbours are all white, then of the white squares."""
    spins = random.choice(np.array([-1, 1], np.int8), (CHAINS, size, size))
    black = np.add.outer(np.arange(size), np.arange(size)) % 2 == 0
    for _ in range(SWEEPS):
        for squares in (black, ~black):
            around = sum(np.roll(spins, shift, axis)[:, squares] for shift in (1, -1) for axis in (1, 2))
            up = 1 / (1 + np.exp(np.float32(-2 / temperature) * around))
            spins[:, squares] = np.where(random.random(up.shape, np.float32) < up, 1, -1)
    return (spins[:, None] > 0).astype(np.uint8)


@bit_set(
    "ising",
    "Spins",
    "Spins on a lattice that tend to agree with their neighbours.",
    (("size", 4), ("temperature", CRITICAL)),
    shape=lambda size, **_: (1, size, size),
    listed=lambda size, **_: size <= LISTED,
)
def ising(progress: Progress | None, size: int, temperature: float) -> Listed | Drawn:
    """The lattices of :func:`lattices` as a data set. Raises DataError."""
    rows, weights = lattices(size, float(temperature))
    title = f"Spins {size} × {size}"
    return Drawn(rows[HELD_OUT:], rows[:HELD_OUT], title) if weights is None else Listed(rows, weights, title)
