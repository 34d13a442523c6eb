"""Shared by all tests: one thread, seeded noise, and the one reverse kernel that is known by hand."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from dpm_core.process import GaussianDiffusion

torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20150315)


class GaussianReverse:
    """The true reverse process of data N(0, scale²), by conditioning a joint Gaussian; no code of the package's kernels."""

    def __init__(self, diffusion: GaussianDiffusion, scale: float = 1.0):
        self.diffusion, self.scale = diffusion, scale

    def variance(self, t):
        """Var X⁽ᵗ⁾ = ᾱ_t scale² + 1 − ᾱ_t."""
        schedule = self.diffusion.schedule
        return schedule.alpha_bar(t) * self.scale**2 + schedule.noise(t)

    def x0_posterior(self, xt, t):
        alpha_bar = self.diffusion.schedule.alpha_bar(t)
        gain = alpha_bar.sqrt() * self.scale**2 / self.variance(t)
        variance = self.scale**2 * (1 - gain * alpha_bar.sqrt())
        return gain * xt, variance.to(xt) * torch.ones_like(xt)

    def reverse(self, xt, t, s=None):
        s = t - 1 if s is None else s
        alpha = torch.prod(self.diffusion.schedule.alpha(torch.arange(s + 1, t + 1)))
        gain = alpha.sqrt() * self.variance(s) / self.variance(t)
        variance = self.variance(s) * (1 - gain * alpha.sqrt())
        return Normal(gain * xt, (variance.sqrt() * torch.ones_like(xt)).to(xt), validate_args=False)


@pytest.fixture
def gaussian_reverse() -> type[GaussianReverse]:
    return GaussianReverse
