"""RePaint (Lugmayr et al. 2022): ancestral sampling with resampling. It requires a factor, so it is not in SAMPLERS."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.factors import Factor
from dpm_core.process import Chain, Step
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers.steps import timesteps, walk


def repaint_times(T: int, steps: int | None = None, jump: int = 10, resamplings: int = 10) -> list[int]:
    """Return the times that RePaint visits: T … 0, with a jump back up after every ``jump`` steps, ``resamplings`` − 1 times.

    It turns with 1, 1 + jump, 1 + 2 jump, … steps left, never at the data, as in Lugmayr et al. 2022, appendix B (their time −1 is the
    data); 250 steps with jump 10 and 10 resamplings take 2,410 steps down. Raises ValueError for a jump or a
    number of resamplings below 1.
    """
    if jump < 1 or resamplings < 1:
        raise ValueError(f"The jump and the number of resamplings must be at least 1, not {jump} and {resamplings}.")
    times = timesteps(T, steps)  # times[k] has steps − k steps left
    left = len(times) - 1
    jumps_left = {1 + i: resamplings - 1 for i in range(0, left - jump, jump)}
    visited = [left]
    while left > 0:
        left -= 1
        visited.append(left)
        if jumps_left.get(left, 0) > 0:
            jumps_left[left] -= 1
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
    """Ancestral sampling multiplied by a factor, which repeatedly diffuses back by ``jump`` steps so that both can agree.

    Construct an :class:`Inpaint` factor with the diffusion, so that the known values are noised to level t (Lugmayr et al. 2022); at
    t = 0 they are exact. Model calls: the number of steps down in :func:`repaint_times`.
    """
    times = repaint_times(diffusion.T, steps, jump, resamplings)
    return walk(model, diffusion, shape_or_xT, times, factor=factor, generator=generator)
