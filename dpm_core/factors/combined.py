"""Factors made of other factors: products, and powers that depend on t."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Normal

from dpm_core.factors.base import Factor
from dpm_core.factors.elementary import Inpaint
from dpm_core.process import Kernel


class Product(Factor):
    """The product of several factors. Delta functions are applied last, so that no other factor changes the known values."""

    def __init__(self, factors: Sequence[Factor]):
        self.factors = sorted(factors, key=lambda factor: isinstance(factor, Inpaint))

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Apply one factor after the other: exact where each of them is."""
        for factor in self.factors:
            p = factor.multiply(p, t)
        return p

    def multiply_x0(self, p: Normal, xt: Tensor, t: int) -> Kernel:
        """Apply one factor after the other."""
        for factor in self.factors:
            p = factor.multiply_x0(p, xt, t)  # type: ignore[assignment]
        return p

    def power(self, exponent: float) -> Product:
        """Return the product with each factor raised to the exponent."""
        return Product([factor.power(exponent) for factor in self.factors])

    def log_prob(self, x: Tensor) -> Tensor:
        """The sum of all log r, ``[n]``."""
        return sum((factor.log_prob(x) for factor in self.factors), torch.zeros(len(x), dtype=x.dtype, device=x.device))


class Annealed(Factor):
    """r to the power (T−t)/T: no effect at t = T, the full factor at t = 0 (the second choice of section 2.5)."""

    def __init__(self, factor: Factor, T: int):
        self.factor, self.T = factor, T

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Return p times r^((T−t)/T), normalised."""
        share = (self.T - t) / self.T
        return self.factor.power(share).multiply(p, t) if share > 0 else p

    def multiply_x0(self, p: Normal, xt: Tensor, t: int) -> Kernel:
        """Return p times r^((T−t)/T), for the time t of x⁽ᵗ⁾."""
        share = (self.T - t) / self.T
        return self.factor.power(share).multiply_x0(p, xt, t) if share > 0 else p

    def power(self, exponent: float) -> Annealed:
        """Return the annealed factor of the power."""
        return Annealed(self.factor.power(exponent), self.T)

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x) at t = 0, ``[n]``."""
        return self.factor.log_prob(x)
