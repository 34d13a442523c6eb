"""Heavy work of pages as tasks of a Ray cluster: they begin at once, beside the runs, on the node that has most room.

A task asks for no processor of its own: a person waits for it, and a run can wait for it for a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.client import ray as client

from dpm_core.jobs.order import T

NO_MEMORY = "The cluster has too little free memory for this."
OPTIONS: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}


def call(function: Callable[..., T], *args: Any) -> T:
    """``function(*args)``; its own errors are raised, and when the cluster fails it is computed here."""
    try:
        task: Any = ray.remote(_call).options(**OPTIONS)
        return ray.get(task.remote(function, args))
    except RayTaskError as error:
        raise error.cause from None
    except OutOfMemoryError:
        raise MemoryError(NO_MEMORY) from None
    except (RayError, ConnectionError):
        return function(*args)


def stream(function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
    """What ``function(*args)`` yields; its own errors are raised, and when the cluster fails it begins again here.

    A program that reaches the cluster by ray:// computes it itself: Ray has no streams for it.
    """
    if client.is_connected():
        yield from function(*args)
        return
    results: Any = None
    try:
        task: Any = ray.remote(_stream).options(num_returns="streaming", **OPTIONS)
        results = task.remote(function, args)
        for result in results:
            yield ray.get(result)
    except RayTaskError as error:
        raise error.cause from None
    except OutOfMemoryError:
        raise MemoryError(NO_MEMORY) from None
    except GeneratorExit:
        ray.cancel(results)
        raise
    except (RayError, ConnectionError):
        yield from function(*args)


def _call(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    torch.set_num_threads(1)
    return function(*args)


def _stream(function: Callable[..., Iterator[T]], args: tuple[Any, ...]) -> Iterator[T]:
    torch.set_num_threads(1)
    yield from function(*args)
