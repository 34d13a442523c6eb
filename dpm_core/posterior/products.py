"""p(x⁽⁰⁾) r(x⁽⁰⁾)/Z in the plane, known exactly: what to multiply by, the product on a grid, its reverse kernel, and distances to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, logsigmoid

from dpm_core.factors import Factor, FactorError, Inpaint, Potential, Product
from dpm_core.posterior.tilting import tilted
from dpm_core.reverse import EmpiricalReverse

REACH = (3.0, 8.0)  # half-width of the grid: of every picture of the plane, or as far as the data lie, within reason
BIN = {1: 0.125, 2: 0.25}  # width of the bins that samples are counted in, by the number of coordinates
CELLS = 16  # of the quadrature, along a bin, at least; and no wider than half the data's noise
LEAST_EVIDENCE = 1e-12  # of r ≤ 1: below it the product is only a tail of the data
PAINT_FLOOR, PAINT_SIDE = 1e-3, 193  # what r keeps where nothing is painted; points of its grid along a side
AGREED, MOST_NODES = 4e-3, 12_000  # of a refined kernel: total variation to the product, and points
SPARED = 3e-4  # of the probability, in its points of least weight


def half_plane(angle: float, offset: float, softness: float) -> Potential:
    """r(x) = σ((u·x − offset)/softness): 1 on the side to which u points, ½ on the line; ``angle`` of u in degrees."""
    u = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))], dtype=torch.float64)
    return Potential(lambda x: logsigmoid((x @ u.to(x) - offset) / softness))


def ring(radius: float, width: float) -> Potential:
    """r(x) = 1/cosh((|x| − radius)/width): falls off exponentially to both sides, so that log r nowhere is steeper than 1/width."""

    def log_r(x: Tensor) -> Tensor:
        away = ((x.square().sum(1) + 1e-12).sqrt() - radius).abs() / width
        return math.log(2) - away - torch.log1p(torch.exp(-2 * away))

    return Potential(log_r)


def painted(strokes: Sequence[np.ndarray], width: float, reach: float = REACH[0]) -> Potential:
    """r(x) = f + (1−f) exp(−d²/2 width²), d the distance to the nearest stroke ``[k, 2]``, f = PAINT_FLOOR.

    log r is kept on a grid over ±reach and read off by cubic interpolation, so that it has a slope everywhere.
    Raises FactorError when there is no stroke.
    """
    if not strokes:
        raise FactorError("Nothing is painted; paint where r should be large.")
    ends = [torch.as_tensor(np.stack([stroke[:-1], stroke[1:]]) if len(stroke) > 1 else stroke[None].repeat(2, 0)) for stroke in strokes]
    a, b = torch.cat(ends, 1).double()
    axis = torch.linspace(-reach, reach, PAINT_SIDE, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).flip(1)  # row by row from below
    away = torch.cat([_squared_distance(part, a, b) for part in x.split(4096)])
    log_r = torch.log(PAINT_FLOOR + (1 - PAINT_FLOOR) * torch.exp(-0.5 * away / width**2)).view(1, 1, PAINT_SIDE, PAINT_SIDE)

    def read(x: Tensor) -> Tensor:
        at = (x / reach).reshape(1, 1, -1, 2)
        log_r_x = grid_sample(log_r.to(x), at, mode="bicubic", padding_mode="border", align_corners=True).view(-1)
        return log_r_x.clamp(max=0)  # cubic pieces overshoot a little on a stroke

    return Potential(read)


def _squared_distance(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of points ``[n, 2]`` to the nearest of the segments a–b ``[k, 2]``, ``[n]``."""
    along = b - a
    share = ((x[:, None] - a) * along).sum(2) / along.square().sum(1).clamp(min=1e-12)
    return (x[:, None] - a - share.clamp(0, 1)[..., None] * along).square().sum(2).amin(1)


@dataclass(frozen=True, eq=False)
class ExactProduct:
    """p·r/Z by quadrature.

    ``axis`` ``[m]``: centres of even cells; ``density`` there, ``[m, m]`` (rows: second coordinate) or, where one coordinate
    is known, ``[m]`` over the other one; ``coordinates``: which of x's it speaks of; ``evidence``: Z = ∫ p r, or p(x = c);
    ``cells``: along a bin.
    """

    axis: np.ndarray
    density: np.ndarray
    coordinates: tuple[int, ...]
    evidence: float
    cells: int

    @cached_property
    def edges(self) -> np.ndarray:
        """Of the bins along each coordinate, ``[B + 1]``."""
        step = self.axis[1] - self.axis[0]
        return np.linspace(self.axis[0] - step / 2, self.axis[-1] + step / 2, len(self.axis) // self.cells + 1)

    @cached_property
    def bin_probabilities(self) -> np.ndarray:
        """The probability of every bin, ``[B]`` or ``[B·B]``, and at the end what lies beyond them all."""
        bins, dims = len(self.axis) // self.cells, self.density.ndim
        mass = self.density * (self.axis[1] - self.axis[0]) ** dims
        inside = mass.reshape([bins, self.cells] * dims).sum(tuple(range(1, 2 * dims, 2))).ravel()
        return np.append(inside, max(0.0, 1 - inside.sum()))

    def counts(self, x: np.ndarray) -> np.ndarray:
        """How many of x ``[n, 2]`` lie in every bin, ordered as the shares are; what is not finite lies beyond."""
        edges = self.edges
        bins = len(edges) - 1
        with np.errstate(invalid="ignore"):
            place = np.floor((x[:, self.coordinates] - edges[0]) / (edges[1] - edges[0]))
            beyond = ~((place >= 0) & (place < bins)).all(1)
        place = np.where(beyond[:, None], 0, place).astype(int)
        flat = place @ np.array([1, bins])[: len(self.coordinates)]
        return np.bincount(np.where(beyond, bins ** len(self.coordinates), flat), minlength=bins ** len(self.coordinates) + 1)

    def total_variation(self, x: np.ndarray) -> float:
        """½ Σ |share of the samples − probability| over all bins, for x ``[n, 2]``."""
        return float(0.5 * np.abs(self.counts(x) / len(x) - self.bin_probabilities).sum())

    def monte_carlo_floor(self, n: int, draws: int = 200, seed: int = 0) -> tuple[float, float]:
        """Mean and standard deviation of that distance when the n samples are independent draws of the product itself."""
        drawn = np.random.default_rng(seed).multinomial(n, self.bin_probabilities / self.bin_probabilities.sum(), draws) / n
        distances = 0.5 * np.abs(drawn - self.bin_probabilities).sum(1)
        return float(distances.mean()), float(distances.std(ddof=1))


def exact_product(kernel: EmpiricalReverse, factor: Factor) -> ExactProduct:
    """The product of the density behind ``kernel`` (points in the plane, blurred) and r ≤ 1, on a grid.

    With an :class:`Inpaint` of one known coordinate: the density of the other one, given that. Raises FactorError where r
    is zero wherever the data are.
    """
    if not kernel.noise > 0:
        raise FactorError("Points without noise have no density to multiply; give the kernel a noise.")
    known = [i for i in range(2) if isinstance(factor, Inpaint) and not bool(factor.mask[i])]
    if isinstance(factor, Inpaint) and len(known) != 1:
        raise FactorError("In the plane one coordinate is known and the other one is not.")
    coordinates = tuple(i for i in range(2) if i not in known)
    width = BIN[len(coordinates)]
    reach = min(max(REACH[0], float(kernel.data.abs().max()) + 5 * kernel.noise), REACH[1])
    bins, cells = 2 * math.ceil(reach / width), max(CELLS, math.ceil(2 * width / kernel.noise))
    step = width / cells
    axis = (torch.arange(bins * cells, dtype=torch.float64) + 0.5 - bins * cells / 2) * step
    if isinstance(factor, Inpaint):
        value = float(factor.known[known[0]])
        x = torch.stack([axis if i in coordinates else torch.full_like(axis, value) for i in range(2)], 1)
        density = kernel.log_marginal(x, 0).exp()
        low, high = (float(end) for end in (kernel.data[:, known[0]].min(), kernel.data[:, known[0]].max()))
        sentence = f"The data have no {value:g} in this coordinate: they lie between {low:.2f} and {high:.2f}.".replace("-", "−")
    else:
        x = torch.cartesian_prod(axis, axis).flip(1)
        density = kernel.marginal_on_grid(axis, 0) * factor.log_prob(x).exp().view(len(axis), -1)
        sentence = "r is zero wherever the data are; move it or make it wider."
    evidence = float(density.sum()) * step ** len(coordinates)
    if not evidence > LEAST_EVIDENCE:
        raise FactorError(sentence)
    return ExactProduct(axis.numpy(), (density / evidence).numpy(), coordinates, evidence, cells)


def exact_kernel(kernel: EmpiricalReverse, factor: Factor, product: ExactProduct) -> EmpiricalReverse:
    """The reverse kernel of the product: sampling it multiplies every step by r_t(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾].

    :func:`tilted` has it in closed form for what is known or observed. For a :class:`Potential`, alone or in a product,
    every Gaussian of the mixture becomes the one of equal width that has the mass and the mean of its product with r. Where
    r bends within that width, the mixture is written with narrower Gaussians on a lattice first, until the result lies
    within AGREED of the product, or would have too many points.
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
        if halvings and len(points) > MOST_NODES:
            break
        tried = EmpiricalReverse(points, kernel.diffusion, s, weights)
        gap = 0.5 * float(np.abs(tried.marginal_on_grid(axis, 0).numpy() - product.density).sum()) * step**2
        if gap < best_gap:
            best, best_gap = tried, gap
        if gap < AGREED:
            break
    return best


def _reweighted(points: Tensor, log_weights: Tensor, s: float, factor: Factor) -> tuple[Tensor, Tensor]:
    """Centres and weights of Gaussians of width s times r, by Gauss–Hermite quadrature about each; those that matter."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(5)
    q = torch.cartesian_prod(*[torch.from_numpy(nodes)] * 2)
    log_shares = torch.from_numpy(np.log(np.outer(shares, shares).ravel() / (2 * math.pi)))
    x = points[:, None, :] + s * q
    log_r = factor.log_prob(x.reshape(-1, 2)).view(len(points), -1) + log_shares
    weights = torch.softmax(log_weights + log_r.logsumexp(1), 0)
    centres = (torch.softmax(log_r, 1)[..., None] * x).sum(1)
    ordered, order = weights.sort(descending=True)
    kept = order[ordered.cumsum(0) - ordered < 1 - SPARED]
    return centres[kept], weights[kept]


def _refined(kernel: EmpiricalReverse, s: float, reach: float) -> tuple[Tensor, Tensor]:
    """The kernel's data density as Gaussians of width ``s`` ≤ its noise: points and log weights up to a constant.

    A Gaussian of width σ is one of width √(σ²−s²) blurred by s, and an integral over even points 1.2 s apart that are
    blurred by s cannot be told from their sum (see dpm_core.data.toy2d).
    """
    data = kernel.data.double()
    if s >= kernel.noise:
        weights = torch.ones(len(data), dtype=torch.float64) if kernel.weights is None else kernel.weights.double()
        return data, weights.log()
    axis = torch.arange(-reach, reach, 1.2 * s, dtype=torch.float64)
    coarse = EmpiricalReverse(data, kernel.diffusion, math.sqrt(kernel.noise**2 - s**2), kernel.weights)
    weights = coarse.marginal_on_grid(axis, 0).flatten()
    there = weights > 1e-6 * weights.max()
    return torch.cartesian_prod(axis, axis).flip(1)[there], weights[there].log()
