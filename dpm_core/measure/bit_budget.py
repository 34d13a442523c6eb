"""Where every bit goes, for data of bits whose patterns can be listed: the same split as :mod:`dpm_core.measure.budget`.

    −H − K = [H_q(X⁽¹⁾) − H] + [H(π) − H_q(X⁽ᵀ⁾)] + Σ_{t≥2} E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)),

where H(π) stands for the cross entropy that keeps K a bound (:meth:`BinomialDiffusion.prior_cost_nats`), and of each KL what the
exact probability of every single bit still loses, because it lets bits that belong together flip apart (which shorter steps
mend), and what learning loses to that.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from dpm_core.measure.budget import Budget
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalBits, ReverseKernel

NODES = 48  # times at which information is measured; monotone in between
ROWS = 1 << 14  # pairs of a datum and a time at once
DRAWS = 1 << 21  # pairs of a datum and a pattern at one node


@torch.inference_mode()
def information_nats(kernel: EmpiricalBits, x0: Tensor, t: int, generator: torch.Generator | None = None) -> Tensor:
    """log q(x⁽ᵗ⁾|x⁽⁰⁾) − log q(x⁽ᵗ⁾) of one draw for each of x0 ``[n, ...]``, float64 ``[n]``: its mean is I(X⁽⁰⁾;X⁽ᵗ⁾)."""
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
    """The budget of a model on patterns whose exact reverse kernel is ``kernel``; without a model, learning is 0.

    x⁽ᵗ⁾ is drawn from q at every t for every x0 ``[n, ...]``, and x⁽⁰⁾ given x⁽ᵗ⁾ is summed out bit by bit with its exact
    probability. ``gaussian`` is what single bits lose to all of them together.
    """
    n, T = len(x0), diffusion.T
    best, extra = (torch.empty(T - 1, n, dtype=torch.float64) for _ in range(2))
    size = max(1, ROWS // n)
    for times in torch.arange(2, T + 1).split(size):
        t = times.repeat_interleave(n)
        xt = diffusion.q_sample(x0.repeat(len(times), *[1] * (x0.ndim - 1)), t, generator)
        p = kernel.x0_posterior(xt, t)[0].double()
        least = _averaged(diffusion, xt.double(), p, p, t)
        more = torch.zeros_like(least)
        if model is not None:
            more = _averaged(diffusion, xt.double(), p, model.x0_posterior(xt, t)[0].double(), t) - least
        rows = slice(int(times[0]) - 2, int(times[-1]) - 1)
        best[rows], extra[rows] = least.view(-1, n), more.view(-1, n)
    information, entropy = _information(kernel, x0, generator), float(torch.special.entr(kernel.probabilities).sum())
    conditional = torch.stack([diffusion.marginal_entropy_nats(x0, t).mean() for t in (1, T)])
    return Budget.of(
        best,
        extra,
        information[:-1] - information[1:],
        entropy,
        first_step=float(conditional[0] + information[0]) - entropy,
        prior=float(diffusion.prior_cost_nats(x0).mean() - conditional[1] - information[-1]),
        null=float(diffusion.prior(tuple(x0.shape[1:])).log_prob(x0).flatten(1).sum(1).mean()),
    )


def _averaged(diffusion: BinomialDiffusion, xt: Tensor, p: Tensor, belief: Tensor, t: Tensor) -> Tensor:
    """KL of the step of a belief, averaged over x⁽⁰⁾ of which each bit is a 1 with probability p, in nats ``[m]``."""
    one, zero = (diffusion.posterior_kl_of_bits_nats(torch.full_like(xt, bit), xt, belief, t) for bit in (1.0, 0.0))
    return (p * one + (1 - p) * zero).flatten(1).sum(1)


def _information(kernel: EmpiricalBits, x0: Tensor, generator: torch.Generator | None) -> Tensor:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) for t = 1..T in nats, float64 ``[T]``: measured at some times and monotone in between; never rising."""
    T = kernel.diffusion.T
    n = max(100, min(4000, DRAWS // len(kernel.data)))
    rows = x0[torch.arange(n) % len(x0)]
    kept = np.unique(np.linspace(1, T, min(T, NODES)).round().astype(int))
    found = np.array([float(information_nats(kernel, rows, int(t), generator).mean()) for t in kept])
    falling = np.minimum.accumulate(np.maximum(found, 0.0))
    return torch.from_numpy(PchipInterpolator(kept, falling)(np.arange(1, T + 1))) if len(kept) > 1 else torch.from_numpy(falling)
