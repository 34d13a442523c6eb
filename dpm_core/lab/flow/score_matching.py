"""Score matching as the limit of minimum probability flow for continuous data, in the plane.

The neighbours of a datum x are x' = x + σ z with z ~ N(0, I), and K_σ = E exp(½ [E(x) − E(x')]). For small σ the expansion of E(x') gives

    (K_σ − 1) 4/σ² → E[½ |ψ(x)|² + ∇·ψ(x)],  ψ = −∇E, the score,

the objective of score matching (Hyvärinen 2005, Theorem 1); Sohl-Dickstein et al. (ICML 2011) derive it from neighbours within a small
distance. Denoising score matching (Vincent 2011) is score matching on data with added noise: E ½ |ψ(x + σ z) + z/σ|², what diffusion models
are trained with at every noise level σ.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NODES = 8  # of the Gauss–Hermite quadrature, per dimension
ITERATIONS = 200


class Family(ABC):
    """Unnormalised densities exp(−E(x; θ)) in the plane, θ a vector."""

    @abstractmethod
    def energy(self, theta: Tensor, x: Tensor) -> Tensor:
        """E of each x ``[..., 2]``, ``[...]``."""

    @abstractmethod
    def score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """ψ = −∇E ``[..., 2]`` and its divergence ``[...]``."""


class Gaussian(Family):
    """E = ½ (x − m)ᵀ P (x − m), P = L Lᵀ; θ = (m₁, m₂, log L₁₁, L₂₁, log L₂₂)."""

    def energy(self, theta: Tensor, x: Tensor) -> Tensor:
        return ((x - theta[:2]) @ self._root(theta)).square().sum(-1) / 2

    def score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        precision = self.precision(theta)
        return (theta[:2] - x) @ precision, -precision.trace() * torch.ones_like(x[..., 0])

    def precision(self, theta: Tensor) -> Tensor:
        """P ``[2, 2]``."""
        root = self._root(theta)
        return root @ root.T

    @staticmethod
    def _root(theta: Tensor) -> Tensor:
        zero = torch.zeros_like(theta[0])
        return torch.stack([torch.stack([theta[2].exp(), zero]), torch.stack([theta[3], theta[4].exp()])])

    @staticmethod
    def parameters(mean: Tensor, covariance: Tensor) -> Tensor:
        """θ for a mean and a covariance."""
        root = torch.linalg.cholesky(torch.linalg.inv(covariance))
        return torch.cat([mean, torch.stack([root[0, 0].log(), root[1, 0], root[1, 1].log()])])


class Mixture(Family):
    """E = −log Σ_k exp(b_k − |x − m_k|²/(2 s²)), k components; θ = (m ``[2 k]``, b ``[k − 1]`` with the last 0, log s)."""

    def __init__(self, components: int) -> None:
        self.k = components

    def energy(self, theta: Tensor, x: Tensor) -> Tensor:
        return -torch.logsumexp(self._logits(theta, x), -1)

    def score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        means, _, variance = self._parts(theta)
        share = torch.softmax(self._logits(theta, x), -1)
        pull = (means - x[..., None, :]) / variance
        score = (share[..., None] * pull).sum(-2)
        return score, -2 / variance + (share * pull.square().sum(-1)).sum(-1) - score.square().sum(-1)

    def _parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        biases = torch.cat([theta[2 * self.k : 3 * self.k - 1], theta.new_zeros(1)])
        return theta[: 2 * self.k].view(self.k, 2), biases, (2 * theta[-1]).exp()

    def _logits(self, theta: Tensor, x: Tensor) -> Tensor:
        means, biases, variance = self._parts(theta)
        return biases - (x[..., None, :] - means).square().sum(-1) / (2 * variance)

    def parameters(self, means: Tensor, shares: Tensor, deviation: float) -> Tensor:
        """θ for means ``[k, 2]``, shares ``[k]`` and one standard deviation."""
        return torch.cat([means.flatten(), (shares[:-1] / shares[-1]).log(), torch.tensor([math.log(deviation)], dtype=means.dtype)])


def score_matching(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """Return E[½ |ψ|² + ∇·ψ] over data x ``[n, 2]`` (Hyvärinen 2005, Eq. 4)."""
    score, divergence = family.score(theta, x)
    return (score.square().sum(-1) / 2 + divergence).mean()


def flow(family: Family, theta: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Return (K_σ − 1) 4/σ² over data x ``[n, 2]``, the neighbours by Gauss–Hermite quadrature: it tends to score matching as σ → 0."""
    z, weights = _neighbours(sigma)
    change = (family.energy(theta, x)[:, None] - family.energy(theta, x[:, None] + z)) / 2
    return 4 / sigma**2 * (torch.expm1(change) @ weights).mean()


def denoising(family: Family, theta: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Return E ½ |ψ(x + σ z) + z/σ|² − 1/σ², denoising score matching without what does not depend on θ, by the same quadrature."""
    z, weights = _neighbours(sigma)
    score = family.score(theta, x[:, None] + z)[0]
    return ((score.square().sum(-1) / 2 + (score * z).sum(-1) / sigma**2) @ weights).mean()


def gaussian_flow(mean: Tensor, precision: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Return (K_σ − 1) 4/σ² of a Gaussian in closed form: exp(σ²/8 gᵀ (I + σ²P/2)⁻¹ g)/√|I + σ²P/2|, g = P(x − m), averaged."""
    inside = torch.eye(2, dtype=x.dtype) + sigma**2 / 2 * precision
    g = (x - mean) @ precision
    exponent = sigma**2 / 8 * ((g @ torch.linalg.inv(inside)) * g).sum(1) - torch.logdet(inside) / 2
    return 4 / sigma**2 * torch.expm1(exponent).mean()


def fit(objective: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Return the θ that minimises an objective, by L-BFGS from a start; a local minimum where there are several."""
    theta = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [theta], max_iter=ITERATIONS, tolerance_grad=1e-9, tolerance_change=1e-13, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective(theta)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)
    return theta.detach()


def apart(family: Family, one: Tensor, other: Tensor, x: Tensor) -> float:
    """Return the root mean square difference of the scores of two θ on data x."""
    return float((family.score(one, x)[0] - family.score(other, x)[0]).square().sum(-1).mean().sqrt())


def _neighbours(sigma: float) -> tuple[Tensor, Tensor]:
    """Displacements σ z ``[m, 2]`` and weights ``[m]`` that sum to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    z = torch.cartesian_prod(torch.from_numpy(nodes), torch.from_numpy(nodes))
    w = torch.cartesian_prod(torch.from_numpy(weights), torch.from_numpy(weights)).prod(1)
    return sigma * z, w / w.sum()
