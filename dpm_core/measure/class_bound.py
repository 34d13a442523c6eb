"""K given the class y, and the information that the class and the data share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.measure.bound import NATS_PER_BIT, bound_terms, estimate_bound, evaluate_bound
from dpm_core.process import Chain
from dpm_core.reverse import ReverseKernel


@dataclass(frozen=True)
class ClassBound:
    """The mean bound K of p(x⁽⁰⁾|y) over labelled data, that of p(x⁽⁰⁾) on the same data and noise, and their difference, in bits.

    If both bounds were equally tight, the difference would be the mutual information I(x⁽⁰⁾; y) ≤ H(y). ``per_class_bits``: K given y by
    class, NaN for a class without data.
    """

    given_y_bits: float
    given_y_standard_error_bits: float
    unconditional_bits: float
    information_bits: float
    information_standard_error_bits: float
    per_class_bits: tuple[float, ...]


def class_bound(
    given: Callable[[int], ReverseKernel],
    unconditional: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    y: Tensor,
    classes: int,
    seed: int = 0,
    every_time: bool = True,
) -> ClassBound:
    """Measure K of ``given(y)`` and of ``unconditional`` on the data x0 ``[n, ...]`` with labels y ``[n]``, from common random numbers.

    ``every_time``: at every t for each datum; otherwise at one random t (:func:`estimate_bound`). Errors are those of the mean over data;
    that of the information is of the paired differences.
    """
    measure = _at_every_time if every_time else _at_one_time
    parts: dict[int, _Pair] = {}
    for label in range(classes):
        if len(some := x0[y == label]) > 1:
            parts[label] = measure(given(label), unconditional, diffusion, some, seed + label)
    if not parts:
        raise ValueError("No class has two data or more, so K given the class cannot be measured; use more data.")
    n = sum(part.n for part in parts.values())

    def mean(name: str) -> float:
        return sum(part.n * getattr(part, name) for part in parts.values()) / n

    def error(name: str) -> float:
        return math.sqrt(sum((part.n * getattr(part, name)) ** 2 for part in parts.values())) / n

    by_class = tuple(parts[label].given if label in parts else math.nan for label in range(classes))
    return ClassBound(mean("given"), error("given_error"), mean("without"), mean("gain"), error("gain_error"), by_class)


class _Pair(NamedTuple):
    """K of one class in bits: of ``n`` data with the label and without it, and the paired difference."""

    n: int
    given: float
    given_error: float
    without: float
    gain: float
    gain_error: float


def _at_every_time(given: ReverseKernel, without: ReverseKernel, diffusion: Chain, x0: Tensor, seed: int) -> _Pair:
    a = evaluate_bound(given, diffusion, x0, torch.Generator(x0.device).manual_seed(seed))
    terms = (bound_terms(kernel, diffusion, x0, torch.Generator(x0.device).manual_seed(seed)) for kernel in (without, given))
    before, after = (term.double().sum(1) / NATS_PER_BIT for term in terms)
    gain = before - after
    error = float(gain.std()) / math.sqrt(len(gain))
    return _Pair(len(x0), a.bound_bits, a.standard_error_bits, a.bound_bits - float(gain.mean()), float(gain.mean()), error)


def _at_one_time(given: ReverseKernel, without: ReverseKernel, diffusion: Chain, x0: Tensor, seed: int) -> _Pair:
    b, a = (
        estimate_bound(kernel, diffusion, x0, torch.Generator(x0.device).manual_seed(seed))
        for kernel in (without, given)
    )  # fmt: skip
    difference = replace(a, kl_nats=a.kl_nats - b.kl_nats, ends=None)  # of the same pairs of a datum and a time
    gain = a.bound_bits - b.bound_bits
    return _Pair(len(x0), a.bound_bits, a.standard_error_bits, b.bound_bits, gain, difference.standard_error_bits)
