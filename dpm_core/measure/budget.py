"""Where every bit goes: the gap between K and the data's own −h, split exactly (plane data, whose density is known).

For data of unit variance the bound of Eq. 14 can be written with the marginal entropies H_q(X⁽ᵗ⁾):

    −h − K = [H_q(X⁽¹⁾) − h] + [H(π) − H_q(X⁽ᵀ⁾)] + Σ_{t≥2} E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)),

the first step (which is never learned), the prior's mismatch, and what each step back loses. That last term splits again: with
the exact mean and variance a Gaussian still has the wrong form, which shorter steps mend; what is left is learning. Every KL
term of Eq. 14 also holds I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾), which no kernel can remove; these add up to I(X⁽¹⁾;X⁽⁰⁾) − I(X⁽ᵀ⁾;X⁽⁰⁾).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import GaussianDiffusion, gaussian_entropy_nats
from dpm_core.reverse import EmpiricalReverse, ReverseKernel

NODES = 48  # times at which an entropy is integrated; between them a cubic spline over log variance, off by less than 1e-4 nats
REACH, FINENESS, MOST_CELLS = 6.0, 1.25, 700  # of the quadrature: margin in deviations, cells per deviation, cells along a side
ROWS = 1 << 15  # pairs of a point and a time at once


def marginal_entropy_nats(kernel: EmpiricalReverse, t: int) -> float:
    """H_q(X⁽ᵗ⁾) in nats of points in the plane, by quadrature on an even grid; t = 0 gives h when the data have noise.

    An even grid integrates Gaussians of width σ to e⁻²⁰ when its cells are narrower than σ/1.25. Raises ValueError for data that
    are not in the plane, or without noise at t = 0.
    """
    if kernel.data.ndim != 2 or kernel.data.shape[1] != 2:
        raise ValueError("Entropies are integrated in the plane only.")
    schedule = kernel.diffusion.schedule
    signal, variance = float(schedule.alpha_bar(t)), float(schedule.noise(t))
    width = math.sqrt(signal * kernel.noise**2 + variance)
    if not width > 0:
        raise ValueError("Points without noise have no density; give the kernel a noise.")
    if signal == 0:
        return gaussian_entropy_nats(torch.ones(()), 2)
    far = math.sqrt(signal) * float(kernel.data.abs().max()) + REACH * width
    cells = min(MOST_CELLS, max(64, math.ceil(2 * far * FINENESS / width)))
    axis = torch.linspace(-far, far, cells, dtype=torch.float64)
    density = kernel.marginal_on_grid(axis, t)
    return -float(torch.special.xlogy(density, density).sum()) * float(axis[1] - axis[0]) ** 2


def marginal_entropies_nats(kernel: EmpiricalReverse, from_t: int = 1) -> Tensor:
    """H_q(X⁽ᵗ⁾) for t = from_t..T in nats, float64 ``[T + 1 − from_t]``: integrated at up to NODES of them, a spline between."""
    schedule, T = kernel.diffusion.schedule, kernel.diffusion.T
    times = np.arange(from_t, T + 1)
    variance = (schedule.alpha_bar(torch.from_numpy(times)) * kernel.noise**2 + schedule.noise(torch.from_numpy(times))).log().numpy()
    if len(times) <= NODES:
        return torch.tensor([marginal_entropy_nats(kernel, int(t)) for t in times], dtype=torch.float64)
    # evenly through what changes: the variance's logarithm where it is small, and time where it has levelled off
    progress = np.linspace(0, 1, len(times)) + (variance - variance[0]) / max(variance[-1] - variance[0], 1e-12)
    chosen = np.unique(np.searchsorted(progress, np.linspace(0, 2, NODES)).clip(max=len(times) - 1))
    known = [marginal_entropy_nats(kernel, int(t)) for t in times[chosen]]
    return torch.from_numpy(CubicSpline(progress[chosen], known)(progress))


def reverse_entropies_nats(kernel: EmpiricalReverse) -> Tensor:
    """The true H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) for t = 2..T in nats, ``[T−1]``, between the bounds of Eq. 24:
    H_q(X⁽ᵗ⁾|X⁽ᵗ⁻¹⁾) + H_q(X⁽ᵗ⁻¹⁾) − H_q(X⁽ᵗ⁾)."""
    entropies, schedule = marginal_entropies_nats(kernel), kernel.diffusion.schedule
    forward = math.log(2 * math.pi * math.e) + schedule.betas[1:].log()
    return forward + entropies[:-1] - entropies[1:]


@dataclass(frozen=True)
class Budget:
    """The gap −h − K and its parts, nats per datum. Tensors are float64 ``[T−1]``, for t = 2..T.

    ``gaussian`` and ``learning`` carry standard errors over the points; everything else is closed form or quadrature. At each t
    irreducible + gaussian + learning is the KL term of Eq. 14.
    """

    irreducible: Tensor  # I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾)
    discretisation: Tensor  # what the exact mean and variance lose
    learning: Tensor  # what the model loses to them
    discretisation_error: Tensor
    learning_error: Tensor
    entropy: float  # h of the data
    first_step: float  # H_q(X⁽¹⁾) − h
    prior_mismatch: float  # H(π) − H_q(X⁽ᵀ⁾)
    null: float  # L_null, the mean log likelihood of the data under π

    @classmethod
    def of(cls, best: Tensor, extra: Tensor, irreducible: Tensor, entropy: float, first_step: float, prior: float, null: float) -> Budget:
        """From what the best kernel of its form costs at each t for each of n draws, float64 ``[T−1, n]``, and the model beyond it."""
        n = best.shape[1]
        form, learned = (cost.std(1, unbiased=n > 1) / math.sqrt(n) for cost in (best, extra))
        return cls(irreducible, best.mean(1) - irreducible, extra.mean(1), form, learned, entropy, first_step, prior, null)

    @property
    def best_bits(self) -> float:
        """The K of the best diagonal-Gaussian chain at this T and schedule, in bits per datum."""
        return (-self.entropy - self.first_step - self.prior - float(self.discretisation.sum())) / NATS_PER_BIT

    @property
    def bound_bits(self) -> float:
        """K of the model in bits per datum."""
        return self.best_bits - float(self.learning.sum()) / NATS_PER_BIT

    @property
    def parts_bits(self) -> dict[str, float]:
        """From −h down to K, in bits per datum."""
        nats = {
            "first step": self.first_step,
            "prior": self.prior,
            "discretisation": float(self.discretisation.sum()),
            "learning": float(self.learning.sum()),
        }
        return {name: value / NATS_PER_BIT for name, value in nats.items()}

    @property
    def errors_bits(self) -> dict[str, float]:
        """Standard errors of the two parts that are estimated: the x⁽ᵗ⁾ of every t are drawn independently."""
        both = {"discretisation": self.discretisation_error, "learning": self.learning_error}
        return {name: float(error.square().sum().sqrt()) / NATS_PER_BIT for name, error in both.items()}


@torch.inference_mode()
def budget(
    model: ReverseKernel | None,
    kernel: EmpiricalReverse,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Budget:
    """The budget of a model on data in the plane whose exact reverse kernel is ``kernel``; without a model, learning is 0.

    x⁽ᵗ⁾ is drawn from q at every t for every x0 ``[n, 2]``, and x⁽⁰⁾ given x⁽ᵗ⁾ is integrated out by the kernel's exact mean m and
    variance V: a Gaussian with mean μ and variance s of x⁽⁰⁾ costs ½ Σ log(1 + g s) + (g ((m − μ)² + V) − g s)/(1 + g s), with
    g = c₀²/β̃, and the best one ½ Σ log(1 + g V). So errors are those of x⁽ᵗ⁾ alone.
    """
    n, T = len(x0), diffusion.T
    best, extra = (torch.empty(T - 1, n, dtype=torch.float64) for _ in range(2))
    size = max(1, ROWS // n)
    for times in torch.arange(2, T + 1).split(size):
        t = times.repeat_interleave(n)
        xt = diffusion.q_sample(x0.repeat(len(times), 1), t, generator)
        c0, _, posterior = diffusion.posterior_coefficients(t)
        g = (c0.square() / posterior)[:, None]
        m, V = (moment.double() for moment in kernel.x0_posterior(xt, t))
        least = 0.5 * torch.log1p(g * V).sum(1)
        more = torch.zeros_like(least)
        if model is not None:
            mu, s = (moment.double() for moment in model.x0_posterior(xt, t))
            more = 0.5 * (torch.log1p(g * s) + (g * ((m - mu).square() + V) - g * s) / (1 + g * s)).sum(1) - least
        rows = slice(int(times[0]) - 2, int(times[-1]) - 1)
        best[rows], extra[rows] = least.view(-1, n), more.view(-1, n)
    entropies, schedule = marginal_entropies_nats(kernel), diffusion.schedule
    entropy, normal = marginal_entropy_nats(kernel, 0), gaussian_entropy_nats(torch.ones(()), 2)
    noise = schedule.noise(torch.arange(1, T + 1)).log()  # H_q(X⁽ᵗ⁾|X⁽⁰⁾) is its sum over both coordinates, halved, up to a constant
    irreducible = (noise[1:] - noise[:-1]) + entropies[:-1] - entropies[1:]
    return Budget.of(
        best,
        extra,
        irreducible,
        entropy,
        first_step=float(entropies[0]) - entropy,
        prior=normal - float(entropies[-1]),
        null=float(-0.5 * (x0.double().square().sum(1) + 2 * math.log(2 * math.pi)).mean()),
    )
