"""The budget of a model of bits whose patterns can be listed: the same split as in :mod:`dpm_core.measure.budget`.

    −H − K = [H_q(X⁽¹⁾) − H] + [H(π) − H_q(X⁽ᵀ⁾)] + Σ_{t≥2} E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)),

where H(π) is the cross entropy of :meth:`BinomialDiffusion.prior_cost_nats`. The discretisation gap is the KL of a reverse step
with the exact probability of every single bit: for finite T the bits of x⁽ᵗ⁻¹⁾ given x⁽ᵗ⁾ are dependent, but the step treats them
as independent. The learning gap is the additional KL of the model.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from dpm_core.measure.budget import Budget
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalBits, ReverseKernel

NODES = 48  # times at which the mutual information is estimated
BLOCK_ROWS = 1 << 14  # (datum, time) pairs evaluated at once
PAIRS_PER_NODE = 1 << 21  # (datum, pattern) pairs evaluated at one node


@torch.inference_mode()
def information_nats(kernel: EmpiricalBits, x0: Tensor, t: int, generator: torch.Generator | None = None) -> Tensor:
    """Return log q(x⁽ᵗ⁾|x⁽⁰⁾) − log q(x⁽ᵗ⁾) for one sample x⁽ᵗ⁾ of each x0 ``[n, ...]``, float64 ``[n]``.

    Its mean is the mutual information I(X⁽⁰⁾;X⁽ᵗ⁾) in nats.
    """
    if t == 0:
        return -kernel.log_marginal(x0.double(), 0)
    xt = kernel.diffusion.q_sample(x0, t, generator).double()
    likelihood = kernel.diffusion.q_marginal(x0.double(), t).log_prob(xt).flatten(1).sum(1)
    return likelihood - kernel.log_marginal(xt, t)


@torch.inference_mode()
def bit_budget(
    model: ReverseKernel | None,
    kernel: EmpiricalBits,
    diffusion: BinomialDiffusion,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Budget:
    """Return the budget of a model on bit patterns whose exact reverse kernel is ``kernel``; without a model, the learning gap is 0.

    x⁽ᵗ⁾ is drawn from q at every t for every x0 ``[n, ...]``, and each bit of x⁽⁰⁾ given x⁽ᵗ⁾ is summed out with its exact probability.
    ``discretisation`` is the cost of treating the bits as independent within one step.
    """
    n, T = len(x0), diffusion.T
    optimal, excess = (torch.empty(T - 1, n, dtype=torch.float64) for _ in range(2))
    size = max(1, BLOCK_ROWS // n)
    for times in torch.arange(2, T + 1).split(size):
        t = times.repeat_interleave(n)
        xt = diffusion.q_sample(x0.repeat(len(times), *[1] * (x0.ndim - 1)), t, generator)
        p = kernel.x0_posterior(xt, t)[0].double()
        exact_kl = _averaged(diffusion, xt.double(), p, p, t)
        model_excess = torch.zeros_like(exact_kl)
        if model is not None:
            model_excess = _averaged(diffusion, xt.double(), p, model.x0_posterior(xt, t)[0].double(), t) - exact_kl
        rows = slice(int(times[0]) - 2, int(times[-1]) - 1)
        optimal[rows], excess[rows] = exact_kl.view(-1, n), model_excess.view(-1, n)
    information, entropy = _information(kernel, x0, generator), float(torch.special.entr(kernel.probabilities).sum())
    conditional = torch.stack([diffusion.marginal_entropy_nats(x0, t).mean() for t in (1, T)])
    return Budget.from_costs(
        optimal,
        excess,
        information[:-1] - information[1:],
        entropy=entropy,
        first_step=float(conditional[0] + information[0]) - entropy,
        prior_mismatch=float(diffusion.prior_cost_nats(x0).mean() - conditional[1] - information[-1]),
        null=float(diffusion.prior(tuple(x0.shape[1:])).log_prob(x0).flatten(1).sum(1).mean()),
    )


def _averaged(diffusion: BinomialDiffusion, xt: Tensor, p: Tensor, x0_mean: Tensor, t: Tensor) -> Tensor:
    """KL of the reverse step with posterior mean ``x0_mean``, averaged over x⁽⁰⁾ whose bits are 1 with probability p; nats, ``[m]``."""
    one, zero = (diffusion.posterior_kl_of_bits_nats(torch.full_like(xt, bit), xt, x0_mean, t) for bit in (1.0, 0.0))
    return (p * one + (1 - p) * zero).flatten(1).sum(1)


def _information(kernel: EmpiricalBits, x0: Tensor, generator: torch.Generator | None) -> Tensor:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) for t = 1..T in nats, float64 ``[T]``.

    It is estimated at up to NODES times and interpolated monotonically; it never increases with t (data-processing inequality).
    """
    T = kernel.diffusion.T
    n = max(100, min(4000, PAIRS_PER_NODE // len(kernel.data)))
    rows = x0[torch.arange(n) % len(x0)]
    nodes = np.unique(np.linspace(1, T, min(T, NODES)).round().astype(int))
    found = np.array([float(information_nats(kernel, rows, int(t), generator).mean()) for t in nodes])
    decreasing = np.minimum.accumulate(np.maximum(found, 0.0))
    if len(nodes) == 1:
        return torch.from_numpy(decreasing)
    return torch.from_numpy(PchipInterpolator(nodes, decreasing)(np.arange(1, T + 1)))
