"""Hamiltonian Monte Carlo without detailed balance: look-ahead HMC (Sohl-Dickstein, Mudigonda & DeWeese, ICML 2014).

Where standard HMC would reverse its momentum after a rejected trajectory, and so go back where it came from, look-ahead HMC goes on: it
tries one to ``look_ahead`` trajectories L in a row. The probability to go from ζ to Lᵃζ is

    π_a(ζ) = min[1 − Σ_{b<a} π_b(ζ), p(FLᵃζ)/p(ζ) (1 − Σ_{b<a} π_b(FLᵃζ))],

with the reversal of momentum F; with what is left the momentum is reversed. The distribution is stationary, and detailed balance does not
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Energy = Callable[[Tensor], Tensor]


class Move(NamedTuple):
    """One step of all chains: positions and momenta ``[n, d]``; how many trajectories each went, 0 where its momentum turned; gradients."""

    x: Tensor
    momentum: Tensor
    distance: Tensor
    gradients: Tensor


def look_ahead_hmc(
    energy: Energy,
    x: Tensor,
    *,
    step_size: float,
    leapfrog_steps: int,
    look_ahead: int,
    corruption: float,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Yield the states x ``[n, d]`` of n chains that sample p(x) ∝ exp(−energy(x)), one step after another, without end.

    ``energy``: x ``[n, d]`` → ``[n]``, differentiable. A trajectory is ``leapfrog_steps`` steps of ``step_size``; ``look_ahead`` 1 is
    standard HMC. Before each step the momentum v becomes √(1−β) v + √β noise with β = ``corruption``; 1 draws it anew. A step takes
    at most ``look_ahead`` × ``leapfrog_steps`` gradients for each chain, which stops where it accepts. Raises ValueError for parameters
    out of range.
    """
    for move in moves(
        energy, x, step_size=step_size, leapfrog_steps=leapfrog_steps, look_ahead=look_ahead, corruption=corruption, generator=generator
    ):
        yield move.x


def moves(
    energy: Energy,
    x: Tensor,
    *,
    step_size: float,
    leapfrog_steps: int,
    look_ahead: int,
    corruption: float,
    generator: torch.Generator | None = None,
) -> Iterator[Move]:
    """Yield the same steps with their momenta, how far each chain went and the gradients that it took."""
    if not (step_size > 0 and leapfrog_steps >= 1 and look_ahead >= 1 and 0 <= corruption <= 1):
        given = f"step size {step_size:g}, {leapfrog_steps} leapfrog steps, look-ahead {look_ahead} and corruption {corruption:g}"
        raise ValueError(f"Look-ahead HMC cannot run with {given}; the first three must be positive and the last between 0 and 1.")
    x = x.detach().clone()
    v = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    value, slope = _energy_and_slope(energy, x)
    while True:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        v = (1 - corruption) ** 0.5 * v + corruption**0.5 * noise
        u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        distance = torch.zeros(len(x), dtype=torch.long, device=x.device)
        # the end of a chain's step; until it has gone somewhere, its momentum turned
        ends = [x.clone(), -v, value.clone(), slope.clone()]
        rung: tuple[Tensor, ...] = (x, v, value, slope)
        going, taken = torch.arange(len(x), device=x.device), torch.zeros_like(u)
        total = (value + 0.5 * v.square().sum(1))[:, None]
        for a in range(1, look_ahead + 1):
            rung = _trajectory(energy, rung, step_size, leapfrog_steps)
            total = torch.cat([total, (rung[2] + 0.5 * rung[1].square().sum(1))[:, None]], 1)
            taken = taken + transition_probabilities(total)[:, -1]
            goes = u[going] < taken
            distance[going[goes]] = a
            for end, part in zip(ends, rung):
                end[going[goes]] = part[goes]
            rung, total, taken = tuple(part[~goes] for part in rung), total[~goes], taken[~goes]
            going = going[~goes]
            if len(going) == 0:
                break
        x, v, value, slope = ends
        yield Move(x, v, distance, leapfrog_steps * torch.where(distance == 0, look_ahead, distance))


def transition_probabilities(total: Tensor) -> Tensor:
    """Return π_a(ζ) for a = 1..K, ``[n, K]``, from the total energies of ζ, Lζ, …, Lᴷζ, ``[n, K+1]``.

    Going back from FLᵃζ visits the same states in the opposite order, so the probabilities between any two of them are found by the
    distance between them, the nearest first.
    """
    count = total.shape[1]
    total = torch.where(total.isfinite(), total, torch.full_like(total, torch.inf))  # a trajectory that diverged is never taken
    left = {(i, step): torch.ones_like(total[:, 0]) for i in range(count) for step in (1, -1)}  # 1 − Σ of those nearer
    found: dict[int, Tensor] = {}
    for a in range(1, count):
        new = {}
        for i in range(count):
            for step in (1, -1):
                j = i + step * a
                if 0 <= j < count:
                    ratio = torch.where(total[:, j].isinf(), torch.zeros_like(total[:, j]), (total[:, i] - total[:, j]).exp())
                    new[i, step] = torch.minimum(left[i, step], ratio * left[j, -step])
        for at, probability in new.items():
            left[at] = left[at] - probability
        found[a] = new[0, 1]
    return torch.stack([found[a] for a in range(1, count)], 1)


def ladder(energy: Energy, x: Tensor, momentum: Tensor, *, step_size: float, leapfrog_steps: int, look_ahead: int) -> tuple[Tensor, Tensor]:
    """Return the states ζ, Lζ, …, Lᴷζ of each chain as positions ``[n, K+1, d]``, and their total energies ``[n, K+1]``."""
    rung: tuple[Tensor, ...] = (x, momentum, *_energy_and_slope(energy, x))
    places, totals = [x], [rung[2] + 0.5 * momentum.square().sum(1)]
    for _ in range(look_ahead):
        rung = _trajectory(energy, rung, step_size, leapfrog_steps)
        places.append(rung[0])
        totals.append(rung[2] + 0.5 * rung[1].square().sum(1))
    return torch.stack(places, 1), torch.stack(totals, 1)


def _trajectory(energy: Energy, start: tuple[Tensor, ...], step_size: float, steps: int) -> tuple[Tensor, ...]:
    """L: leapfrog steps from position, momentum, energy and its gradient."""
    x, v, value, slope = start
    for _ in range(steps):
        v = v - 0.5 * step_size * slope
        x = x + step_size * v
        value, slope = _energy_and_slope(energy, x)
        v = v - 0.5 * step_size * slope
    return x, v, value, slope


def _energy_and_slope(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        value = energy(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), slope


def rough_well(x: Tensor) -> Tensor:
    """E = Σ x²/(2·100²) + cos(2πx/4) of the paper's figure 2, ``[n]``: a wide well with ripples."""
    return (x.square() / (2 * 100**2) + torch.cos(2 * torch.pi * x / 4)).sum(1)


def ill_conditioned_gaussian(dimensions: int, condition: float = 1e6) -> tuple[Energy, Tensor]:
    """Return the energy of a Gaussian of the paper's figure 2, and its variances, float64 ``[dimensions]``, even in the logarithm."""
    variances = torch.logspace(0, torch.log10(torch.tensor(condition)).item(), dimensions, dtype=torch.float64)
    return (lambda x: 0.5 * (x.square() / variances.to(x)).sum(1)), variances
