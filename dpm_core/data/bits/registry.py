"""Data sets of bits by name. A new one is a new file in this folder with a function under ``@bit_set``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from dpm_core.config import Params
from dpm_core.data.bits.dataset import BitDataset, from_draws, from_patterns
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.parameters import checked

Shape = tuple[int, ...]


class Listed(NamedTuple):
    """What a bit set returns where its distribution is known: patterns ``[N, *shape]`` and weights ``[N]``, equal if None."""

    patterns: np.ndarray | Tensor
    weights: np.ndarray | None = None
    title: str | None = None  # replaces the title of the set

    def dataset(self, name: str, title: str) -> BitDataset:
        """The data set. Raises DataError as :func:`from_patterns`."""
        return from_patterns(name, self.title or title, self.patterns, self.weights)


class Drawn(NamedTuple):
    """What a bit set returns where its distribution is unknown: training and held-out draws, uint8 ``[N, *shape]``."""

    train: np.ndarray
    held_out: np.ndarray
    title: str | None = None  # replaces the title of the set
    labels: Tensor | None = None
    held_out_labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def dataset(self, name: str, title: str) -> BitDataset:
        """The data set."""
        known = self.labels, self.held_out_labels, self.classes
        return from_draws(name, self.title or title, self.train, self.held_out, *known)


Make = Callable[..., Listed | Drawn]  # (progress, **params); (progress, patterns, **params) where ``takes_patterns``


@dataclass(frozen=True)
class BitSetInfo:
    """A data set of bits as a menu shows it. ``params`` are (name, default) pairs."""

    title: str
    description: str
    params: Params
    make: Make
    shape: Callable[..., Shape | None]
    listed: Callable[..., bool]
    missing: Callable[[], str | None]
    takes_patterns: bool


BIT_SETS: dict[str, BitSetInfo] = {}


def bit_set(
    name: str,
    title: str,
    description: str,
    params: Params = (),
    *,
    shape: Callable[..., Shape | None],
    listed: Callable[..., bool] = lambda **params: True,
    missing: Callable[[], str | None] = lambda: None,
    takes_patterns: bool = False,
) -> Callable[[Make], Make]:
    """Enter the decorated function (progress, **params) → :class:`Listed` or :class:`Drawn` in BIT_SETS as the data set ``name``.

    ``params`` are (name, default) pairs. ``shape(**params)`` is the shape of a datum without making the set (None: any);
    ``listed(**params)`` says whether the function returns :class:`Listed`. ``missing()`` says in one sentence which files to
    put where, or None when all are on this machine. With ``takes_patterns`` the function also gets the user's ``patterns``.
    """

    def register(make: Make) -> Make:
        BIT_SETS[name] = BitSetInfo(title, description, params, make, shape, listed, missing, takes_patterns)
        return make

    return register


def make_bits(name: str, params: Params = (), patterns: np.ndarray | None = None, progress: Progress | None = None) -> BitDataset:
    """The data set ``name`` with ``params`` as (name, value) pairs, those of BIT_SETS unless given; "patterns" needs ``patterns``.

    Missing files are downloaded where that is possible, with ``progress`` called as (file, bytes so far, bytes in all or None).
    Raises DataError.
    """
    info = _info(name)
    chosen = checked(info.title, params, info.params)
    made = info.make(progress, patterns=patterns, **chosen) if info.takes_patterns else info.make(progress, **chosen)
    return made.dataset(name, info.title)


def shape_of(name: str, params: Params = ()) -> Shape | None:
    """Shape of a datum of the set without making it; None where any shape is possible. Raises DataError as :func:`make_bits`."""
    info = _info(name)
    return info.shape(**checked(info.title, params, info.params))


def is_listed(name: str, params: Params = ()) -> bool:
    """Whether the distribution of the set is known. Raises DataError as :func:`make_bits`."""
    info = _info(name)
    return info.listed(**checked(info.title, params, info.params))


def available(name: str) -> str | None:
    """None when ``make_bits(name)`` needs no download; else what to put where, in one sentence. Raises DataError for an unknown name."""
    return _info(name).missing()


def _info(name: str) -> BitSetInfo:
    if name not in BIT_SETS:
        raise DataError(f"Unknown set of bits {name!r}; choose one of {', '.join(BIT_SETS)}.")
    return BIT_SETS[name]
