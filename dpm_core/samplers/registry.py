"""The registry of samplers. A new sampler is a new file in this folder with a function decorated by ``@sampler``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dpm_core.process import Step


@dataclass(frozen=True)
class Sampler:
    """A registered sampler: call it with (model, diffusion, shape or x⁽ᵀ⁾, steps=…, generator=…).

    ``options`` are the names of further keyword arguments, such as "eta" of DDIM. ``network_calls`` maps a number of steps to the number
    of network evaluations.
    """

    name: str
    title: str
    function: Callable[..., Iterator[Step]]
    options: tuple[str, ...] = ()
    network_calls: Callable[[int], int] = lambda steps: steps

    def __call__(self, *args: Any, **options: Any) -> Iterator[Step]:
        """Return a generator of the steps from t = T down to 0."""
        return self.function(*args, **options)


SAMPLERS: dict[str, Sampler] = {}


def sampler(name: str, title: str, options: tuple[str, ...] = (), network_calls: Callable[[int], int] = lambda steps: steps):
    """Return a decorator that registers a function in SAMPLERS."""

    def register(function: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
        SAMPLERS[name] = Sampler(name, title, function, options, network_calls)
        return function

    return register
