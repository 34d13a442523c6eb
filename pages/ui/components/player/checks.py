"""Checks of what a stage is made of. Each failed check raises ValueError with one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

ROLES = ("data", "model", "exact", "noise")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*)\Z")  # ids appear in links


def require(condition: bool, sentence: str) -> None:
    """Raise ValueError with the sentence unless the condition holds."""
    if not condition:
        raise ValueError(sentence)


def one_of(value: str, allowed: Sequence[str], what: str) -> str:
    """Return the value if it is one of the allowed words."""
    require(value in allowed, f"{what} must be one of {', '.join(allowed)}, not {value!r}.")
    return value


def instance_of(value: Any, base: type[Any], what: str) -> None:
    """Require an instance of one of the classes derived from ``base``; the message lists them."""
    kinds: list[type] = base.__subclasses__()
    names = [kind.__name__ for kind in kinds]
    allowed = f"{', '.join(names[:-1])} or {names[-1]}"
    require(isinstance(value, base), f"{what} must be {allowed}, not {type(value).__name__}.")


def identifier(value: str, what: str) -> str:
    """Return the value if it can be used as an id, in links too."""
    require(
        isinstance(value, str) and bool(_IDENTIFIER.match(value)),
        f"{what} {value!r} must be letters, digits, '_' or '-', and not start with '-'.",
    )
    return value


def coordinates(array: Any, ndim: int, what: str, layout: str) -> np.ndarray:
    """Return the array if it has this number of axes, the last one of length 2, and is not empty."""
    array = np.asarray(array)
    require(
        array.ndim == ndim and array.shape[-1] == 2 and array.size > 0,
        f"{what} must have shape {layout}, not {list(array.shape)}.",
    )
    return array


def leading_axes(array: np.ndarray, versioned: bool, frames: int, versions: int, what: str) -> None:
    """Require leading axes [S, F], or [F] where all versions share the array."""
    if versioned:
        require(len(array) == versions, f"{what} has {len(array)} versions but the stage has {versions}.")
    found = array.shape[1 if versioned else 0]
    require(found == frames, f"{what} has {found} frames but the stage has {frames} times.")


def series(values: Any, frames: int, versions: int, what: str) -> list:
    """Return numbers as floats of six significant digits, None where they are not finite, as JSON requires.

    values: [F] or [1]; where the stage has versions, also [S, F] or [S, 1].
    """
    numbers = np.asarray(values, dtype=np.float64)
    if versions and numbers.ndim == 2:
        require(len(numbers) == versions, f"{what} has values for {len(numbers)} versions but the stage has {versions}.")
        return [series(row, frames, 0, what) for row in numbers]
    numbers = numbers.reshape(-1)
    require(len(numbers) in (1, frames), f"{what} needs one value or one for each of {frames} frames, not {len(numbers)}.")
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in numbers.tolist()]
