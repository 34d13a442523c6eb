"""Factors r(x) that a model is multiplied by, and what they make of a reverse step (section 2.5 of the paper).

p̃(x⁽⁰⁾) ∝ p(x⁽⁰⁾) r(x⁽⁰⁾) is sampled by multiplying every reverse step by r at that step's time. The paper keeps
r(x⁽ᵗ⁾) = r(x⁽⁰⁾); :class:`Annealed` raises it to (T−t)/T. Both are approximations: the r(x⁽ᵗ⁾) for which the chain
ends in p̃ is E[r(X⁽⁰⁾)|x⁽ᵗ⁾], see :func:`dpm_core.posterior.tilted`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.process import Chain, Kernel


class FactorError(ValueError):
    """A factor that cannot be multiplied by: of another shape than x, of no width, or zero wherever it is looked at."""


class Factor(Protocol):
    """A non-negative function r of x ``[n, ...]``, over each datum by itself."""

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """p(x⁽ᵗ⁾) r(x⁽ᵗ⁾)/Z, or the one nearest to it that is independent over x's elements; p of shape ``[n, ...]``."""
        ...

    def power(self, exponent: float) -> Factor:
        """rᵉˣᵖᵒⁿᵉⁿᵗ for an exponent above 0."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x) in nats up to a constant, ``[n]``; −∞ where r is 0."""
        ...


def condition(kernel: Kernel, factor: Factor | None, t: int) -> Kernel:
    """The distribution ``kernel`` of x⁽ᵗ⁾ times r at that time, normalised: of the same kind and shape ``[n, ...]``.

    For a reverse step p(x⁽ˢ⁾|x⁽ᵗ⁾) the time is s. Exact for :class:`Inpaint`, :class:`GaussianObservation` and
    :class:`BitOdds`, to first order in the kernel's variance for :class:`Potential` (Eq. 61). Without a factor it is
    the kernel itself.
    """
    return kernel if factor is None else factor.multiply(kernel, t)


class Inpaint:
    """A delta on the known coordinates: r(x) = δ(x_known − known).

    ``mask``: bool, True where x is *missing*, of x's shape without the batch, or one that broadcasts to it;
    ``known``: values there, which are ignored where missing. With ``diffusion`` the known coordinates take noise of
    level t, N(√ᾱ_t known, 1−ᾱ_t), as x⁽ᵗ⁾ of the data would have; without they stay noise-free at every t, as in the
    paper's code. At t = 0 both are the known values themselves.
    """

    def __init__(self, mask: Tensor, known: Tensor, diffusion: Chain | None = None):
        try:
            torch.broadcast_shapes(mask.shape, known.shape)
        except RuntimeError:
            raise FactorError(f"The mask {tuple(mask.shape)} does not fit what is known, {tuple(known.shape)}.") from None
        self.mask, self.known, self.diffusion = mask.bool(), known, diffusion

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Known coordinates replaced, the missing ones untouched: p's coordinates are independent. Bits are clamped likewise."""
        _same_shape(p, self.mask, self.known)
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
        """Itself: a delta stays one."""
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """0 where all known coordinates are as they should be, else −∞."""
        same = (self.mask | (x == self.known)).flatten(1).all(1)
        return torch.where(same, 0.0, -math.inf).to(x)

    def paste(self, x: Tensor) -> Tensor:
        """x with its known coordinates put in place, exactly."""
        return torch.where(self.mask.to(x.device), x, self.known.to(x))


class GaussianObservation:
    """r(x) = N(y; x, σ²): x was seen as y with noise of standard deviation ``sigma``; both broadcast to x ``[n, ...]``."""

    def __init__(self, y: Tensor, sigma: float | Tensor):
        self.y, self.sigma = y, torch.as_tensor(sigma, dtype=y.dtype)
        if not bool((self.sigma > 0).all()):
            raise FactorError("The observation's σ must be positive; what is known exactly takes Inpaint.")

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """The product of two Gaussians: precisions add, means are averaged by them. Exact. Raises FactorError for bits."""
        if isinstance(p, Bernoulli):
            raise FactorError("Bits are not seen through Gaussian noise; give each bit its odds with BitOdds.")
        _same_shape(p, self.y, self.sigma)
        y, observed, own = self.y.to(p.mean), self.sigma.to(p.mean).square(), p.variance
        total = observed + own
        return Normal((p.mean * observed + y * own) / total, (own * observed / total).sqrt(), validate_args=False)

    def power(self, exponent: float) -> GaussianObservation:
        """σ² divided by the exponent."""
        return GaussianObservation(self.y, self.sigma / math.sqrt(exponent))

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(y; x, σ²) up to its constant, ``[n]``."""
        return -0.5 * ((self.y.to(x) - x) / self.sigma.to(x)).square().flatten(1).sum(1)


class Potential:
    """Any smooth positive r, given as ``log_r``: x ``[n, ...]`` → ``[n]`` in nats, differentiable by autograd."""

    def __init__(self, log_r: Callable[[Tensor], Tensor]):
        self.log_r = log_r

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """The mean shifts by f_Σ ∂log r/∂x, taken at the mean (Eq. 61); the variance stays. Of bits the log odds shift by ∂log r/∂x."""
        slope = self.gradient(p.mean)
        if isinstance(p, Bernoulli):
            return Bernoulli(torch.sigmoid(torch.logit(p.probs) + slope), validate_args=False)
        return Normal(p.mean + p.variance * slope, p.stddev, validate_args=False)

    def gradient(self, x: Tensor) -> Tensor:
        """∂log r/∂x, shaped as x. Raises FactorError where it is not finite."""
        with torch.inference_mode(False), torch.enable_grad():
            at = x.detach().clone().requires_grad_(True)  # samplers work in inference mode, whose tensors take no gradients
            (slope,) = torch.autograd.grad(self.log_r(at).sum(), at)
        if not bool(slope.isfinite().all()):
            raise FactorError("r has no finite slope at some of the samples; r must be positive and smooth.")
        return slope

    def power(self, exponent: float) -> Potential:
        """log r times the exponent."""
        return Potential(lambda x: exponent * self.log_r(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x), ``[n]``."""
        return self.log_r(x)


class BitOdds:
    """r(x) = ∏ d_i^(x_i) (1−d_i)^(1−x_i): each bit i is a 1 with odds d_i : 1−d_i, as far as r is concerned.

    ``d``: probabilities that broadcast to x ``[n, ...]``, 0 and 1 for bits that are known; ½ says nothing.
    """

    def __init__(self, d: Tensor):
        if not bool(((d >= 0) & (d <= 1)).all()):
            raise FactorError("The odds of a bit are given as a probability between 0 and 1.")
        self.d = d

    def multiply(self, p: Kernel, t: int) -> Bernoulli:
        """B(c·d/(c·d + (1−c)(1−d))), the paper's perturbed flip rate; exact. Raises FactorError where p and r exclude each other."""
        if not isinstance(p, Bernoulli):
            raise FactorError("BitOdds are for bits; points take GaussianObservation or Potential.")
        _same_shape(p, self.d)
        d = self.d.to(p.mean)
        one, zero = p.probs * d, (1 - p.probs) * (1 - d)
        if not bool((one + zero > 0).all()):
            raise FactorError("Some bits must be what the model says they cannot be.")
        return Bernoulli(one / (one + zero), validate_args=False)

    def power(self, exponent: float) -> BitOdds:
        """The odds to the exponent."""
        one, zero = self.d**exponent, (1 - self.d) ** exponent
        return BitOdds(one / (one + zero))

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x), ``[n]``."""
        d = self.d.to(x)
        return (torch.special.xlogy(x, d) + torch.special.xlog1py(1 - x, -d)).flatten(1).sum(1)


class Product:
    """Several factors at once. Deltas are applied last, so that nothing moves what is known."""

    def __init__(self, factors: Sequence[Factor]):
        self.factors = sorted(factors, key=lambda factor: isinstance(factor, Inpaint))

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """One factor after the other: exact where each is."""
        for factor in self.factors:
            p = factor.multiply(p, t)
        return p

    def power(self, exponent: float) -> Product:
        """Each factor to the exponent."""
        return Product([factor.power(exponent) for factor in self.factors])

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum of all log r, ``[n]``."""
        return sum((factor.log_prob(x) for factor in self.factors), torch.zeros(len(x), dtype=x.dtype, device=x.device))


class Annealed:
    """r to the power (T−t)/T: nothing of it at t = T, all of it at t = 0 (section 2.5's second choice)."""

    def __init__(self, factor: Factor, T: int):
        self.factor, self.T = factor, T

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """p times r^((T−t)/T)."""
        share = (self.T - t) / self.T
        return self.factor.power(share).multiply(p, t) if share > 0 else p

    def power(self, exponent: float) -> Annealed:
        """The annealed power."""
        return Annealed(self.factor.power(exponent), self.T)

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x) at t = 0, ``[n]``."""
        return self.factor.log_prob(x)


def _same_shape(p: Kernel, *parts: Tensor) -> None:
    shape = p.mean.shape
    for part in parts:
        try:
            fits = torch.broadcast_shapes(part.shape, shape) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise FactorError(f"A factor of shape {tuple(part.shape)} does not fit data of shape {tuple(shape[1:])}.")
