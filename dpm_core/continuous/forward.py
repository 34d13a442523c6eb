"""The forward process in the limit: paths of the chain beside those of the equation, driven by the same Brownian motion."""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.continuous.equations import clock
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import ScheduleError


def forward_paths(
    fine: GaussianDiffusion, coarse: GaussianDiffusion, x0: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return paths of x ``[T + 1, n, ...]`` in the many steps of ``fine`` and in the few of ``coarse``, from the same x⁽⁰⁾ ``[n, ...]``.

    The noise of a coarse step is the Brownian increment over its part of the fine steps, standardised: both chains follow the same
    randomness, and the coarse one has its own β. Raises ScheduleError unless the number of fine steps is a multiple of the coarse.
    """
    if fine.T % coarse.T:
        raise ScheduleError(f"The {fine.T} fine steps cannot be grouped into {coarse.T}; give a number that divides them.")
    group = fine.T // coarse.T
    noises = torch.randn(fine.T, *x0.shape, generator=generator).to(x0)
    small = _path(fine, x0, noises)
    tau = clock(fine.schedule, torch.arange(fine.T + 1)).clamp(max=1e6).to(x0)  # a step to pure noise has infinite duration
    durations = tau.diff().view(-1, *[1] * x0.ndim)
    weighted = (durations.sqrt() * noises).view(coarse.T, group, *x0.shape).sum(1)
    large = _path(coarse, x0, weighted / durations.view(coarse.T, group, *[1] * x0.ndim).sum(1).sqrt())
    return small, large


def _path(diffusion: GaussianDiffusion, x: Tensor, noises: Tensor) -> Tensor:
    path = [x]
    for t, z in enumerate(noises, 1):
        step = diffusion.q_step(path[-1], t)
        path.append(step.mean + step.stddev * z)
    return torch.stack(path)
