"""The interface of a reverse kernel p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾), used by samplers and bounds.

Every kernel computes the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ (``x0_posterior``). For any s < t these two
determine the best reverse step that factorises over x's elements, because the mean of q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) is linear in x⁽⁰⁾: the
Gaussian N(c₀ E[x⁽⁰⁾|x⁽ᵗ⁾] + c_t x⁽ᵗ⁾, β̃ + c₀² Var(x⁽⁰⁾|x⁽ᵗ⁾)) for real data, and q(x⁽ˢ⁾|x⁽ᵗ⁾, E[x⁽⁰⁾|x⁽ᵗ⁾]) for bits.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from dpm_core.process import Chain, Kernel
from dpm_core.schedules import Time


class ReverseKernel(Protocol):
    """The methods that samplers and bounds require of a model."""

    @property
    def diffusion(self) -> Chain:
        """The forward process that the kernel reverses."""
        ...

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt ``[n, ...]``."""
        ...

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """Return p(x⁽ˢ⁾|x⁽ᵗ⁾); by default s = t−1."""
        ...


class AdaptableKernel(ReverseKernel, Protocol):
    """A reverse kernel that is known under other forward processes too."""

    def with_diffusion(self, diffusion: Any) -> ReverseKernel:
        """Return the kernel of the same data, or with the same network, under another forward process."""
        ...


class X0PosteriorKernel:
    """Base class of all kernels: computes reverse steps of any length from the posterior moments of x⁽⁰⁾."""

    diffusion: Chain

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt ``[n, ...]``."""
        raise NotImplementedError

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """Return p(x⁽ˢ⁾|x⁽ᵗ⁾), which factorises over the elements of xt; by default s = t−1."""
        return self.diffusion.reverse_step(xt, *self.x0_posterior(xt, t), t, s)
