"""What a factor r(x) is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.process import Kernel


class FactorError(ValueError):
    """A factor that cannot be applied: wrong shape, non-positive width, or zero at all points where it is evaluated."""


class Factor(Protocol):
    """A non-negative function r of x ``[n, ...]``, applied to each datum independently."""

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Return p(x⁽ᵗ⁾) r(x⁽ᵗ⁾)/Z, or its best approximation that factorises over x's elements; p has shape ``[n, ...]``."""
        ...

    def multiply_x0(self, p: Normal, xt: Tensor, t: int) -> Kernel:
        """Return the distribution p of x⁽⁰⁾ given x⁽ᵗ⁾ times r, for samplers that step by E[x⁽⁰⁾|x⁽ᵗ⁾]; unless stated r of x⁽⁰⁾."""
        return self.multiply(p, 0)

    def power(self, exponent: float) -> Factor:
        """Return r to the power ``exponent`` > 0."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log r(x) in nats up to a constant, ``[n]``; −∞ where r is 0."""
        ...


def condition(kernel: Kernel, factor: Factor | None, t: int) -> Kernel:
    """Return the distribution ``kernel`` of x⁽ᵗ⁾ times r at that time, normalised: same family and shape ``[n, ...]``.

    For a reverse step p(x⁽ˢ⁾|x⁽ᵗ⁾) the time is s. The result is exact for :class:`Inpaint`, :class:`GaussianObservation` and
    :class:`BitOdds`, and of first order in the variance of the kernel for :class:`Potential` (Eq. 61). Without a factor the kernel is
    returned unchanged.
    """
    return kernel if factor is None else factor.multiply(kernel, t)


def shifted(p: Kernel, slope: Tensor) -> Kernel:
    """Return p with its mean shifted by f_Σ ∂log r/∂x, for ``slope`` = ∂log r/∂x at the mean (Eq. 61); bits with shifted log odds."""
    if isinstance(p, Bernoulli):
        return Bernoulli(torch.sigmoid(torch.logit(p.probs) + slope), validate_args=False)
    return Normal(p.mean + p.variance * slope, p.stddev, validate_args=False)


def log_gradient(log_r: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∂log r/∂x, shaped as x ``[n, ...]``, for log_r → ``[n]``. Raises FactorError where it is not finite."""
    with torch.inference_mode(False), torch.enable_grad():
        at = x.detach().clone().requires_grad_(True)  # samplers run in inference mode, whose tensors have no gradients
        (slope,) = torch.autograd.grad(log_r(at).sum(), at)
    if not bool(slope.isfinite().all()):
        raise FactorError("The gradient of log r is not finite at some of the samples; r must be positive and smooth.")
    return slope


def require_shape(p: Kernel, *parts: Tensor) -> None:
    """Raise FactorError unless each of the parts broadcasts to the shape of p."""
    shape = p.mean.shape
    for part in parts:
        try:
            fits = torch.broadcast_shapes(part.shape, shape) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise FactorError(f"The factor has shape {tuple(part.shape)}; it must broadcast to data of shape {tuple(shape[1:])}.")
