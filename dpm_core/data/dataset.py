"""What all data sets have in common, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Batches = Callable[[int, torch.Generator], Tensor]  # (n, generator) → n training data, on the generator's device


class Labelled(NamedTuple):
    """Data ``[n, ...]`` and the class of each, int64 ``[n]``."""

    x: Tensor
    y: Tensor


LabelledBatches = Callable[[int, torch.Generator], Labelled]


def labelled_rows(x: Tensor, y: Tensor) -> LabelledBatches:
    """A function that draws rows of x ``[N, ...]`` and y ``[N]`` together, with replacement; the generator must be on their device."""

    def draw(n: int, generator: torch.Generator) -> Labelled:
        rows = torch.randint(len(x), (n,), generator=generator, device=x.device)
        return Labelled(x[rows], y[rows])

    return draw


class Spec(Protocol):
    """What a model must know of its data. A checkpoint stores it, and the data themselves only where nothing else has them."""

    @property
    def kind(self) -> str:
        """Name of the kind of data, a key of :data:`dpm_core.data.kinds.DATA_KINDS`."""
        ...

    @property
    def name(self) -> str:
        """Name of the data set in the configs of runs."""
        ...

    @property
    def title(self) -> str:
        """Name of the data set as menus and captions show it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum: ``(2,)`` for points, ``(C, H, W)`` for images, ``(L,)`` or ``(1, H, W)`` for bits."""
        ...

    @property
    def dims(self) -> int:
        """Numbers in one datum, the product of ``shape``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels 0, 1, …; empty for data without labels."""
        ...


class Dataset(Spec, Protocol):
    """A data set that can be drawn from. Values are in the units that models see (standardised; bits are 0 and 1)."""

    @property
    def spec(self) -> Spec:
        """What a model must know of the data."""
        ...

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n training data, float32 ``[n, *shape]``."""
        ...

    def sample_held_out(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n data that no training step uses, float32 ``[n, *shape]``; fresh draws where the distribution itself is known."""
        ...

    def labelled(self, n: int, generator: torch.Generator | None = None, held_out: bool = False) -> Labelled:
        """n training or held-out data, as of the methods above, with their labels. Raises DataError without labels."""
        ...

    def of_class(self, label: int) -> Dataset:
        """The data of one class, in the same units. Raises DataError without labels or for a label out of range."""
        ...
