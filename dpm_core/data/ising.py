"""Spins that like to agree with their neighbours: Ising's model on a torus, without a field."""

from __future__ import annotations

import math

import numpy as np

from dpm_core.data.toy2d import DataError

CRITICAL = round(2 / math.log(1 + math.sqrt(2)), 3)  # Onsager's temperature, in units of the coupling: order on every scale
LISTED = 4  # up to so many spins along a side all patterns are listed
CHAINS, SWEEPS = 4608, 300


def lattices(size: int = 4, temperature: float = CRITICAL, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Lattices as bits, uint8 ``[N, 1, size, size]``: all of them with their probabilities ``[N]`` ∝ exp(Σ_neighbours s s'/temperature).

    Above 4 × 4 so many draws by Gibbs sampling from random starts, and no probabilities. Raises DataError.
    """
    if not 2 <= size <= 32 or (size > LISTED and size % 2):
        raise DataError("A lattice has 2, 3 or an even number of spins along a side, up to 32.")
    if not 0.2 <= temperature <= 100:
        raise DataError("The temperature lies between 0.2 and 100, in units of the coupling.")
    if size > LISTED:
        return _gibbs(size, temperature, np.random.default_rng(seed)), None
    rows = ((np.arange(1 << size * size)[:, None] >> np.arange(size * size)) & 1).astype(np.uint8).reshape(-1, 1, size, size)
    spins = 2.0 * rows - 1
    bonds = (spins * (np.roll(spins, 1, 2) + np.roll(spins, 1, 3))).sum((1, 2, 3))
    weights = np.exp((bonds - bonds.max()) / temperature)
    return rows, weights / weights.sum()


def _gibbs(size: int, temperature: float, random: np.random.Generator) -> np.ndarray:
    """Heat-bath updates of the black squares of a chessboard, whose neighbours are all white, then of the white ones."""
    spins = random.choice(np.array([-1, 1], np.int8), (CHAINS, size, size))
    black = np.add.outer(np.arange(size), np.arange(size)) % 2 == 0
    for _ in range(SWEEPS):
        for turn in (black, ~black):
            around = sum(np.roll(spins, shift, axis)[:, turn] for shift in (1, -1) for axis in (1, 2))
            up = 1 / (1 + np.exp(np.float32(-2 / temperature) * around))
            spins[:, turn] = np.where(random.random(up.shape, np.float32) < up, 1, -1)
    return (spins[:, None] > 0).astype(np.uint8)
