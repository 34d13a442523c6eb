"""The samplers by name. A new one is a new file in this folder with a function under ``@sampler``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dpm_core.process import Step


@dataclass(frozen=True)
class Sampler:
    """A sampler as a person chooses it: call it with (model, diffusion, shape or x⁽ᵀ⁾, steps=…, generator=…).

    ``options`` names the keyword arguments that it takes besides, such as DDIM's "eta". ``network_calls`` counts the evaluations
    of the network in a number of steps.
    """

    name: str
    title: str
    function: Callable[..., Iterator[Step]]
    options: tuple[str, ...] = ()
    network_calls: Callable[[int], int] = lambda steps: steps

    def __call__(self, *args: Any, **options: Any) -> Iterator[Step]:
        """The steps from t = T down to 0."""
        return self.function(*args, **options)


SAMPLERS: dict[str, Sampler] = {}


def sampler(name: str, title: str, options: tuple[str, ...] = (), network_calls: Callable[[int], int] = lambda steps: steps):
    """Enter the decorated function in SAMPLERS."""

    def register(function: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
        SAMPLERS[name] = Sampler(name, title, function, options, network_calls)
        return function

    return register
