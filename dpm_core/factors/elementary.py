"""Factors r(x) in closed form: known values, observations, smooth functions, evidence for bits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.factors.base import Factor, FactorError, log_gradient, require_shape, shifted
from dpm_core.process import Chain, Kernel


class Inpaint(Factor):
    """A delta function on the known coordinates: r(x) = δ(x_known − known).

    ``mask``: bool, True where x is *missing*, of x's shape without the batch, or broadcastable to it; ``known``: the values, ignored
    where missing. With ``diffusion``, the known coordinates are noised to level t, N(√ᾱ_t known, 1−ᾱ_t), as x⁽ᵗ⁾ of the data would be;
    without it they are noise-free at every t, as in the paper's code. At t = 0 both give the known values.
    """

    def __init__(self, mask: Tensor, known: Tensor, diffusion: Chain | None = None):
        try:
            torch.broadcast_shapes(mask.shape, known.shape)
        except RuntimeError:
            shapes = f"mask {tuple(mask.shape)}, known values {tuple(known.shape)}"
            raise FactorError(f"The shapes of the mask and of the known values must broadcast, but they are: {shapes}.") from None
        self.mask, self.known, self.diffusion = mask.bool(), known, diffusion

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Replace the known coordinates and leave the missing ones unchanged: p factorises over coordinates. The same holds for bits."""
        require_shape(p, self.mask, self.known)
        known, mask = self.known.to(p.mean), self.mask.to(p.mean.device)
        if isinstance(p, Bernoulli):
            known = known if self.diffusion is None else self.diffusion.q_marginal(known, t).mean
            return Bernoulli(torch.where(mask, p.probs, known), validate_args=False)
        scale = torch.zeros((), dtype=p.mean.dtype, device=p.mean.device)
        if self.diffusion is not None:
            q = self.diffusion.q_marginal(known, t)
            known, scale = q.mean, q.stddev
        return Normal(torch.where(mask, p.mean, known), torch.where(mask, p.stddev, scale), validate_args=False)

    def power(self, exponent: float) -> Inpaint:
        """Return the factor itself: a power of a delta function is a delta function."""
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """0 where all known coordinates have their values, else −∞."""
        same = (self.mask | (x == self.known)).flatten(1).all(1)
        return torch.where(same, 0.0, -math.inf).to(x)

    def paste(self, x: Tensor) -> Tensor:
        """Return x with its known coordinates set to their exact values."""
        return torch.where(self.mask.to(x.device), x, self.known.to(x))


class GaussianObservation(Factor):
    """r(x) = N(y; x, σ²): an observation y of x with noise of standard deviation ``sigma``; both broadcast to x ``[n, ...]``."""

    def __init__(self, y: Tensor, sigma: float | Tensor):
        self.y, self.sigma = y, torch.as_tensor(sigma, dtype=y.dtype)
        if not bool((self.sigma > 0).all()):
            raise FactorError("The observation noise σ must be positive; use Inpaint for values that are known exactly.")

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Return the product of two Gaussians: precisions add, means are averaged by precision. Exact. Raises FactorError for bits."""
        if isinstance(p, Bernoulli):
            raise FactorError("A GaussianObservation does not apply to bits; use BitOdds.")
        require_shape(p, self.y, self.sigma)
        y, observed, prior = self.y.to(p.mean), self.sigma.to(p.mean).square(), p.variance
        total = observed + prior
        return Normal((p.mean * observed + y * prior) / total, (prior * observed / total).sqrt(), validate_args=False)

    def power(self, exponent: float) -> GaussianObservation:
        """Return the factor with σ² divided by the exponent."""
        return GaussianObservation(self.y, self.sigma / math.sqrt(exponent))

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(y; x, σ²) up to a constant, ``[n]``."""
        return -0.5 * ((self.y.to(x) - x) / self.sigma.to(x)).square().flatten(1).sum(1)


class Potential(Factor):
    """Any smooth positive r, given as ``log_r``: x ``[n, ...]`` → ``[n]`` in nats, differentiable by autograd."""

    def __init__(self, log_r: Callable[[Tensor], Tensor]):
        self.log_r = log_r

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Shift the mean by f_Σ ∂log r/∂x, evaluated at the mean (Eq. 61), with unchanged variance; for bits the log odds."""
        return shifted(p, self.gradient(p.mean))

    def gradient(self, x: Tensor) -> Tensor:
        """Return ∂log r/∂x, shaped as x. Raises FactorError where it is not finite."""
        return log_gradient(self.log_r, x)

    def power(self, exponent: float) -> Potential:
        """Return the factor with log r multiplied by the exponent."""
        return Potential(lambda x: exponent * self.log_r(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x), ``[n]``."""
        return self.log_r(x)


class BitOdds(Factor):
    """r(x) = ∏ d_i^(x_i) (1−d_i)^(1−x_i): evidence for each bit i with odds d_i : 1−d_i of being 1.

    ``d``: probabilities that broadcast to x ``[n, ...]``; 0 and 1 fix a bit, ½ carries no information.
    """

    def __init__(self, d: Tensor):
        if not bool(((d >= 0) & (d <= 1)).all()):
            raise FactorError("The values of BitOdds must be probabilities between 0 and 1.")
        self.d = d

    def multiply(self, p: Kernel, t: int) -> Bernoulli:
        """Return B(c·d/(c·d + (1−c)(1−d))), the perturbed flip rate of the paper; exact.

        Raises FactorError where p and r exclude each other, and for points.
        """
        if not isinstance(p, Bernoulli):
            raise FactorError("BitOdds apply to bits only; use GaussianObservation or Potential for points.")
        require_shape(p, self.d)
        d = self.d.to(p.mean)
        one, zero = p.probs * d, (1 - p.probs) * (1 - d)
        if not bool((one + zero > 0).all()):
            raise FactorError("The factor requires values of some bits that have probability 0 under the model.")
        return Bernoulli(one / (one + zero), validate_args=False)

    def power(self, exponent: float) -> BitOdds:
        """Return the factor with the odds raised to the exponent."""
        one, zero = self.d**exponent, (1 - self.d) ** exponent
        return BitOdds(one / (one + zero))

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x), ``[n]``."""
        d = self.d.to(x)
        return (torch.special.xlogy(x, d) + torch.special.xlog1py(1 - x, -d)).flatten(1).sum(1)
