"""Ancestral sampling: the sampler of the paper."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.factors import Factor
from dpm_core.process import Chain, Step
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers.registry import sampler
from dpm_core.samplers.steps import timesteps, walk


@sampler("ancestral", "Ancestral")
def ancestral(
    model: ReverseKernel,
    diffusion: Chain,
    shape_or_xT: tuple[int, ...] | Tensor,
    *,
    factor: Factor | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Sample x⁽ˢ⁾ ~ p(x⁽ˢ⁾|x⁽ᵗ⁾) from t = T down to 0 (the sampler of the paper; ``steps`` < T skips times).

    ``shape_or_xT``: the shape ``(n, ...)`` of a sample of π, or x⁽ᵀ⁾ itself. With a ``factor``, π and every reverse step are
    multiplied by it (section 2.5). Model calls: one per step.
    """
    return walk(model, diffusion, shape_or_xT, timesteps(diffusion.T, steps), factor=factor, generator=generator)
