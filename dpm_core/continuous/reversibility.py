"""How much the direction of time can be seen: entropy produced by each step, and how far reverse kernels are from the film run backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.measure.estimators import sum_per_datum
from dpm_core.process import GaussianDiffusion, draw
from dpm_core.reverse import EmpiricalReverse, ReverseKernel


class Estimate(NamedTuple):
    """Means over trajectories in nats, one for each t = 1..T, and of their sum over t; each with its standard error."""

    per_step: Tensor
    error: Tensor
    total: float
    total_error: float


class Reversibility(NamedTuple):
    """Three answers to "can one see in which direction time runs?", for the steps t = 1..T.

    ``production``: KL(q(x⁽ᵗ⁻¹⁾) ‖ π) − KL(q(x⁽ᵗ⁾) ‖ π), the entropy that the step produces. The step's kernel k is in detailed balance
    with π, so this is the divergence of the step from the same physics run backward from its end, KL(q(a) k(b|a) ‖ q(b) k(a|b)).

    ``direction``: KL(q(a) k(b|a) ‖ the same with a and b swapped), what one pair of pictures tells about their order.

    ``reverse``: E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)), what tells the film of q, played backward, from the reverse process of a model.
    """

    production: Estimate
    direction: Estimate
    reverse: Estimate


@torch.inference_mode()
def reversibility(
    model: ReverseKernel,
    exact: EmpiricalReverse,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Reversibility:
    """Return all three by one forward trajectory from each of x0 ``[n, ...]``, draws of the blurred data. Raises ValueError without noise.

    ``exact``: the exact kernel of the data under the diffusion of ``model``, whose density is used. The sum of ``production`` is
    KL(q(x⁽⁰⁾) ‖ π) − KL(q(x⁽ᵀ⁾) ‖ π) whatever the number of steps; the other two fall to 0 as the steps become small.
    """
    if exact.noise == 0:
        raise ValueError("Points without noise have no density at t = 0; build the kernel with noise > 0.")
    diffusion, a = exact.diffusion, x0.double()
    rows: tuple[list[Tensor], ...] = ([], [], [])
    log_a = exact.log_marginal(a, 0)
    for t in range(1, diffusion.T + 1):
        step = diffusion.q_step(a, t)
        b = draw(step, generator)
        log_b, back = exact.log_marginal(b, t), exact.log_marginal(b, t - 1)
        excess = log_a - _log_prior(diffusion, a)
        rows[0].append(excess - log_b + _log_prior(diffusion, b))
        rows[1].append(excess - back + _log_prior(diffusion, b))
        true = sum_per_datum(step.log_prob(b)) + log_a - log_b
        rows[2].append(true - sum_per_datum(model.reverse(b, t).log_prob(a)))
        a, log_a = b, log_b
    return Reversibility(*(_estimate(torch.stack(values)) for values in rows))


def _log_prior(diffusion: GaussianDiffusion, x: Tensor) -> Tensor:
    return sum_per_datum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))


def _estimate(values: Tensor) -> Estimate:
    """Of values ``[T, n]``."""
    root = math.sqrt(values.shape[1])
    total = values.sum(0)
    return Estimate(values.mean(1), values.std(1) / root, float(total.mean()), float(total.std()) / root)
