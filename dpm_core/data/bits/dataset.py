"""Data sets of bits: a list of patterns with their probabilities, or a pool of patterns from an unknown distribution.

Where the patterns can be listed with their probabilities the distribution is known exactly: log likelihood, entropy and
reverse kernel are sums over the list. Values are 0 and 1 in storage, and float32 0.0 and 1.0 for models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.dataset import Batches, Labelled, LabelledBatches
from dpm_core.data.errors import DataError
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalBits
from dpm_core.schedules import make_schedule

MAX_PATTERNS = 1 << 16  # in a list
MAX_LISTED_BITS = 1 << 22  # in all patterns of a list together
RATES = (0.02, 0.98)  # of the noise: even where nearly all bits are equal, some noise bits must differ
HALF_GREY = 127


@dataclass(frozen=True)
class BitSpec:
    """What a model must know of its data: the shape of a datum, ``(L,)`` or ``(1, H, W)``, and ρ, the mean activity of the noise."""

    name: str
    title: str
    shape: tuple[int, ...]
    rate: float
    classes: tuple[str, ...] = ()  # names by label; empty without labels

    kind: ClassVar[str] = "bits"

    @property
    def spec(self) -> BitSpec:
        """The spec alone, which can be compared, hashed and stored."""
        return BitSpec(self.name, self.title, self.shape, self.rate, self.classes)

    @property
    def dims(self) -> int:
        """Bits in a datum."""
        return math.prod(self.shape)

    def standardise(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Bits, float32, of grey ``images`` uint8 ``[n, 1, H, W]``: 1 above half grey. Deterministic; the generator is not used."""
        return (images > HALF_GREY).float()

    def pixels(self, x: Tensor) -> Tensor:
        """Bits, or their probabilities, as grey levels, uint8."""
        return (255 * x.float()).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False, kw_only=True)
class BitDataset(BitSpec):
    """``patterns`` uint8 ``[N, *shape]`` with ``weights`` float64 ``[N]`` that add up to 1.

    Without ``held_out`` the patterns are the distribution. With ``held_out``, uint8 ``[M, *shape]``, they are a training pool
    drawn from an unknown distribution. ``labels`` ``[N]`` and ``held_out_labels`` ``[M]``, int64, are their classes, where known.
    """

    patterns: Tensor
    weights: Tensor
    held_out: Tensor | None = None
    labels: Tensor | None = None
    held_out_labels: Tensor | None = None

    # two sets with the same spec are not the same
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def listed(self) -> bool:
        """Whether the distribution is known."""
        return self.held_out is None

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws, float32 ``[n, *shape]``; without a generator always the same."""
        return self.batches()(n, generator or torch.Generator().manual_seed(0))

    def sample_held_out(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of the held-out pool, float32 ``[n, *shape]``; fresh draws of the distribution where it is known."""
        generator = generator or torch.Generator().manual_seed(0)
        if self.held_out is None:
            return self.sample(n, generator)
        return self.held_out[torch.randint(len(self.held_out), (n,), generator=generator)].float()

    def labelled(self, n: int, generator: torch.Generator | None = None, held_out: bool = False) -> Labelled:
        """The same draws as of ``sample`` or ``sample_held_out``, with their labels. Raises DataError without labels."""
        generator = generator or torch.Generator().manual_seed(0)
        if not held_out or self.held_out is None:
            return self.labelled_batches()(n, generator)
        labels = self._require(self.held_out_labels)
        rows = torch.randint(len(self.held_out), (n,), generator=generator)
        return Labelled(self.held_out[rows].float(), labels[rows])

    def of_class(self, label: int) -> BitDataset:
        """The patterns of one class, with the same noise. Raises DataError without labels or for a class without patterns in both pools."""
        rows, held_out = self._require(self.labels) == label, self._require(self.held_out_labels) == label
        if self.held_out is None or not (rows.any() and held_out.any()):
            raise DataError(f"{self.title} has no patterns of the class {label}; its labels are 0 to {len(self.classes) - 1}.")
        weights = self.weights[rows] / self.weights[rows].sum()
        pools: dict[str, Any] = {"patterns": self.patterns[rows], "weights": weights, "held_out": self.held_out[held_out]}
        return replace(self, **pools, labels=None, held_out_labels=None, classes=())

    def batches(self, device: str | torch.device = "cpu") -> Batches:
        """A function (n, generator) → ``sample`` on ``device``: patterns are copied there once; the generator must be there too."""
        pool, draw = self.patterns.to(device), self._draw_rows(device)
        return lambda n, generator: pool[draw(n, generator)].float()

    def labelled_batches(self, device: str | torch.device = "cpu") -> LabelledBatches:
        """The same function with the label of each pattern. Raises DataError without labels."""
        pool, labels, draw = self.patterns.to(device), self._require(self.labels).to(device), self._draw_rows(device)

        def draw_labelled(n: int, generator: torch.Generator) -> Labelled:
            rows = draw(n, generator)
            return Labelled(pool[rows].float(), labels[rows])

        return draw_labelled

    def _draw_rows(self, device: str | torch.device) -> Batches:
        """A function (n, generator) → the numbers of n patterns, drawn by their weights."""
        share = self.weights.cumsum(0).float().to(device)
        share = share / share[-1]

        def draw(n: int, generator: torch.Generator) -> Tensor:
            u = torch.rand(n, generator=generator, device=share.device)
            return torch.searchsorted(share, u, right=True).clamp(max=len(share) - 1)

        return draw

    def _require(self, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise DataError(f"{self.title} has no labels on this machine; choose other data, such as binary_digits.")
        return labels

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x⁽⁰⁾) in nats, ``[n]``, −∞ for anything that is not a pattern. Raises DataError where it is not known."""
        self._must_be_listed()
        return self.exact_reverse(_ANY_DIFFUSION).log_marginal(x.double(), 0)

    def entropy(self) -> float:
        """H(q) in nats. Raises DataError where it is not known."""
        self._must_be_listed()
        return float(torch.special.entr(self.weights).sum())

    def exact_reverse(self, diffusion: BinomialDiffusion) -> EmpiricalBits:
        """The exact reverse kernel of the patterns: of the data themselves, or of the training pool."""
        return EmpiricalBits(self.patterns, diffusion, weights=self.weights)

    def _must_be_listed(self) -> None:
        if not self.listed:
            raise DataError(f"The probabilities of {self.title} are not known, because there are too many patterns to list.")


_ANY_DIFFUSION = BinomialDiffusion(make_schedule("constant", 2))  # at t = 0 every schedule gives the data


def from_patterns(name: str, title: str, patterns: np.ndarray | Tensor, weights: np.ndarray | None = None) -> BitDataset:
    """The distribution over these patterns ``[N, ...]``, uniform unless weighted ``[N]``; equal patterns add their weights.

    Raises DataError without patterns, for values other than 0 and 1, and for more patterns than can be listed.
    """
    rows = np.asarray(patterns)
    if rows.ndim < 2 or rows.size == 0:
        raise DataError("There are no patterns; give at least one row of 0 and 1.")
    if not np.isin(rows, (0, 1)).all():
        raise DataError("The patterns hold other values; give 0 and 1 only.")
    share = np.full(len(rows), 1 / len(rows)) if weights is None else np.asarray(weights, float) / np.sum(weights)
    distinct, which = np.unique(rows.reshape(len(rows), -1).astype(np.uint8), axis=0, return_inverse=True)
    if len(distinct) > MAX_PATTERNS or distinct.size > MAX_LISTED_BITS:
        most = min(MAX_PATTERNS, MAX_LISTED_BITS // distinct.shape[1])
        raise DataError(f"There are {len(distinct):,} different patterns of {distinct.shape[1]} bits; use at most {most:,}.")
    total = np.bincount(which.ravel(), share)
    listed = torch.from_numpy(distinct.reshape(-1, *rows.shape[1:]))
    rate = _rate(total @ distinct.mean(1))
    return BitDataset(name, title, tuple(rows.shape[1:]), rate, patterns=listed, weights=torch.from_numpy(total))


def from_draws(
    name: str,
    title: str,
    train: np.ndarray,
    held_out: np.ndarray,
    labels: Tensor | None = None,
    held_out_labels: Tensor | None = None,
    classes: tuple[str, ...] = (),
) -> BitDataset:
    """A training pool and a held-out pool, uint8 ``[N, *shape]`` each, drawn from an unknown distribution, with labels where known."""
    even = torch.full((len(train),), 1 / len(train), dtype=torch.float64)
    pools: dict[str, Any] = {"patterns": torch.from_numpy(train), "weights": even, "held_out": torch.from_numpy(held_out)}
    named = () if labels is None else classes
    known: dict[str, Any] = {"labels": labels, "held_out_labels": held_out_labels}
    return BitDataset(name, title, tuple(train.shape[1:]), _rate(train.mean()), named, **pools, **known)


def _rate(activity: float) -> float:
    """ρ of the noise: the mean activity of the data, within RATES."""
    return round(float(np.clip(activity, *RATES)), 4)
