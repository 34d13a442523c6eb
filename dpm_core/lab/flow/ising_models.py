"""Ising models: topologies of couplings, their conversion between spins and bits, and samples.

Physics writes p(s) ∝ exp(½ Σ_ij K_ij s_i s_j + Σ_i h_i s_i) with spins s_i = ±1, couplings K (symmetric, K_ii = 0) and fields h, both
already divided by the temperature. Learning writes p(x) ∝ exp(−xᵀ J x) with bits x in {0, 1} and the biases on the diagonal of J. With
s = 2x − 1 both are the same model when J_ij = −2 K_ij and J_ii = 2 Σ_j K_ij − 2 h_i.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

MOST_ENUMERATED = 20  # spins whose 2ᵈ states are listed
TOPOLOGIES = {
    "lattice": "2-D lattice, random couplings",
    "ferromagnet": "2-D lattice, equal couplings",
    "full": "Fully connected (Sherrington–Kirkpatrick)",
    "sparse": "Random sparse",
}
DEGREE = 3  # mean number of neighbours of the random sparse model
FIELD = 0.1  # standard deviation of the fields, in units of the temperature's


class IsingModel(NamedTuple):
    """Couplings K ``[d, d]`` and fields h ``[d]`` of spins ±1, divided by the temperature, float64; places ``[d, 2]`` for a drawing."""

    couplings: Tensor
    fields: Tensor
    places: np.ndarray

    @property
    def J(self) -> Tensor:
        """The same model for bits, E(x) = xᵀ J x, ``[d, d]``."""
        return to_bits(self.couplings, self.fields)


def to_bits(couplings: Tensor, fields: Tensor) -> Tensor:
    """Return J ``[d, d]`` of E(x) = xᵀ J x, x in {0, 1}, for couplings ``[d, d]`` and fields ``[d]`` of spins ±1."""
    J = -2 * couplings
    return J - torch.diag(J.diagonal()) + torch.diag(2 * (couplings.sum(1) - couplings.diagonal()) - 2 * fields)


def to_spins(J: Tensor) -> tuple[Tensor, Tensor]:
    """Return couplings ``[d, d]`` and fields ``[d]`` of spins ±1 for a symmetric J ``[d, d]``; the inverse of :func:`to_bits`."""
    couplings = -(J - torch.diag(J.diagonal())) / 2
    return couplings, couplings.sum(1) - J.diagonal() / 2


def make_ising(topology: str, d: int, temperature: float, seed: int = 0) -> IsingModel:
    """Return a model of d spins. Raises ValueError for a topology that is not one of TOPOLOGIES, or numbers out of range.

    "lattice": r × c spins with periodic boundaries and couplings N(0, 1) (Edwards & Anderson 1975); "ferromagnet": the same with all
    couplings 1; "full": N(0, 1/d) between all pairs (Sherrington & Kirkpatrick 1975); "sparse": each pair with probability
    DEGREE/(d − 1), N(0, 1). Fields are N(0, FIELD²). All are divided by the temperature.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"The topology is {topology!r}; choose one of {', '.join(TOPOLOGIES)}.")
    if not 2 <= d <= 400:
        raise ValueError(f"The model has {d} spins; choose 2 to 400.")
    if not 0.05 <= temperature <= 1000:
        raise ValueError(f"The temperature is {temperature:g}; choose a value between 0.05 and 1000, in units of the coupling.")
    random = np.random.default_rng(seed)
    rows, columns = sides(d)
    there = np.zeros((d, d), bool)
    if topology in ("lattice", "ferromagnet"):
        number = np.arange(d).reshape(rows, columns)
        for axis in (0, 1):
            there[number.ravel(), np.roll(number, -1, axis).ravel()] = True
    else:
        there = random.random((d, d)) < (1.0 if topology == "full" else DEGREE / (d - 1))
        there = np.triu(there, 1)
    there = np.triu(there | there.T, 1)
    strength = np.ones((d, d)) if topology == "ferromagnet" else random.standard_normal((d, d))
    strength = np.where(there, strength * (d**-0.5 if topology == "full" else 1.0), 0.0) / temperature
    fields = FIELD * random.standard_normal(d) / temperature
    return IsingModel(torch.from_numpy(strength + strength.T), torch.from_numpy(fields), _places(topology, d))


def sides(d: int) -> tuple[int, int]:
    """The rows and columns of a lattice of d spins, as equal as they can be."""
    rows = next(r for r in range(math.isqrt(d), 0, -1) if d % r == 0)
    return rows, d // rows


def _places(topology: str, d: int) -> np.ndarray:
    if topology in ("lattice", "ferromagnet"):
        rows, columns = sides(d)
        return np.stack([np.arange(d) % columns, rows - 1 - np.arange(d) // columns], 1).astype(float)
    angle = 2 * np.pi * np.arange(d) / d
    return np.stack([np.sin(angle), np.cos(angle)], 1)


def ising_energy(J: Tensor, x: Tensor) -> Tensor:
    """Return E(x) = xᵀ J x of each x ``[n, d]``, ``[n]``."""
    return ((x @ J) * x).sum(1)


def all_states(d: int) -> Tensor:
    """Return the 2ᵈ states of d spins, float64 ``[2ᵈ, d]``. Raises ValueError above MOST_ENUMERATED spins."""
    if d > MOST_ENUMERATED:
        raise ValueError(f"{d} spins have too many states to list; at most {MOST_ENUMERATED} can be.")
    return (torch.arange(1 << d)[:, None] >> torch.arange(d - 1, -1, -1) & 1).double()


def sample_ising(J: Tensor, n: int, generator: torch.Generator | None = None, sweeps: int = 200) -> Tensor:
    """Return n samples of p(x) ∝ exp(−xᵀ J x), float64 ``[n, d]``: exact where the states can be listed, else the ends of Gibbs chains.

    Each of the n chains starts from coin tosses and makes ``sweeps`` sweeps over all spins.
    """
    if len(J) <= MOST_ENUMERATED:
        states = all_states(len(J))
        weights = torch.softmax(-ising_energy(J, states), 0)
        return states[torch.multinomial(weights, n, replacement=True, generator=generator)]
    seed = int(torch.randint(1 << 31, (), generator=generator))
    return _gibbs(J, n, n, sweeps, 0, seed)


def sample_by_chains(J: Tensor, n: int, seed: int = 0, chains: int = 1000, burn_in: int = 200, between: int = 10) -> Tensor:
    """Return n samples, float64 ``[n, d]``, as :func:`sample_ising` does where states can be listed; else by few Gibbs chains.

    Each chain starts from coin tosses, is read after ``burn_in`` sweeps and then after every ``between`` sweeps, so that n may exceed the
    number of chains. Successive readings of a chain are not quite independent, less so at low temperatures.
    """
    if len(J) <= MOST_ENUMERATED:
        return sample_ising(J, n, torch.Generator().manual_seed(seed))
    return _gibbs(J, n, min(chains, n), burn_in, between, seed)


def _gibbs(J: Tensor, n: int, chains: int, burn_in: int, between: int, seed: int) -> Tensor:
    """Heat-bath sweeps in single precision, on spins ``[d, chains]``: the field of a spin is one product with a row of the couplings."""
    couplings, fields = to_spins((J + J.T) / 2)
    K, h, d = couplings.float().numpy(), fields.float().numpy(), len(J)
    random, read = np.random.default_rng(seed), list[np.ndarray]()
    s = np.where(random.random((d, chains)) < 0.5, np.float32(-1), np.float32(1))
    while len(read) * chains < n:
        for _ in range(between if read else burn_in):
            level = np.maximum(random.random((d, chains), np.float32), np.float32(1e-12))
            level = 0.5 * np.log(level / (1 - level))  # s_i = 1 where this is below its field: P(s_i = 1) = 1/(1 + exp(−2 field))
            for i in range(d):
                s[i] = np.where(level[i] < K[i] @ s + h[i], np.float32(1), np.float32(-1))
        read.append(np.ascontiguousarray(s.T > 0))
    return torch.from_numpy(np.concatenate(read)[:n].astype(np.float64))
