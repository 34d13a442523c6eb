"""The exact reverse kernel of patterns of bits."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.process import BinomialDiffusion
from dpm_core.reverse.empirical_points import BLOCK_ELEMENTS, EmpiricalReverse
from dpm_core.schedules import Time

NEVER = 1e6  # nats against an impossible pattern: a finite stand-in for −log 0


class EmpiricalBits(EmpiricalReverse):
    """The exact reverse kernel of patterns of bits under the binomial diffusion.

    P(x⁽⁰⁾ = y_j|x⁽ᵗ⁾) ∝ w_j ∏_i B(x⁽ᵗ⁾_i; y_ji ᾱ_t + ρ(1−ᾱ_t)): a softmax over the patterns y ``[N, ...]``, whose average is the
    chance that each bit was a 1. Raises ValueError for no patterns, for values other than 0 and 1, and for noise: bits have none.
    """

    diffusion: BinomialDiffusion  # type: ignore[assignment]

    def __init__(self, data: Tensor, diffusion: BinomialDiffusion, noise: float = 0.0, weights: Tensor | None = None):
        if not bool(((data == 0) | (data == 1)).all()):
            raise ValueError("Patterns of bits hold 0 and 1 only.")
        if noise != 0:
            raise ValueError("Bits have no noise of their own; it is for points.")
        super().__init__(data, diffusion, 0.0, weights)  # type: ignore[arg-type]
        self._values = self._values[:, : self._keys.shape[0] - 2]  # a bit is its own square
        self._keys[-2] = 1.0  # where a Gaussian has |y|², bits have what does not depend on the pattern

    @staticmethod
    def _require(diffusion: object) -> None:
        """TypeError for a diffusion under which these formulas do not hold."""
        if not isinstance(diffusion, BinomialDiffusion):
            raise TypeError("EmpiricalBits is for the BinomialDiffusion; use empirical_reverse, which suits either kind.")

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """P(x⁽⁰⁾ = 1|x⁽ᵗ⁾) of each bit and its variance, both shaped as xt."""
        x = xt.flatten(1)
        p = torch.empty_like(x)
        for rows, logits in self._log_joint(x, t):
            p[rows] = (torch.softmax(logits, 1) @ self._values).clamp(0, 1).to(x.dtype)
        return p.view_as(xt), (p * (1 - p)).view_as(xt)

    def under(self, diffusion: BinomialDiffusion) -> EmpiricalReverse:  # type: ignore[override]
        """The exact reverse kernel of the same patterns under another diffusion."""
        return EmpiricalBits(self.data, diffusion, 0.0, self.weights)

    @property
    def probabilities(self) -> Tensor:
        """Of each pattern, float64 ``[N]``."""
        return self._keys[-1].exp()

    def weighed(self, log_r: Tensor) -> EmpiricalBits:
        """The same patterns, each as likely as before times r; ``log_r`` ``[N]`` in nats. Raises ValueError where nothing is left."""
        log_weights = self._keys[-1] + log_r.double()
        if not bool((log_weights > -math.inf).any()):
            raise ValueError("No pattern of the data is like this; fewer bits must be known.")
        kept = log_weights > -math.inf
        return EmpiricalBits(self.data[kept], self.diffusion, 0.0, torch.softmax(log_weights[kept], 0))

    def log_marginal(self, xt: Tensor, t: Time) -> Tensor:
        """log q(x⁽ᵗ⁾) in nats, ``[n]``; t = 0 gives the patterns' own probability, −∞ for what is none of them."""
        x = xt.flatten(1)
        out = torch.empty_like(x[:, 0])
        for rows, logits in self._log_joint(x, t):
            out[rows] = torch.logsumexp(logits, 1).to(x.dtype)
        return out

    def marginal_on_grid(self, axis: Tensor, t: int) -> Tensor:
        """Bits have no plane. Raises TypeError."""
        raise TypeError("Only data in the plane have a density on a grid.")

    def _log_joint(self, x: Tensor, t: Time) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows with log w_j q(x_i|y_j), float64 ``[rows, N]``: linear in the patterns, so one matrix product."""
        x = x.double()
        if isinstance(t, int) and t == 0:  # nothing has flipped yet; a finite stand-in for log 0
            a, b, c, d = (torch.full((1, 1), value).to(x) for value in (0.0, -NEVER, -NEVER, 2 * NEVER))
        else:
            a, b, c, d = (value.to(x).reshape(-1, 1) for value in self.diffusion.log_likelihood_weights(t))
        own = (a * x.shape[1] + b * x.sum(1, keepdim=True)).expand(len(x), 1)
        queries = torch.cat([d * x + c, own, torch.ones_like(own)], 1)
        size = max(1, BLOCK_ELEMENTS // self._keys.shape[1])
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            logits = queries[rows] @ self._keys
            yield rows, logits.masked_fill(logits < -NEVER / 2, -math.inf)
