"""The exact reverse kernel of a finite set of bit patterns."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.process import BinomialDiffusion
from dpm_core.reverse.empirical_points import BLOCK_ELEMENTS, EmpiricalReverse
from dpm_core.schedules import Time

IMPOSSIBLE_NATS = 1e6  # a finite replacement for −log 0, the cost of an impossible pattern


class EmpiricalBits(EmpiricalReverse):
    """The exact reverse kernel of bit patterns under the binomial diffusion.

    P(x⁽⁰⁾ = y_j|x⁽ᵗ⁾) ∝ w_j ∏_i B(x⁽ᵗ⁾_i; y_ji ᾱ_t + ρ(1−ᾱ_t)): a softmax over the patterns y ``[N, ...]``, whose average is the
    probability that each bit is 1. Raises ValueError for no patterns, for values other than 0 and 1, and for ``noise`` ≠ 0.
    """

    diffusion: BinomialDiffusion  # type: ignore[assignment]

    def __init__(self, data: Tensor, diffusion: BinomialDiffusion, noise: float = 0.0, weights: Tensor | None = None):
        if not bool(((data == 0) | (data == 1)).all()):
            raise ValueError(f"Bit patterns must contain only 0 and 1; found {float(data[(data != 0) & (data != 1)].flatten()[0]):g}.")
        if noise != 0:
            raise ValueError(f"The noise of bit patterns must be 0, not {noise:g}; blur applies to points only.")
        super().__init__(data, diffusion, 0.0, weights)  # type: ignore[arg-type]
        self._values = self._values[:, : self._keys.shape[0] - 2]  # a bit is its own square
        self._keys[-2] = 1.0  # this key multiplies the term that does not depend on the pattern (|y|² for points)

    @staticmethod
    def _require(diffusion: object) -> None:
        """Raise TypeError for a diffusion other than the one these formulas are derived for."""
        if not isinstance(diffusion, BinomialDiffusion):
            raise TypeError(f"EmpiricalBits requires a BinomialDiffusion, not {type(diffusion).__name__}; see empirical_reverse.")

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return P(x⁽⁰⁾ = 1|x⁽ᵗ⁾) of each bit and its variance, both shaped as xt."""
        x = xt.flatten(1)
        p = torch.empty_like(x)
        for rows, logits in self._log_joint(x, t):
            p[rows] = (torch.softmax(logits, 1) @ self._values).clamp(0, 1).to(x.dtype)
        return p.view_as(xt), (p * (1 - p)).view_as(xt)

    def with_diffusion(self, diffusion: BinomialDiffusion) -> EmpiricalReverse:  # type: ignore[override]
        """Return the exact reverse kernel of the same patterns under another diffusion."""
        return EmpiricalBits(self.data, diffusion, 0.0, self.weights)

    @property
    def probabilities(self) -> Tensor:
        """The probability of each pattern, float64 ``[N]``."""
        return self._keys[-1].exp()

    def reweighted(self, log_r: Tensor) -> EmpiricalBits:
        """Return the kernel of the same patterns with each probability multiplied by r and renormalised.

        ``log_r`` ``[N]`` is in nats. Raises ValueError where r is 0 for every pattern.
        """
        log_weights = self._keys[-1] + log_r.double()
        if not bool((log_weights > -math.inf).any()):
            raise ValueError("No pattern in the data agrees with the known bits; fix fewer bits.")
        possible = log_weights > -math.inf
        return EmpiricalBits(self.data[possible], self.diffusion, 0.0, torch.softmax(log_weights[possible], 0))

    def log_marginal(self, xt: Tensor, t: Time) -> Tensor:
        """log q(x⁽ᵗ⁾) in nats, ``[n]``; at t = 0 the probability of the pattern, −∞ for x that is none of the patterns."""
        x = xt.flatten(1)
        out = torch.empty_like(x[:, 0])
        for rows, logits in self._log_joint(x, t):
            out[rows] = torch.logsumexp(logits, 1).to(x.dtype)
        return out

    def marginal_on_grid(self, axis: Tensor, t: int) -> Tensor:
        """Not defined for bits. Raises TypeError."""
        raise TypeError("A density on a grid exists only for points in the plane, not for bits.")

    def _log_joint(self, x: Tensor, t: Time) -> Iterator[tuple[slice, Tensor]]:
        """Yield blocks of rows with log w_j q(x_i|y_j), float64 ``[rows, N]``: linear in the patterns, so one matrix product."""
        x = x.double()
        if isinstance(t, int) and t == 0:  # x⁽⁰⁾ is observed exactly: any other pattern is impossible
            a, b, c, d = (torch.full((1, 1), value).to(x) for value in (0.0, -IMPOSSIBLE_NATS, -IMPOSSIBLE_NATS, 2 * IMPOSSIBLE_NATS))
        else:
            a, b, c, d = (value.to(x).reshape(-1, 1) for value in self.diffusion.log_likelihood_weights(t))
        constant = (a * x.shape[1] + b * x.sum(1, keepdim=True)).expand(len(x), 1)
        queries = torch.cat([d * x + c, constant, torch.ones_like(constant)], 1)
        size = max(1, BLOCK_ELEMENTS // self._keys.shape[1])
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            logits = queries[rows] @ self._keys
            yield rows, logits.masked_fill(logits < -IMPOSSIBLE_NATS / 2, -math.inf)
