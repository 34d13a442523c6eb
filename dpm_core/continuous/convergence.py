"""How fast a solver converges: its error against a reference with many steps, over the number of network calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.continuous.equations import Field, time_grid
from dpm_core.continuous.solvers import SOLVERS, integrate
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel

FREQUENCIES = (0.7, 1.4, 2.1)  # of the test functions of the weak error, per standard deviation


class Convergence(NamedTuple):
    """``calls`` of the model and, for each, the two errors; ``slopes`` of both in log-log, each with its standard error.

    ``paths``: median distance to the reference from the same start and the same Brownian motion. ``weak``: root mean square
    error of the means of test functions (1, second moments, waves), which is about the distribution alone.
    """

    calls: list[int]
    paths: list[float]
    weak: list[float]
    slopes: tuple[tuple[float, float], tuple[float, float]]


class Reference(NamedTuple):
    """An accurate solution: its ``times``, the ``noises`` of its steps (None for the ODE), where it starts and where it ends.

    ``model`` and ``diffusion`` are those it belongs to.
    """

    model: ReverseKernel
    diffusion: GaussianDiffusion
    noise_level: float
    times: list[int]
    noises: Tensor | None
    start: Tensor
    end: Tensor


def solve_reference(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    x: Tensor,
    steps: int = 512,
    *,
    noise_level: float = 0.0,
    generator: torch.Generator | None = None,
) -> Reference:
    """Return the solution by ``steps`` Heun steps for particles x ``[n, ...]`` at the first time, in float64. Raises ValueError."""
    times, x = time_grid(diffusion, steps), x.double()
    noises = torch.randn(steps, *x.shape, generator=generator, dtype=torch.float64) if noise_level > 0 else None
    end = _end(model, diffusion, x, times, "heun", noise_level, noises)
    return Reference(model, diffusion, noise_level, times, noises, x, end)


def convergence(reference: Reference, method: str, counts: Sequence[int], fitted: int = 4) -> Convergence:
    """Return the errors of a solver with each number of steps in ``counts``, all divisors of the reference's.

    A step of the solver gets the Brownian increments of the reference's steps that it replaces. Slopes are fitted to the last ``fitted``
    counts and are negative. Raises ValueError where a count does not divide, and for a solver whose noise is not the Brownian motion's.
    """
    many, kappa = len(reference.times) - 1, reference.noise_level
    if wrong := [count for count in counts if many % count]:
        raise ValueError(f"{wrong[0]} steps do not divide the {many} of the reference.")
    if kappa > 0 and not SOLVERS[method].follows_noise:
        raise ValueError(f"{SOLVERS[method].title} draws noise of its own, so its paths have no reference; compare distributions.")
    field = Field(reference.model, reference.diffusion)
    durations = torch.tensor([field.duration(t, s) for t, s in pairwise(reference.times)], dtype=torch.float64)
    shape = (-1, *[1] * reference.start.ndim)
    calls, paths, weak = [], [], []
    for count in counts:
        noises = None
        if reference.noises is not None:
            increments = (reference.noises * durations.sqrt().view(shape)).view(count, many // count, *reference.start.shape).sum(1)
            noises = increments / durations.view(count, -1).sum(1).sqrt().view(shape)
        times = reference.times[:: many // count]
        found = _end(reference.model, reference.diffusion, reference.start, times, method, kappa, noises)
        calls.append(count * SOLVERS[method].calls)
        paths.append(float((found - reference.end).flatten(1).norm(dim=1).median()))
        weak.append(float((_features(found) - _features(reference.end)).mean(0).square().mean().sqrt()))
    return Convergence(calls, paths, weak, (slope(calls[-fitted:], paths[-fitted:]), slope(calls[-fitted:], weak[-fitted:])))


def slope(calls: Sequence[int], errors: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope of log error over log calls, and its standard error (0 for two points)."""
    x, y = np.log(calls), np.log(np.maximum(errors, 1e-300))
    design = np.stack([x, np.ones_like(x)], 1)
    found, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = float(rest[0]) / (len(x) - 2) if len(x) > 2 and len(rest) else 0.0
    return float(found[0]), math.sqrt(spread / float(np.square(x - x.mean()).sum()))


def _end(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    x: Tensor,
    times: Sequence[int],
    method: str,
    noise_level: float,
    noises: Tensor | None,
) -> Tensor:
    *_, (_, end) = integrate(model, diffusion, x, times, method, noise_level=noise_level, noises=None if noises is None else list(noises))
    return end


def _features(x: Tensor) -> Tensor:
    """Test functions of points ``[n, ...]``: every coordinate, all second moments, and waves along every coordinate, ``[n, k]``."""
    flat = x.flatten(1)[:, :8]
    products = (flat[:, :, None] * flat[:, None]).flatten(1)
    waves = [f(w * flat) for w in FREQUENCIES for f in (torch.sin, torch.cos)]
    return torch.cat([flat, products, *waves], 1)
