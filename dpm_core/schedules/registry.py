"""The schedules by name, and how to make one of them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dpm_core.schedules.tables import Schedule, ScheduleError


@dataclass(frozen=True)
class NamedSchedule:
    """A schedule as a menu shows it. Called with (T, **params) it gives β_1..β_T, float64 ``[T]``."""

    name: str
    title: str
    function: Callable[..., Tensor]

    def __call__(self, T: int, **params: Any) -> Tensor:
        """β_1..β_T, float64 ``[T]``."""
        return self.function(T, **params)

    @property
    def __wrapped__(self) -> Callable[..., Tensor]:
        """The function itself, whose parameters and defaults :func:`inspect.signature` then finds."""
        return self.function


SCHEDULES: dict[str, NamedSchedule] = {}  # in the order of menus


def schedule(title: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Enter the decorated function (T, **params) → β_1..β_T in SCHEDULES under its own name."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        SCHEDULES[function.__name__] = NamedSchedule(function.__name__, title, function)
        return function

    return register


def make_schedule(name: str, T: int, **params: Any) -> Schedule:
    """The schedule ``name`` with T steps.

    Raises ScheduleError for an unknown name or parameter, T < 2 or β outside (0, 1].
    """
    if name not in SCHEDULES:
        raise ScheduleError(f"Unknown schedule {name!r}; choose one of {', '.join(SCHEDULES)}.")
    try:
        steps = operator.index(T)
    except TypeError:
        steps = 0
    if steps < 2:
        raise ScheduleError(f"T must be a whole number of at least 2, not {T!r}.")
    try:
        betas = SCHEDULES[name](steps, **params)
    except ScheduleError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ScheduleError(f"Schedule {name!r} does not take these parameters: {str(error).splitlines()[0]}.") from None
    return Schedule(betas)
