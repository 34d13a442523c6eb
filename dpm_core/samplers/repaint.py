"""RePaint (Lugmayr et al. 2022): ancestral sampling that goes back up again and again. It needs a factor, so it is in no menu."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.factors import Factor
from dpm_core.process import Chain, Step
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers.steps import timesteps, walk


def repaint_times(T: int, steps: int | None = None, jump: int = 10, resamplings: int = 10) -> list[int]:
    """The times RePaint visits: T … 0, but every ``jump`` steps it goes back up so far, ``resamplings`` − 1 times over.

    Lugmayr et al. 2022, appendix B; 250 steps with jump 10 and 10 resamplings take 2,410 steps down. Raises ValueError
    for a jump or a number of resamplings below 1.
    """
    if jump < 1 or resamplings < 1:
        raise ValueError("RePaint's jump and number of resamplings must be at least 1.")
    times = timesteps(T, steps)  # times[k] with k = steps − i counts what is left to do
    left = len(times) - 1
    again = {i: resamplings - 1 for i in range(0, left - jump, jump)}
    visited = [left]
    while left > 0:
        left -= 1
        visited.append(left)
        if again.get(left, 0) > 0:
            again[left] -= 1
            for _ in range(jump):
                left += 1
                visited.append(left)
    return [times[len(times) - 1 - left] for left in visited]


def repaint(
    model: ReverseKernel,
    diffusion: Chain,
    shape_or_xT: tuple[int, ...] | Tensor,
    factor: Factor,
    *,
    steps: int | None = None,
    jump: int = 10,
    resamplings: int = 10,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Ancestral sampling times a factor that again and again goes back up a little, so that both sides of it can agree.

    With :class:`Inpaint`, give it the diffusion, so that what is known takes noise of level t (Lugmayr et al. 2022); at
    t = 0 it is in place exactly. Model calls: the steps down of :func:`repaint_times`.
    """
    times = repaint_times(diffusion.T, steps, jump, resamplings)
    return walk(model, diffusion, shape_or_xT, times, factor=factor, generator=generator)
