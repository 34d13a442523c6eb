"""Signals in wide random networks: the mean field theory of Poole et al. (NIPS 2016) and Schoenholz et al. (ICLR 2017).

In a fully connected network with weights N(0, σ_w²/width) and biases N(0, σ_b²), the mean square q of the pre-activations and the
correlation c of two inputs follow from layer to layer

    q ← σ_w² E[φ(√q z)²] + σ_b²,    c ← (σ_w² E[φ(u₁) φ(u₂)] + σ_b²)/q*,    z, u Gaussian.

Small differences between inputs, and gradients, grow or shrink by χ₁ = σ_w² E[φ'(√q* z)²] per layer: χ₁ = 1 is the edge of chaos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

REACH = 9.0  # standard deviations that an integral covers on each side: outside lies 2e-19
PANELS, NODES = 60, 10  # of Gauss-Legendre quadrature, which resolves kinks and steps that Gauss-Hermite nodes miss
FINE_PANELS = 600  # of one-dimensional integrals of functions with kinks or steps
COARSE_PANELS = 20  # of two-dimensional integrals, and of the search for where a root lies
BISECTIONS = 48
LARGEST = 1e8  # a q above which the signal is taken to grow without limit
CLOSE = 1e-6  # of χ₁ to 1, where the two formulas for ξ_c agree
TRAINABLE = 6  # depths up to 6 ξ_c can be trained (Schoenholz et al. 2017)

Activation = str | Callable[[Tensor], Tensor]
Of = Callable[[Tensor], Tensor]


class Known(NamedTuple):
    """An activation φ; where they have closed forms, E[φ(√q z)²] and E[φ'(√q z)²] as functions of q, and E[φ(m + s z)] and E[φ'(m + s z)]
    of means m and a standard deviation s."""

    function: Of
    square: Of | None = None
    slope: Of | None = None
    smoothed: Callable[[Tensor, float], Tensor] | None = None
    smoothed_slope: Callable[[Tensor, float], Tensor] | None = None


def _inside(q: Tensor) -> Tensor:
    """P(|√q z| < 1)."""
    return torch.erf(1 / (2 * q).sqrt())


def _hard_tanh_square(q: Tensor) -> Tensor:
    a = q.rsqrt()
    inside = _inside(q)
    return torch.where(q > 0, q * (inside - 2 * a * _density(a)) + 1 - inside, torch.zeros_like(q))


def _relu_smoothed(m: Tensor, s: float) -> Tensor:
    return m * torch.special.ndtr(m / s) + s * _density(m / s)


def _hard_tanh_smoothed(m: Tensor, s: float) -> Tensor:
    return _relu_smoothed(m + 1, s) - _relu_smoothed(m - 1, s) - 1


def _density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)


ACTIVATIONS: dict[str, Known] = {
    "tanh": Known(torch.tanh),
    "erf": Known(
        torch.erf, lambda q: (2 / math.pi) * torch.asin(2 * q / (1 + 2 * q)), lambda q: (4 / math.pi) / (1 + 4 * q).sqrt()
    ),
    "relu": Known(torch.relu, lambda q: q / 2, lambda q: torch.full_like(q, 0.5), _relu_smoothed, lambda m, s: torch.special.ndtr(m / s)),
    "hard_tanh": Known(
        lambda x: x.clamp(-1, 1), _hard_tanh_square, _inside, _hard_tanh_smoothed,
        lambda m, s: torch.special.ndtr((m + 1) / s) - torch.special.ndtr((m - 1) / s),
    ),
}  # fmt: skip


class FixedPoint(NamedTuple):
    """q* and χ₁ of a network, floats or float64 arrays."""

    q_star: float
    chi_1: float


def known(activation: Activation) -> Known:
    """Return what is known of φ, given by its name or as a function of tensors. Raises ValueError for an unknown name."""
    if callable(activation):
        return Known(activation)
    if activation not in ACTIVATIONS:
        raise ValueError(f"Unknown activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}, or give a function of a tensor.")
    return ACTIVATIONS[activation]


def variance_map(activation: Activation, q: Tensor, sigma_w2: Tensor, sigma_b2: Tensor, panels: int = PANELS) -> Tensor:
    """Return σ_w² E[φ(√q z)²] + σ_b² for float64 tensors of equal shape; ``panels``: of the quadrature."""
    one = known(activation)
    square = one.square(q) if one.square else _mean(lambda x: one.function(x).square(), q, panels)
    return sigma_w2 * square + sigma_b2


def susceptibility(activation: Activation, q: Tensor, sigma_w2: Tensor) -> Tensor:
    """Return χ₁ = σ_w² E[φ'(√q z)²] for float64 tensors of equal shape."""
    one = known(activation)
    return sigma_w2 * (one.slope(q) if one.slope else _mean(lambda x: _derivative(activation, x).square(), q))


def fixed_point(activation: Activation, sigma_w2: float, sigma_b2: float) -> FixedPoint:
    """Return q*, the stable fixed point of the variance map, and χ₁ there; infinity and χ₁ in its limit where q grows without limit.

    Raises ValueError for an unknown activation or negative variances.
    """
    if not (sigma_w2 >= 0 and sigma_b2 >= 0):
        raise ValueError(f"The variances must be at least 0, not σ_w² = {sigma_w2:g} and σ_b² = {sigma_b2:g}.")
    q, chi = fixed_points(activation, torch.tensor([sigma_w2], dtype=torch.float64), torch.tensor([sigma_b2], dtype=torch.float64))
    return FixedPoint(float(q), float(chi))


def fixed_points(activation: Activation, sigma_w2: Tensor, sigma_b2: Tensor) -> tuple[Tensor, Tensor]:
    """Return q* and χ₁ for tensors of variances of equal shape, float64: the largest root of q = V(q), by bisection."""
    w, b = sigma_w2.double(), sigma_b2.double()

    def excess(q: Tensor, panels: int = PANELS) -> Tensor:
        return variance_map(activation, q, w, b, panels) - q

    # from above: the first power of two at which the map shrinks q, then the last one below at which it does not
    high = torch.full_like(w, LARGEST)
    low = torch.zeros_like(w)
    found = torch.zeros_like(w, dtype=torch.bool)
    for exponent in range(26, -60, -1):
        q = torch.full_like(w, 2.0**exponent)
        grows = excess(q, COARSE_PANELS) >= 0
        low = torch.where(grows & ~found, q, low)
        found |= grows
        high = torch.where(~grows & ~found, q, high)
        if bool(found.all()):
            break
    unlimited = high >= LARGEST
    low, high = low / 2, high * 2  # the coarse integrals may have missed the root by a little
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        grows = excess(middle) >= 0
        low, high = torch.where(grows, middle, low), torch.where(grows, high, middle)
    q = torch.where(found, (low + high) / 2, torch.zeros_like(w))
    chi = susceptibility(activation, torch.where(unlimited, torch.full_like(q, LARGEST), q), w)
    return torch.where(unlimited, torch.full_like(q, math.inf), q), chi


def critical_sigma_w2(activation: Activation, sigma_b2: float) -> float:
    """Return the σ_w² at which χ₁ = 1 for this σ_b²: the edge of chaos. Raises ValueError where there is none up to 100."""

    def above(sigma_w2: float) -> float:
        return fixed_point(activation, sigma_w2, sigma_b2).chi_1 - 1

    grid = np.geomspace(0.05, 100, 60)
    values = [above(w) for w in grid]
    for left, right, a, b in zip(grid, grid[1:], values, values[1:]):
        if a < 0 <= b:
            return float(brentq(above, left, right, xtol=1e-12, rtol=1e-12))
    raise ValueError(f"χ₁ does not cross 1 for σ_w² up to 100 at σ_b² = {sigma_b2:g}.")


def correlation_map(activation: Activation, c: Tensor, q_star: float, sigma_w2: float, sigma_b2: float) -> Tensor:
    """Return the correlation after a layer of inputs with correlation c, float64 as c, at the fixed point q* > 0."""
    one, root, c = known(activation), math.sqrt(q_star), c.double().clamp(-1, 1)
    out = [_mean_product(one.function, one.smoothed, root, float(value)) for value in c.flatten()]
    return (sigma_w2 * torch.tensor(out, dtype=torch.float64).view_as(c) + sigma_b2) / q_star


class DepthScales(NamedTuple):
    """ξ_q and ξ_c in layers, the fixed point c* of the correlation, and the depth to which such a network can be trained."""

    xi_q: float
    xi_c: float
    c_star: float
    trainable_depth: float


def depth_scales(activation: Activation, sigma_w2: float, sigma_b2: float) -> DepthScales:
    """Return the scales −1/log χ over which q and c forget their start; infinity at the edge of chaos, NaN without a fixed point q* > 0.

    χ of q is the slope of the variance map at q*; that of c is the slope σ_w² E[φ'(u₁) φ'(u₂)] at c*, which is χ₁ where c* = 1.
    """
    q, chi = fixed_point(activation, sigma_w2, sigma_b2)
    if not 0 < q < math.inf:
        return DepthScales(math.nan, math.nan, math.nan, math.nan)
    w, b = torch.tensor([sigma_w2], dtype=torch.float64), torch.tensor([sigma_b2], dtype=torch.float64)
    step = 1e-4 * q
    ends = [variance_map(activation, torch.tensor([q + s], dtype=torch.float64), w, b) for s in (step, -step)]
    slope = float(ends[0] - ends[1]) / (2 * step)
    c_star = 1.0
    if chi > 1 + CLOSE:  # chaotic: the correlation of different inputs falls to a fixed point below 1
        for end in (1e-7, 1e-5, 1e-3):  # near 1 the integral of an activation with kinks is too coarse to tell the sign
            if _excess_correlation(activation, 1 - end, q, sigma_w2, sigma_b2) < 0:
                excess = partial(_excess_correlation, activation, q=q, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
                c_star = brentq(excess, 0, 1 - end, xtol=1e-13) if excess(0.0) > 0 else 0.0  # 0: odd φ, no biases
                break
    at = chi if c_star == 1.0 else _slope_of_correlation(activation, c_star, q, sigma_w2)
    return DepthScales(_scale(slope), _scale(at), c_star, TRAINABLE * _scale(at))


def _excess_correlation(activation: Activation, c: float, q: float, sigma_w2: float, sigma_b2: float) -> float:
    return float(correlation_map(activation, torch.tensor([c], dtype=torch.float64), q, sigma_w2, sigma_b2)) - c


def _scale(chi: float) -> float:
    chi = abs(chi)  # at 0 everything is forgotten in one layer
    return 0.0 if chi == 0 else math.inf if abs(chi - 1) < 1e-12 else abs(1 / math.log(chi))


def _slope_of_correlation(activation: Activation, c: float, q: float, sigma_w2: float) -> float:
    derivative = partial(_derivative, activation)
    return sigma_w2 * _mean_product(derivative, known(activation).smoothed_slope, math.sqrt(q), c)


def _mean_product(function: Of, smoothed: Callable[[Tensor, float], Tensor] | None, root: float, c: float) -> float:
    """E[f(u₁) f(u₂)] for Gaussian u with standard deviation ``root`` and correlation c; ``smoothed``: E[f(m + s z)], if known."""
    rest = math.sqrt(max(1 - c**2, 1e-24))
    if smoothed is None:
        z, weights = _nodes(COARSE_PANELS)
        return float((weights * function(root * z)) @ function(root * (c * z[:, None] + rest * z[None])) @ weights)
    z, weights = _nodes(FINE_PANELS)
    return float((weights * function(root * z)) @ smoothed(root * c * z, root * rest))


def _mean(function: Of, q: Tensor, panels: int = PANELS) -> Tensor:
    """E[f(√q z)], float64 as q."""
    z, weights = _nodes(panels)
    return function(q.double().sqrt()[..., None] * z) @ weights


def _derivative(activation: Activation, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(known(activation).function(x).sum(), x)
    return slope


@cache
def _nodes(panels: int) -> tuple[Tensor, Tensor]:
    """Nodes z and weights of E[f(z)] for a standard normal z, float64; a panel begins at 0, where many activations have a kink."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(-REACH, REACH, 2 * (panels // 2) + 1)
    half = (edges[1] - edges[0]) / 2
    z = torch.from_numpy((edges[:-1, None] + half * (x + 1)).ravel())
    return z, torch.from_numpy(np.tile(half * w, len(edges) - 1)) * torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
