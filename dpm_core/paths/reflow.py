"""Rectified flow: train once more on the pairs (noise, data) that a flow connects, and its lines become nearly straight."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from dpm_core.config import NetworkConfig
from dpm_core.paths.flows import diffusion_of
from dpm_core.reverse import ReverseModel, build_model

TABLE, BATCH, RATE = 1000, 512, 4e-3


def straighten(
    noise: Tensor,
    ends: Tensor,
    steps: int = 1500,
    network: NetworkConfig | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> ReverseModel:
    """Return a model of the straight path from ``noise`` to ``ends``, both ``[n, ...]``, matched row by row (Liu et al. 2023).

    It predicts E[x⁽⁰⁾|x_s] for the given pairs instead of independent ones, with the flow-matching loss, AdamW and a cosine decay; use it
    with :func:`flow` on the path "line". Its variance is not trained. Raises ValueError for unequal shapes.
    """
    if noise.shape != ends.shape:
        raise ValueError(f"Every start needs its end: there are {list(noise.shape)} and {list(ends.shape)}.")
    diffusion = diffusion_of("line", TABLE)
    model = build_model(network or NetworkConfig("mlp"), diffusion, tuple(ends.shape[1:]), seed)
    generator = torch.Generator().manual_seed(seed)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    optimiser = torch.optim.AdamW(model.parameters(), RATE)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for done in range(steps):
        rows = torch.randint(len(ends), (BATCH,), generator=generator)
        t = 1 + torch.randint(TABLE, (BATCH,), generator=generator)
        s = (t / TABLE).view(-1, *[1] * (ends.ndim - 1))
        x = ((1 - s) * ends[rows] + s * noise[rows]) / ((1 - s).square() + s.square()).sqrt()
        mean, _ = model.x0_posterior(x, t)
        loss = ((mean - ends[rows]) / s.clamp(min=0.02)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
        average.update_parameters(model)
        if progress is not None and done % 25 == 24:
            progress((done + 1) / steps)
    return cast(ReverseModel, average.module.eval())
