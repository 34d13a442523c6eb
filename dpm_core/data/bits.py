"""Data sets of bits: heartbeats, lattices of spins, digits in black and white, and a person's own patterns.

Where the patterns can be listed with their probabilities the set is known exactly: its log likelihood, entropy and reverse
kernel are closed forms over the list. Values are 0 and 1 wherever people see them and float32 0.0 and 1.0 for models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpm_core.data import heartbeat, ising
from dpm_core.data.fetch import Progress
from dpm_core.data.images import make_images
from dpm_core.data.toy2d import DataError
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalBits
from dpm_core.schedules import make_schedule

MAX_PATTERNS = 1 << 16  # that are listed
MAX_LISTED_BITS = 1 << 22  # in all of them
RATES = (0.02, 0.98)  # of the noise: data of which nearly all is 0 or 1 still need bits that flip both ways
HALF_GREY = 127
HELD_OUT = 512  # lattices of those that were drawn

Params = tuple[tuple[str, Any], ...]
Batches = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class BitSpec:
    """What a model must know of its data: the shape of a datum, ``(L,)`` or ``(1, H, W)``, and ρ, the noise's mean activity."""

    name: str
    title: str
    shape: tuple[int, ...]
    rate: float

    @property
    def dims(self) -> int:
        """Bits in a datum."""
        return math.prod(self.shape)

    def standardise(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Bits, float32, of grey ``images`` uint8 ``[n, 1, H, W]``: 1 above half grey. Nothing about it is random."""
        return (images > HALF_GREY).float()

    def pixels(self, x: Tensor) -> Tensor:
        """Bits, or their probabilities, as grey levels, uint8."""
        return (255 * x.float()).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class BitDataset(BitSpec):
    """``patterns`` uint8 ``[N, *shape]`` with ``weights`` float64 ``[N]`` that add up to 1.

    With ``held_out`` ``[M, *shape]`` the patterns are a pool that was drawn from an unknown distribution; without, they are
    the distribution.
    """

    patterns: Tensor
    weights: Tensor
    held_out: Tensor | None = None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def spec(self) -> BitSpec:
        """The spec alone, which can be compared, hashed and stored."""
        return BitSpec(self.name, self.title, self.shape, self.rate)

    @property
    def listed(self) -> bool:
        """Whether the distribution is known."""
        return self.held_out is None

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws, float32 ``[n, *shape]``; without a generator always the same."""
        return self.batches()(n, generator or torch.Generator().manual_seed(0))

    def sample_held_out(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws that were not trained on; where the distribution is known, n more of it."""
        generator = generator or torch.Generator().manual_seed(0)
        if self.held_out is None:
            return self.sample(n, generator)
        return self.held_out[torch.randint(len(self.held_out), (n,), generator=generator)].float()

    def batches(self, device: str | torch.device = "cpu") -> Batches:
        """A function (n, generator) → ``sample`` on ``device``, where the patterns are put once and the generator must live."""
        pool, share = self.patterns.to(device), self.weights.cumsum(0).float().to(device)
        share = share / share[-1]

        def draw(n: int, generator: torch.Generator) -> Tensor:
            u = torch.rand(n, generator=generator, device=share.device)
            return pool[torch.searchsorted(share, u, right=True).clamp(max=len(pool) - 1)].float()

        return draw

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x⁽⁰⁾) in nats, ``[n]``, −∞ for what is no pattern. Raises DataError where it is not known."""
        self._must_be_listed()
        return self.exact_reverse(_ANY).log_marginal(x.double(), 0)

    def entropy(self) -> float:
        """H(q) in nats. Raises DataError where it is not known."""
        self._must_be_listed()
        return float(torch.special.entr(self.weights).sum())

    def exact_reverse(self, diffusion: BinomialDiffusion) -> EmpiricalBits:
        """The exact reverse kernel of the patterns: of the data themselves, or of the pool."""
        return EmpiricalBits(self.patterns, diffusion, weights=self.weights)

    def _must_be_listed(self) -> None:
        if not self.listed:
            raise DataError(f"Nobody knows the probabilities of {self.title}: there are too many patterns to list.")


_ANY = BinomialDiffusion(make_schedule("constant", 2))  # t = 0 is the data under any schedule


def shape_of(name: str, params: Params = ()) -> tuple[int, ...] | None:
    """The shape of a set's data without making it; None of patterns, which may have any. Raises DataError as :func:`make_bits`."""
    chosen = _checked(name, params)
    if name == "heartbeat":
        return (chosen["length"],)
    if name == "ising":
        return (1, chosen["size"], chosen["size"])
    return {"binary_digits": (1, 8, 8), "binary_mnist": (1, 28, 28)}.get(name)


def from_patterns(name: str, title: str, patterns: np.ndarray | Tensor, weights: np.ndarray | None = None) -> BitDataset:
    """The set that these patterns ``[N, ...]`` are, alike unless weighted; the same one twice counts twice.

    Raises DataError for none, for values other than 0 and 1, and for more than are listed.
    """
    rows = np.asarray(patterns)
    if rows.ndim < 2 or rows.size == 0:
        raise DataError("There are no patterns; give at least one row of 0 and 1.")
    if not np.isin(rows, (0, 1)).all():
        raise DataError("Patterns hold 0 and 1 only.")
    share = np.full(len(rows), 1 / len(rows)) if weights is None else np.asarray(weights, float) / np.sum(weights)
    distinct, which = np.unique(rows.reshape(len(rows), -1).astype(np.uint8), axis=0, return_inverse=True)
    if len(distinct) > MAX_PATTERNS or distinct.size > MAX_LISTED_BITS:
        most = min(MAX_PATTERNS, MAX_LISTED_BITS // distinct.shape[1])
        raise DataError(f"These are {len(distinct):,} different patterns of {distinct.shape[1]} bits; up to {most:,} can be listed.")
    total = np.bincount(which.ravel(), share)
    kept = torch.from_numpy(distinct.reshape(-1, *rows.shape[1:]))
    rate = round(float(np.clip(total @ distinct.mean(1), *RATES)), 4)
    return BitDataset(name, title, tuple(rows.shape[1:]), rate, patterns=kept, weights=torch.from_numpy(total))


@dataclass(frozen=True)
class BitSetInfo:
    """A data set as a person chooses it: ``params`` are (name, default) pairs."""

    title: str
    description: str
    params: Params = ()


BIT_SETS: dict[str, BitSetInfo] = {
    "heartbeat": BitSetInfo(
        "Heartbeat", "A 1 in every fifth of 20 places, any phase (App. D.1.2).", (("length", 20), ("period", 5), ("jitter", 0))
    ),
    "ising": BitSetInfo("Spins", "Neighbours on a lattice like to agree.", (("size", 4), ("temperature", ising.CRITICAL))),
    "binary_digits": BitSetInfo("Digits 8 × 8, black and white", "Handwritten digits of scikit-learn, white above half grey."),
    "binary_mnist": BitSetInfo("MNIST, black and white", "Handwritten digits, 28 × 28, white above half grey."),
    "patterns": BitSetInfo("Your own patterns", "Rows of 0 and 1."),
}
FROM_IMAGES = {"binary_digits": "digits", "binary_mnist": "mnist"}


def make_bits(name: str, params: Params = (), patterns: np.ndarray | None = None, progress: Progress | None = None) -> BitDataset:
    """The data set ``name`` with ``params`` as (name, value) pairs, those of BIT_SETS unless given; "patterns" needs some.

    Files that are missing are downloaded where that is possible, ``progress`` told. Raises DataError.
    """
    chosen = _checked(name, params)
    title = BIT_SETS[name].title
    if name == "patterns":
        if patterns is None:
            raise DataError("Give rows of 0 and 1; upload or paint some first.")
        return from_patterns(name, title, patterns)
    if name == "heartbeat":
        return from_patterns(name, title, *heartbeat.patterns(**chosen))
    if name == "ising":
        size = chosen["size"]
        rows, weights = ising.lattices(size, float(chosen["temperature"]))
        title = f"{title} {size} × {size}"
        return _pool(name, title, rows[HELD_OUT:], rows[:HELD_OUT]) if weights is None else from_patterns(name, title, rows, weights)
    images = make_images(FROM_IMAGES[name], progress=progress)
    return _pool(name, title, *((pool.numpy() > HALF_GREY).astype(np.uint8) for pool in (images.train, images.held_out)))


def _pool(name: str, title: str, train: np.ndarray, held_out: np.ndarray) -> BitDataset:
    """Patterns of which nobody knows the probability, each as likely as the others of its pool."""
    even = torch.full((len(train),), 1 / len(train), dtype=torch.float64)
    rate = round(float(np.clip(train.mean(), *RATES)), 4)
    kept, others = torch.from_numpy(train), torch.from_numpy(held_out)
    return BitDataset(name, title, tuple(train.shape[1:]), rate, patterns=kept, weights=even, held_out=others)


def _checked(name: str, params: Params) -> dict[str, Any]:
    """All parameters of the set by name. Raises DataError for a set, a name or a kind of value that it does not have."""
    if name not in BIT_SETS:
        raise DataError(f"Unknown set of bits {name!r}; choose one of {', '.join(BIT_SETS)}.")
    chosen = dict(BIT_SETS[name].params)
    for key, value in params:
        if key not in chosen:
            raise DataError(f"{BIT_SETS[name].title} has no parameter {key!r}; it has {', '.join(chosen) or 'none'}.")
        kinds = (int, float) if isinstance(chosen[key], float) else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise DataError(
                f"The {key} of {BIT_SETS[name].title} cannot be {value!r}; give a {'number' if float in kinds else 'whole number'}."
            )
        chosen[key] = value
    return chosen
