"""What a reverse kernel p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) is to samplers and bounds.

Every kernel gives the mean and the diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾. For any s < t these two determine the best reverse
step that is independent over x's elements, because the mean of q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) is linear in x⁽⁰⁾: the Gaussian
N(c₀ E[x⁽⁰⁾|x⁽ᵗ⁾] + c_t x⁽ᵗ⁾, β̃ + c₀² Var(x⁽⁰⁾|x⁽ᵗ⁾)) for real data, and for bits the posterior at E[x⁽⁰⁾|x⁽ᵗ⁾].
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dpm_core.process import Chain, Kernel
from dpm_core.schedules import Time


class ReverseKernel(Protocol):
    """What samplers and bounds need of a model."""

    @property
    def diffusion(self) -> Chain:
        """The forward process that it undoes."""
        ...

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt ``[n, ...]``."""
        ...

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), s = t−1 unless given."""
        ...


class FromMoments:
    """Shared by all kernels: reverse steps of any length from the moments of x⁽⁰⁾ given x⁽ᵗ⁾."""

    diffusion: Chain

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        raise NotImplementedError  # each kernel's own knowledge

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), independent over the elements of xt; s = t−1 unless given."""
        return self.diffusion.reverse_step(xt, *self.x0_moments(xt, t), t, s)
