"""When a reverse process only remembers: the times at which it decides for a part of the data and for a single training point.

For N training points the exact reverse kernel ends in one of them. Biroli, Bonnaire, de Bortoli and Mézard (2024) name two times on its
way: speciation, when a trajectory commits itself to one part of the data, and collapse, after which it is bound to one training point.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpm_core.measure.budget import marginal_entropies_nats
from dpm_core.measure.diversity import nearest
from dpm_core.process import gaussian_entropy_nats
from dpm_core.reverse import EmpiricalReverse

COPY = 1 / 3  # of the distance to the second nearest training point: a sample that is nearer to the nearest is a copy of it


def information_nats(kernel: EmpiricalReverse) -> Tensor:
    """Return I(X⁽⁰⁾;X⁽ᵗ⁾) = H(X⁽ᵗ⁾) − H(noise) for t = 1..T in nats, float64 ``[T]``; for data in the plane, by quadrature.

    Raises ValueError for other data.
    """
    noise = kernel.diffusion.schedule.noise(torch.arange(1, kernel.diffusion.T + 1))
    return marginal_entropies_nats(kernel) - torch.tensor([gaussian_entropy_nats(v, 2) for v in noise])


def collapse_time(kernel: EmpiricalReverse, points: int) -> float:
    """Return the time below which a reverse process on ``points`` training points is bound to one of them, in steps, between 0 and T.

    It is where x⁽ᵗ⁾ carries as much information as is needed to tell N points apart: I(X⁽⁰⁾;X⁽ᵗ⁾) = log N for the distribution from which
    they were drawn, whose exact kernel is ``kernel``. Between steps it is interpolated. Raises ValueError for data outside the plane.
    """
    information = information_nats(kernel)
    return _crossing(information, math.log(points))


def speciation_time(kernel: EmpiricalReverse) -> float:
    """Return the time at which signal and noise are equally strong along the data's first principal component, in steps.

    ᾱ_t Λ = 1 − ᾱ_t, with the largest eigenvalue Λ of the covariance of the data; above it the direction has not been decided.
    """
    schedule, weights = kernel.diffusion.schedule, kernel.weights
    y = kernel.data.flatten(1).double()
    w = torch.full((len(y),), 1 / len(y), dtype=torch.float64) if weights is None else weights.double() / weights.sum()
    centred = y - w @ y
    largest = float(torch.linalg.eigvalsh((centred * w[:, None]).T @ centred).max()) + kernel.noise**2
    return _crossing(schedule.log_snr(torch.arange(1, schedule.T + 1)), -math.log(largest))


def participation(kernel: EmpiricalReverse, xt: Tensor, t: int) -> Tensor:
    """Return Σ_j w_j² of the posterior weights of the points given x⁽ᵗ⁾ ``[n, ...]``, ``[n]``: 1 where one of them has all the weight."""
    return kernel.point_weights(xt, t).square().sum(1)


def copies(x: Tensor, training: Tensor) -> float:
    """Return the share of samples x ``[n, ...]`` that are copies of one of at least two training points ``[N, ...]``, see COPY.

    Raises ValueError for a single training point.
    """
    if len(training) < 2:
        raise ValueError("At least two training points are needed to tell a copy from a sample between them.")
    two = torch.cdist(x.flatten(1).double(), training.flatten(1).double()).topk(2, 1, largest=False).values
    return float((two[:, 0] < COPY * two[:, 1]).double().mean())


def nearest_distance(x: Tensor, training: Tensor) -> float:
    """Return the mean distance of samples x ``[n, ...]`` to the nearest training point."""
    return float(nearest(x, training)[1].mean())


def _crossing(values: Tensor, level: float) -> float:
    """Where values at t = 1..T, which fall, cross a level, interpolated; 0 below and T above all of them."""
    v = torch.nan_to_num(values.double(), neginf=-1e9, posinf=1e9)
    above = int((v > level).sum())
    if above in (0, len(v)):
        return float(above)
    return above + float((v[above - 1] - level) / (v[above - 1] - v[above]))
