"""The exact product p(x⁽⁰⁾) r(x⁽⁰⁾)/Z in the plane: its density on a grid, its reverse kernel, and the distance of samples to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dpm_core.factors import Factor, FactorError, Inpaint, Potential, Product
from dpm_core.posterior.tilting import tilted
from dpm_core.reverse import EmpiricalReverse

GRID_HALF_WIDTH = (3.0, 8.0)  # at least that of the plots; as large as the data require, up to a maximum
BIN_WIDTH = {1: 0.125, 2: 0.25}  # of the histogram of samples, by the number of coordinates
MIN_CELLS_PER_BIN = 16  # of the quadrature; cells are also at most half as wide as the data's noise
MIN_EVIDENCE = 1e-12  # below this Z (for r ≤ 1) the product consists of tails of the data only
MAX_TOTAL_VARIATION, MAX_POINTS = 4e-3, 12_000  # of a refined kernel: distance to the product, number of points
DROPPED_MASS = 3e-4  # total probability of the points of smallest weight, which are dropped


@dataclass(frozen=True, eq=False)
class ExactProduct:
    """The density p·r/Z by quadrature.

    ``axis`` ``[m]``: centres of even cells. ``density``: at these, ``[m, m]`` (rows: second coordinate), or ``[m]`` over the missing
    coordinate where the other one is known. ``coordinates``: the indices of x that the density covers. ``evidence``: Z = ∫ p r, or
    p(x = c). ``cells``: the number of cells along a bin.
    """

    axis: np.ndarray
    density: np.ndarray
    coordinates: tuple[int, ...]
    evidence: float
    cells: int

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges of the bins along each coordinate, ``[B + 1]``."""
        step = self.axis[1] - self.axis[0]
        return np.linspace(self.axis[0] - step / 2, self.axis[-1] + step / 2, len(self.axis) // self.cells + 1)

    @cached_property
    def bin_probabilities(self) -> np.ndarray:
        """The probability of each bin, ``[B]`` or ``[B·B]``, followed by the probability outside all bins."""
        bins, dims = len(self.axis) // self.cells, self.density.ndim
        mass = self.density * (self.axis[1] - self.axis[0]) ** dims
        inside = mass.reshape([bins, self.cells] * dims).sum(tuple(range(1, 2 * dims, 2))).ravel()
        return np.append(inside, max(0.0, 1 - inside.sum()))

    def counts(self, x: np.ndarray) -> np.ndarray:
        """Return how many of x ``[n, 2]`` lie in each bin, in the order of ``bin_probabilities``; non-finite points count as outside."""
        edges = self.edges
        bins = len(edges) - 1
        with np.errstate(invalid="ignore"):
            place = np.floor((x[:, self.coordinates] - edges[0]) / (edges[1] - edges[0]))
            outside = ~((place >= 0) & (place < bins)).all(1)
        place = np.where(outside[:, None], 0, place).astype(int)
        flat = place @ np.array([1, bins])[: len(self.coordinates)]
        return np.bincount(np.where(outside, bins ** len(self.coordinates), flat), minlength=bins ** len(self.coordinates) + 1)

    def total_variation(self, x: np.ndarray) -> float:
        """Return ½ Σ |fraction of the samples − probability| over all bins, for x ``[n, 2]``."""
        return float(0.5 * np.abs(self.counts(x) / len(x) - self.bin_probabilities).sum())

    def total_variation_error(self, x: np.ndarray, draws: int = 200, seed: int = 0) -> float:
        """Return the standard deviation of ``total_variation`` over repetitions of x ``[n, 2]``, by a parametric bootstrap.

        The repetitions are drawn from probabilities between the exact ones and the fractions of x. Those fractions alone would count
        their own noise twice: where the samples follow the product itself, the deviation would come out a quarter too large.
        """
        n, exact = len(x), self.bin_probabilities / self.bin_probabilities.sum()
        found = self.counts(x) / n
        deviation = np.square(found - exact).sum()
        noise = (found * (1 - found)).sum() / n  # the part of the deviation that n samples have by chance
        between = exact + math.sqrt(max(0.0, 1 - noise / deviation)) * (found - exact) if deviation > 0 else exact
        drawn = np.random.default_rng(seed).multinomial(n, between / between.sum(), draws) / n
        return float((0.5 * np.abs(drawn - self.bin_probabilities).sum(1)).std(ddof=1))

    def monte_carlo_floor(self, n: int, draws: int = 200, seed: int = 0) -> tuple[float, float]:
        """Return the mean and standard deviation of ``total_variation`` for n independent samples of the product itself.

        No sampler can be expected to be closer than this.
        """
        drawn = np.random.default_rng(seed).multinomial(n, self.bin_probabilities / self.bin_probabilities.sum(), draws) / n
        distances = 0.5 * np.abs(drawn - self.bin_probabilities).sum(1)
        return float(distances.mean()), float(distances.std(ddof=1))


def exact_product(kernel: EmpiricalReverse, factor: Factor) -> ExactProduct:
    """Return the product of the density of ``kernel`` (points in the plane, blurred) and r ≤ 1, on a grid.

    For an :class:`Inpaint` with one known coordinate it is the conditional density of the other coordinate. Raises FactorError where r
    is zero wherever the data are, and for points without noise.
    """
    if not kernel.noise > 0:
        raise FactorError("Points without noise have no density to multiply; build the kernel with noise > 0.")
    known = [i for i in range(2) if isinstance(factor, Inpaint) and not bool(factor.mask[i])]
    if isinstance(factor, Inpaint) and len(known) != 1:
        raise FactorError(f"Exactly one of the two coordinates must be known, not {len(known)}.")
    coordinates = tuple(i for i in range(2) if i not in known)
    width = BIN_WIDTH[len(coordinates)]
    reach = min(max(GRID_HALF_WIDTH[0], float(kernel.data.abs().max()) + 5 * kernel.noise), GRID_HALF_WIDTH[1])
    bins, cells = 2 * math.ceil(reach / width), max(MIN_CELLS_PER_BIN, math.ceil(2 * width / kernel.noise))
    step = width / cells
    axis = (torch.arange(bins * cells, dtype=torch.float64) + 0.5 - bins * cells / 2) * step
    if isinstance(factor, Inpaint):
        value = float(factor.known[known[0]])
        x = torch.stack([axis if i in coordinates else torch.full_like(axis, value) for i in range(2)], 1)
        density = kernel.log_marginal(x, 0).exp()
        low, high = (float(end) for end in (kernel.data[:, known[0]].min(), kernel.data[:, known[0]].max()))
        sentence = f"No data near {value:g} in this coordinate: choose a value between {low:.2f} and {high:.2f}.".replace("-", "−")
    else:
        x = torch.cartesian_prod(axis, axis).flip(1)
        density = kernel.marginal_on_grid(axis, 0) * factor.log_prob(x).exp().view(len(axis), -1)
        sentence = "r is zero wherever the data are; move r or make it wider."
    evidence = float(density.sum()) * step ** len(coordinates)
    if not evidence > MIN_EVIDENCE:
        raise FactorError(sentence)
    return ExactProduct(axis.numpy(), (density / evidence).numpy(), coordinates, evidence, cells)


def exact_kernel(kernel: EmpiricalReverse, factor: Factor, product: ExactProduct) -> EmpiricalReverse:
    """Return the reverse kernel of the product: sampling it multiplies every step by r_t(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾].

    Known values and observations have a closed form, see :func:`tilted`. For a :class:`Potential`, alone or in a product, every
    Gaussian of the mixture is replaced by one of equal width with the mass and the mean of its product with r. Where r varies within
    that width, the mixture is first written with narrower Gaussians on a lattice, until the result is within MAX_TOTAL_VARIATION of the
    product or would need more than MAX_POINTS points.
    """
    parts = factor.factors if isinstance(factor, Product) else [factor]
    if closed := [part for part in parts if not isinstance(part, Potential)]:
        kernel = tilted(kernel, Product(closed))
    potentials = [part for part in parts if isinstance(part, Potential)]
    if not potentials:
        return kernel
    factor = Product(potentials)
    axis, step = torch.from_numpy(product.axis), float(product.axis[1] - product.axis[0])
    best, best_gap = kernel, math.inf
    for halvings in range(10):
        s = kernel.noise * 2 ** (-halvings / 2)
        points, weights = _reweighted(*_refined(kernel, s, float(axis[-1])), s, factor)
        if halvings and len(points) > MAX_POINTS:
            break
        tried = EmpiricalReverse(points, kernel.diffusion, s, weights)
        gap = 0.5 * float(np.abs(tried.marginal_on_grid(axis, 0).numpy() - product.density).sum()) * step**2
        if gap < best_gap:
            best, best_gap = tried, gap
        if gap < MAX_TOTAL_VARIATION:
            break
    return best


def _reweighted(points: Tensor, log_weights: Tensor, s: float, factor: Factor) -> tuple[Tensor, Tensor]:
    """Centres and weights of Gaussians of width s multiplied by r, by Gauss–Hermite quadrature around each centre.

    The points of smallest weight are dropped.
    """
    nodes, shares = np.polynomial.hermite_e.hermegauss(5)
    q = torch.cartesian_prod(*[torch.from_numpy(nodes)] * 2)
    log_shares = torch.from_numpy(np.log(np.outer(shares, shares).ravel() / (2 * math.pi)))
    x = points[:, None, :] + s * q
    log_r = factor.log_prob(x.reshape(-1, 2)).view(len(points), -1) + log_shares
    weights = torch.softmax(log_weights + log_r.logsumexp(1), 0)
    centres = (torch.softmax(log_r, 1)[..., None] * x).sum(1)
    ordered, order = weights.sort(descending=True)
    retained = order[ordered.cumsum(0) - ordered < 1 - DROPPED_MASS]
    return centres[retained], weights[retained]


def _refined(kernel: EmpiricalReverse, s: float, reach: float) -> tuple[Tensor, Tensor]:
    """The density of the kernel's data as Gaussians of width ``s`` ≤ its noise: points and log weights up to a constant.

    A Gaussian of width σ is one of width √(σ²−s²) blurred by s, and its integral is indistinguishable from a sum over a lattice with
    spacing 1.2 s that is blurred by s (see dpm_core.data.toy2d).
    """
    data = kernel.data.double()
    if s >= kernel.noise:
        weights = torch.ones(len(data), dtype=torch.float64) if kernel.weights is None else kernel.weights.double()
        return data, weights.log()
    axis = torch.arange(-reach, reach, 1.2 * s, dtype=torch.float64)
    coarse = EmpiricalReverse(data, kernel.diffusion, math.sqrt(kernel.noise**2 - s**2), kernel.weights)
    weights = coarse.marginal_on_grid(axis, 0).flatten()
    relevant = weights > 1e-6 * weights.max()
    return torch.cartesian_prod(axis, axis).flip(1)[relevant], weights[relevant].log()
