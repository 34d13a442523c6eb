"""The density of a model in the plane itself: π carried down the chain by quadrature, with nothing sampled."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel

REACH = 4.6  # half-width of the grids: π has 1e-5 beyond it
FINENESS = 0.8  # cells per standard deviation of the narrowest step: wider Gaussians than these cells sum without a ripple
MOST = 440  # cells along a side
NEGLIGIBLE = 1e-9  # of the mass of the heaviest cell
BLOCK = 1 << 13  # cells at once


class Density:
    """p(x) on the centres of an even grid: ``axis`` ``[m]``, ``values`` ``[m, m]`` (rows: second coordinate), float64."""

    def __init__(self, axis: Tensor, values: Tensor):
        self.axis, self.values = axis, values

    @property
    def total(self) -> float:
        """∫ p: how much of the probability is on the grid."""
        return float(self.values.sum()) * float(self.axis[1] - self.axis[0]) ** 2


@torch.inference_mode()
def first_marginal(model: ReverseKernel, diffusion: GaussianDiffusion) -> Density:
    """p(x⁽¹⁾), all steps but the last carried down on grids as fine as each step is narrow.

    p(x⁽ˢ⁾) = ∫ p(x⁽ˢ⁾|x⁽ᵗ⁾) p(x⁽ᵗ⁾) dx⁽ᵗ⁾, the sum over cells of products of two one-dimensional Gaussians: one matrix product.
    Cost grows with T; 40 steps take seconds, a thousand minutes.
    """
    width = _narrowest(model, diffusion)
    axis = _axis(float(width[diffusion.T]), REACH)
    normal = torch.exp(-0.5 * axis.square()) / math.sqrt(2 * math.pi)
    density = Density(axis, normal[:, None] * normal)
    for t in range(diffusion.T, 1, -1):
        density = _step(model, density, t, _axis(float(min(width[t - 1], width[t])), REACH))
    return density


@torch.inference_mode()
def exact_log_prob(model: ReverseKernel, density: Density, x0: Tensor) -> Tensor:
    """log p(x⁽⁰⁾) in nats, float64 ``[n]``, for x0 ``[n, 2]``: the last step from p(x⁽¹⁾), see :func:`first_marginal`."""
    x, mass = _cells(density)
    p = model.reverse(x.float(), 1)
    mean, deviation = p.mean.double(), p.stddev.double()
    out = torch.full((len(x0),), -torch.inf, dtype=torch.float64)
    for part in torch.arange(len(x)).split(1 << 20 // max(1, len(x0)).bit_length()):
        z = (x0.double()[:, None] - mean[part]) / deviation[part]
        logits = mass[part].log() - (deviation[part].log().sum(1) + math.log(2 * math.pi)) - 0.5 * z.square().sum(2)
        out = torch.logaddexp(out, logits.logsumexp(1))
    return out


@torch.inference_mode()
def on_grid(model: ReverseKernel, density: Density, axis: Tensor) -> Tensor:
    """p(x⁽⁰⁾) on axis × axis, ``[m, m]`` (rows: second coordinate)."""
    return _step(model, density, 1, axis.double()).values


def _step(model: ReverseKernel, density: Density, t: int, axis: Tensor) -> Density:
    """One step down, onto the grid of ``axis``."""
    x, mass = _cells(density)
    values = torch.zeros(len(axis), len(axis), dtype=torch.float32)
    for part in torch.arange(len(x)).split(BLOCK):
        p = model.reverse(x[part].float(), t)
        mean, deviation = p.mean.double(), p.stddev.double()
        across, up = (
            (torch.exp(-0.5 * ((axis - mean[:, i : i + 1]) / deviation[:, i : i + 1]).square()) / deviation[:, i : i + 1]).float()
            for i in range(2)
        )
        values += up.T @ (across * (mass[part, None] / (2 * math.pi)).float())
    return Density(axis, values.double())


def _cells(density: Density) -> tuple[Tensor, Tensor]:
    """Centres ``[k, 2]`` and masses ``[k]`` of the cells that matter."""
    mass = density.values.flatten() * float(density.axis[1] - density.axis[0]) ** 2
    x = torch.cartesian_prod(density.axis, density.axis).flip(1)
    kept = mass > NEGLIGIBLE * mass.max()
    return x[kept], mass[kept]


def _narrowest(model: ReverseKernel, diffusion: GaussianDiffusion) -> Tensor:
    """The smallest standard deviation of the steps from each t, ``[T+1]``, over points that π and q reach."""
    x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    found = [math.inf]
    for t in range(1, diffusion.T + 1):
        found.append(float(model.reverse(x, t).stddev.min()))
    return torch.tensor(found)


def _axis(width: float, reach: float) -> Tensor:
    """Centres of even cells over ±reach, narrower than ``width``."""
    cells = min(MOST, max(48, math.ceil(2 * reach * FINENESS / width)))
    step = 2 * reach / cells
    return (torch.arange(cells, dtype=torch.float64) + 0.5 - cells / 2) * step
