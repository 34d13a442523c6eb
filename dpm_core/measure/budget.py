"""The budget of a model: the gap between K and the negative entropy −h of the data, split into its causes (points in the plane).

−h is the upper limit of K. The bound of Eq. 14 can be written with the marginal entropies H_q(X⁽ᵗ⁾):

    −h − K = [H_q(X⁽¹⁾) − h + ½ (1−ᾱ₁) (m − d)] + KL(q(x⁽ᵀ⁾) ‖ π) + Σ_{t≥2} E KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)),

where m = E|x⁽⁰⁾|² is d for data of variance 1 in d dimensions.

* Fixed first step: the step t = 1 is not learned (App. B.2); this is the KL divergence of q(x⁽⁰⁾|x⁽¹⁾) from q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾).
* Mismatch with the prior, KL(q(x⁽ᵀ⁾) ‖ π) = H(π) − H_q(X⁽ᵀ⁾) + ½ ᾱ_T (m − d): x⁽ᵀ⁾ does not follow π exactly.
* Discretisation gap: with finite T, q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) is not Gaussian; this is the KL of the Gaussian with the exact moments.
* Learning gap: the additional KL of the model's Gaussian.

Each KL term of Eq. 14 also contains an irreducible part, the conditional mutual information I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾), which no
reverse kernel can reduce; these parts sum to I(X⁽¹⁾;X⁽⁰⁾) − I(X⁽ᵀ⁾;X⁽⁰⁾) and cancel against the entropies in K.
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

NODES = 48  # times at which an entropy is integrated; the cubic spline between them is accurate to 1e-4 nats
GRID_MARGIN, CELLS_PER_DEVIATION, MAX_CELLS = 6.0, 1.25, 700  # of the quadrature: in standard deviations; per side
BLOCK_ROWS = 1 << 15  # (point, time) pairs evaluated at once


def marginal_entropy_nats(kernel: EmpiricalReverse, t: int) -> float:
    """Return H_q(X⁽ᵗ⁾) in nats for points in the plane, by quadrature on an even grid; at t = 0 the entropy h of the data.

    An even grid integrates Gaussians of standard deviation σ to a relative error of e⁻²⁰ when its cells are narrower than σ/1.25.
    Raises ValueError for data that are not in the plane, or without noise at t = 0.
    """
    if kernel.data.ndim != 2 or kernel.data.shape[1] != 2:
        raise ValueError(f"Entropies are integrated in the plane only: data of shape [N, 2] are needed, not {list(kernel.data.shape)}.")
    schedule = kernel.diffusion.schedule
    signal, variance = float(schedule.alpha_bar(t)), float(schedule.noise(t))
    width = math.sqrt(signal * kernel.noise**2 + variance)
    if not width > 0:
        raise ValueError("Points without noise have no density at t = 0; build the kernel with noise > 0.")
    if signal == 0:
        return gaussian_entropy_nats(torch.ones(()), 2)
    far = math.sqrt(signal) * float(kernel.data.abs().max()) + GRID_MARGIN * width
    cells = min(MAX_CELLS, max(64, math.ceil(2 * far * CELLS_PER_DEVIATION / width)))
    axis = torch.linspace(-far, far, cells, dtype=torch.float64)
    density = kernel.marginal_on_grid(axis, t)
    return -float(torch.special.xlogy(density, density).sum()) * float(axis[1] - axis[0]) ** 2


def marginal_entropies_nats(kernel: EmpiricalReverse, from_t: int = 1) -> Tensor:
    """Return H_q(X⁽ᵗ⁾) for t = from_t..T in nats, float64 ``[T + 1 − from_t]``.

    At most NODES of them are integrated; a cubic spline interpolates the others.
    """
    schedule, T = kernel.diffusion.schedule, kernel.diffusion.T
    times = np.arange(from_t, T + 1)
    variance = (schedule.alpha_bar(torch.from_numpy(times)) * kernel.noise**2 + schedule.noise(torch.from_numpy(times))).log().numpy()
    if len(times) <= NODES:
        return torch.tensor([marginal_entropy_nats(kernel, int(t)) for t in times], dtype=torch.float64)
    # nodes evenly spaced in log variance plus time: dense where the variance grows, regular where it is constant
    progress = np.linspace(0, 1, len(times)) + (variance - variance[0]) / max(variance[-1] - variance[0], 1e-12)
    chosen = np.unique(np.searchsorted(progress, np.linspace(0, 2, NODES)).clip(max=len(times) - 1))
    known = [marginal_entropy_nats(kernel, int(t)) for t in times[chosen]]
    return torch.from_numpy(CubicSpline(progress[chosen], known)(progress))


def reverse_entropies_nats(kernel: EmpiricalReverse) -> Tensor:
    """Return the exact H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) for t = 2..T in nats, ``[T−1]``, to compare with the bounds of Eq. 24.

    It equals H_q(X⁽ᵗ⁾|X⁽ᵗ⁻¹⁾) + H_q(X⁽ᵗ⁻¹⁾) − H_q(X⁽ᵗ⁾).
    """
    entropies, schedule = marginal_entropies_nats(kernel), kernel.diffusion.schedule
    forward = math.log(2 * math.pi * math.e) + schedule.betas[1:].log()
    return forward + entropies[:-1] - entropies[1:]


@dataclass(frozen=True)
class Budget:
    """The gap −h − K and its parts in nats per datum. Tensors are float64 ``[T−1]``, for t = 2..T.

    ``discretisation`` and ``learning`` have standard errors over the sampled points; all other parts are exact or computed by
    quadrature. At each t, irreducible + discretisation + learning is the KL term of Eq. 14. The terms of different t share their
    x⁽⁰⁾, so the errors of the sums over t are those of each point's own sum.
    """

    irreducible: Tensor  # conditional mutual information I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾)
    discretisation: Tensor  # discretisation gap: KL of the step with exact moments, beyond the irreducible part
    learning: Tensor  # learning gap: additional KL of the model
    discretisation_error: Tensor
    learning_error: Tensor
    total_errors: dict[str, float]  # standard errors in nats of the sums over t: "discretisation", "learning", and "both" of K itself
    discretisation_sums: Tensor  # of each sampled point: the sum over t of the KL with exact moments, [n]
    entropy: float  # h, the (differential) entropy of the data
    first_step: float  # fixed first step
    prior_mismatch: float  # mismatch with the prior, KL(q(x⁽ᵀ⁾) ‖ π)
    null: float  # L_null, mean log-likelihood of the data under π

    @classmethod
    def from_costs(
        cls,
        optimal: Tensor,
        excess: Tensor,
        irreducible: Tensor,
        *,
        entropy: float,
        first_step: float,
        prior_mismatch: float,
        null: float,
    ) -> Budget:
        """Build the budget from sampled KL divergences.

        ``optimal``: the KL of the kernel with exact moments, at each t for each of n samples, float64 ``[T−1, n]``; ``excess``: the
        additional KL of the model. Both are averaged over x⁽⁰⁾ given x⁽ᵗ⁾.
        """
        n = optimal.shape[1]
        optimal_error, excess_error = (cost.std(1, unbiased=n > 1) / math.sqrt(n) for cost in (optimal, excess))
        sums = {"discretisation": optimal.sum(0), "learning": excess.sum(0), "both": (optimal + excess).sum(0)}
        return cls(
            irreducible,
            discretisation=optimal.mean(1) - irreducible,
            learning=excess.mean(1),
            discretisation_error=optimal_error,
            learning_error=excess_error,
            total_errors={name: float(each.std(unbiased=n > 1)) / math.sqrt(n) for name, each in sums.items()},
            discretisation_sums=sums["discretisation"],
            entropy=entropy,
            first_step=first_step,
            prior_mismatch=prior_mismatch,
            null=null,
        )

    @property
    def best_bits(self) -> float:
        """Best K with Gaussian steps (independent bits) at this T and schedule, i.e. with exact moments, in bits per datum."""
        return (-self.entropy - self.first_step - self.prior_mismatch - float(self.discretisation.sum())) / NATS_PER_BIT

    @property
    def bound_bits(self) -> float:
        """K of the model in bits per datum."""
        return self.best_bits - float(self.learning.sum()) / NATS_PER_BIT

    @property
    def parts_bits(self) -> dict[str, float]:
        """The parts of the gap −h − K in bits per datum, in the order from −h down to K; they sum to the gap."""
        nats = {
            "first_step": self.first_step,
            "prior_mismatch": self.prior_mismatch,
            "discretisation": float(self.discretisation.sum()),
            "learning": float(self.learning.sum()),
        }
        return {name: value / NATS_PER_BIT for name, value in nats.items()}

    @property
    def errors_bits(self) -> dict[str, float]:
        """Standard errors in bits of the two parts that are estimated, over the sampled points."""
        return {name: self.total_errors[name] / NATS_PER_BIT for name in ("discretisation", "learning")}

    def best_bits_above(self, other: Budget) -> tuple[float, float]:
        """Return ``best_bits`` − ``other.best_bits`` and its standard error in bits.

        Both are of the same points with the same noise, so the error is that of the difference at each point: much smaller than the
        errors of the two values. Raises ValueError for different numbers of points.
        """
        if len(self.discretisation_sums) != len(other.discretisation_sums):
            raise ValueError("Only budgets of the same points can be compared; these have different numbers of points.")
        n = len(self.discretisation_sums)
        spread = float((self.discretisation_sums - other.discretisation_sums).std(unbiased=n > 1))
        return self.best_bits - other.best_bits, spread / math.sqrt(n) / NATS_PER_BIT

    @property
    def bound_error_bits(self) -> float:
        """Standard error of K in bits, over the sampled points; that of ``best_bits`` is the one of the discretisation."""
        return self.total_errors["both"] / NATS_PER_BIT


@torch.inference_mode()
def budget(
    model: ReverseKernel | None,
    kernel: EmpiricalReverse,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    generator: torch.Generator | None = None,
) -> Budget:
    """Return the budget of a model on plane data whose exact reverse kernel is ``kernel``; without a model, the learning gap is 0.

    x⁽ᵗ⁾ is drawn from q at every t for every x0 ``[n, 2]``, and x⁽⁰⁾ given x⁽ᵗ⁾ is integrated out with the kernel's exact mean m and
    variance V: a model with posterior mean μ and variance s has ½ Σ log(1 + g s) + (g ((m − μ)² + V) − g s)/(1 + g s), with
    g = c₀²/β̃, and the exact moments have ½ Σ log(1 + g V). Standard errors therefore come from x⁽ᵗ⁾ alone.
    """
    n, T = len(x0), diffusion.T
    optimal, excess = (torch.empty(T - 1, n, dtype=torch.float64) for _ in range(2))
    size = max(1, BLOCK_ROWS // n)
    for times in torch.arange(2, T + 1).split(size):
        t = times.repeat_interleave(n)
        xt = diffusion.q_sample(x0.repeat(len(times), 1), t, generator)
        c0, _, posterior = diffusion.posterior_coefficients(t)
        g = (c0.square() / posterior)[:, None]
        m, V = (moment.double() for moment in kernel.x0_posterior(xt, t))
        exact_kl = 0.5 * torch.log1p(g * V).sum(1)
        model_excess = torch.zeros_like(exact_kl)
        if model is not None:
            mu, s = (moment.double() for moment in model.x0_posterior(xt, t))
            model_kl = 0.5 * (torch.log1p(g * s) + (g * ((m - mu).square() + V) - g * s) / (1 + g * s)).sum(1)
            model_excess = model_kl - exact_kl
        rows = slice(int(times[0]) - 2, int(times[-1]) - 1)
        optimal[rows], excess[rows] = exact_kl.view(-1, n), model_excess.view(-1, n)
    entropies, schedule = marginal_entropies_nats(kernel), diffusion.schedule
    entropy, normal = marginal_entropy_nats(kernel, 0), gaussian_entropy_nats(torch.ones(()), 2)
    noise = schedule.noise(torch.arange(1, T + 1)).log()  # H_q(X⁽ᵗ⁾|X⁽⁰⁾) up to a constant: ½ log(1−ᾱ_t) for each of the two coordinates
    irreducible = (noise[1:] - noise[:-1]) + entropies[:-1] - entropies[1:]
    excess_power = kernel.second_moment() - 2
    return Budget.from_costs(
        optimal,
        excess,
        irreducible,
        entropy=entropy,
        first_step=float(entropies[0]) - entropy + 0.5 * float(schedule.noise(1)) * excess_power,
        prior_mismatch=normal - float(entropies[-1]) + 0.5 * float(schedule.alpha_bar(T)) * excess_power,
        null=float(-0.5 * (x0.double().square().sum(1) + 2 * math.log(2 * math.pi)).mean()),
    )
