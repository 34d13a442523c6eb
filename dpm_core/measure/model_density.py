"""The density of a model of plane data by quadrature: π is propagated through the reverse steps, without sampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel

GRID_HALF_WIDTH = 4.6  # π has probability 1e-5 outside
CELLS_PER_DEVIATION = 0.8  # of the narrowest step: enough for a sum of Gaussians on the grid to be smooth
MAX_CELLS = 440  # along a side
NEGLIGIBLE = 1e-9  # cells with less than this fraction of the largest cell mass are dropped
BLOCK_CELLS = 1 << 13  # cells processed at once


class Density:
    """p(x) at the centres of an even grid: ``axis`` ``[m]``, ``values`` ``[m, m]`` (rows: second coordinate), float64."""

    def __init__(self, axis: Tensor, values: Tensor):
        self.axis, self.values = axis, values

    @property
    def total(self) -> float:
        """∫ p over the grid: the probability that the grid covers."""
        return float(self.values.sum()) * float(self.axis[1] - self.axis[0]) ** 2


@torch.inference_mode()
def first_marginal(model: ReverseKernel, diffusion: GaussianDiffusion) -> Density:
    """Return the model's density p(x⁽¹⁾): π propagated through all reverse steps but the last, on grids fine enough for each step.

    p(x⁽ˢ⁾) = ∫ p(x⁽ˢ⁾|x⁽ᵗ⁾) p(x⁽ᵗ⁾) dx⁽ᵗ⁾ is a sum over cells of products of two one-dimensional Gaussians: one matrix product.
    The cost grows with T: 40 steps take seconds, a thousand minutes.
    """
    width = _narrowest(model, diffusion)
    axis = _axis(float(width[diffusion.T]), GRID_HALF_WIDTH)
    normal = torch.exp(-0.5 * axis.square()) / math.sqrt(2 * math.pi)
    density = Density(axis, normal[:, None] * normal)
    for t in range(diffusion.T, 1, -1):
        density = _step(model, density, t, _axis(float(min(width[t - 1], width[t])), GRID_HALF_WIDTH))
    return density


@torch.inference_mode()
def exact_log_prob(model: ReverseKernel, density: Density, x0: Tensor) -> Tensor:
    """Return log p(x⁽⁰⁾) in nats, float64 ``[n]``, for x0 ``[n, 2]``: one reverse step from p(x⁽¹⁾), see :func:`first_marginal`."""
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
    """Return p(x⁽⁰⁾) on axis × axis, ``[m, m]`` (rows: second coordinate)."""
    return _step(model, density, 1, axis.double()).values


def _step(model: ReverseKernel, density: Density, t: int, axis: Tensor) -> Density:
    """Propagate the density through one reverse step, onto the grid of ``axis``."""
    x, mass = _cells(density)
    values = torch.zeros(len(axis), len(axis), dtype=torch.float32)
    for part in torch.arange(len(x)).split(BLOCK_CELLS):
        p = model.reverse(x[part].float(), t)
        mean, deviation = p.mean.double(), p.stddev.double()
        across, up = (
            (torch.exp(-0.5 * ((axis - mean[:, i : i + 1]) / deviation[:, i : i + 1]).square()) / deviation[:, i : i + 1]).float()
            for i in range(2)
        )
        values += up.T @ (across * (mass[part, None] / (2 * math.pi)).float())
    return Density(axis, values.double())


def _cells(density: Density) -> tuple[Tensor, Tensor]:
    """Centres ``[k, 2]`` and masses ``[k]`` of the cells whose mass is not negligible."""
    mass = density.values.flatten() * float(density.axis[1] - density.axis[0]) ** 2
    x = torch.cartesian_prod(density.axis, density.axis).flip(1)
    relevant = mass > NEGLIGIBLE * mass.max()
    return x[relevant], mass[relevant]


def _narrowest(model: ReverseKernel, diffusion: GaussianDiffusion) -> Tensor:
    """The smallest standard deviation of the reverse step from each t, ``[T+1]``, over points drawn from π."""
    x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
    found = [math.inf]
    for t in range(1, diffusion.T + 1):
        found.append(float(model.reverse(x, t).stddev.min()))
    return torch.tensor(found)


def _axis(width: float, reach: float) -> Tensor:
    """Centres of even cells over ±reach that are narrower than ``width``."""
    cells = min(MAX_CELLS, max(48, math.ceil(2 * reach * CELLS_PER_DEVIATION / width)))
    step = 2 * reach / cells
    return (torch.arange(cells, dtype=torch.float64) + 0.5 - cells / 2) * step
