"""The exact classifier of noisy data whose classes are mixtures of Gaussians, or lists of bit patterns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dpm_core.process import Chain
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import Time


class ExactClasses:
    """p(y|x⁽ᵗ⁾) by Bayes' rule, from the exact kernel of each class, whose marginals q(x⁽ᵗ⁾|y) are known.

    ``kernels``: one for each class, all under the same diffusion; ``weights`` ``[K]``: q(y), float64, which add up to 1. Raises ValueError
    unless there is one weight for each.
    """

    def __init__(self, kernels: Sequence[EmpiricalReverse], weights: Tensor):
        if len(kernels) != len(weights) or not kernels:
            raise ValueError(f"There are {len(weights)} class weights for {len(kernels)} classes; give one weight for each class.")
        self.kernels, self.weights, self.classes = list(kernels), weights, len(kernels)
        self.diffusion: Chain = kernels[0].diffusion

    def log_probs(self, xt: Tensor, t: Time) -> Tensor:
        """Return log q(y|x⁽ᵗ⁾) in nats, ``[n, K]``."""
        joint = torch.stack([kernel.log_marginal(xt, t) for kernel in self.kernels], 1)
        return torch.log_softmax(joint + self.weights.log().to(joint), 1)

    def with_diffusion(self, diffusion: Chain) -> ExactClasses:
        """Return the exact classifier of the same data under another forward process."""
        return ExactClasses([kernel.with_diffusion(diffusion) for kernel in self.kernels], self.weights)  # type: ignore[arg-type]
