"""Reverse kernels p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾): a network read as one, and the data's own exact one.

Both say what they know as the mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾. For any s < t that fixes the best reverse
step that is independent over x's elements, because the mean of q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) is linear in x⁽⁰⁾: of Gaussians
N(c₀ E[x⁽⁰⁾|x⁽ᵗ⁾] + c_t x⁽ᵗ⁾, β̃ + c₀² Var(x⁽⁰⁾|x⁽ᵗ⁾)), of bits the posterior at E[x⁽⁰⁾|x⁽ᵗ⁾].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from dpm_core.chain import Chain, Kernel, expand, where
from dpm_core.diffusion import BinomialDiffusion, GaussianDiffusion
from dpm_core.schedules import Time

LOG_SNR_LIMIT = 15.0  # networks see log-SNR clamped here, so ᾱ_T = 0 (log-SNR −∞) stays finite
BLOCK_ELEMENTS = 1 << 20  # weights held at once by EmpiricalReverse: 4 MB in float32, fits the cache
NEVER = 1e6  # nats against what cannot be


class ReverseKernel(Protocol):
    """What samplers and bounds need of a model."""

    @property
    def diffusion(self) -> Chain:
        """The forward process that it undoes."""
        ...

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt ``[n, ...]``."""
        ...

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), s = t−1 unless given."""
        ...


class _FromMoments:
    """Shared by all kernels: reverse steps of any length from the moments of x⁽⁰⁾ given x⁽ᵗ⁾."""

    diffusion: Chain

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        raise NotImplementedError  # each kernel's own knowledge

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), independent over the elements of xt; s = t−1 unless given."""
        return self.diffusion.reverse_step(xt, *self.x0_moments(xt, t), t, s)


class ReverseModel(_FromMoments, nn.Module):
    """A network read as a reverse kernel: N(f_μ(x⁽ᵗ⁾,t), f_Σ(x⁽ᵗ⁾,t)) with diagonal f_Σ, or of bits B(f_b(x⁽ᵗ⁾,t)).

    The network's contract: ``network(x, t, log_snr) -> (F, v)`` with x ``[n, ...]``; t LongTensor and
    log_snr float, both scalar or ``[n]``; F and v shaped as x. The diffusion reads them as a belief in x⁽⁰⁾
    (:meth:`GaussianDiffusion.belief`, :meth:`BinomialDiffusion.belief`). The step t = 1 is fixed to
    q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾), which is q's own kernel at x⁽¹⁾, as q leaves π as it is (App. B.2).
    """

    def __init__(self, network: nn.Module, diffusion: Chain):
        super().__init__()
        self.network = network
        self.diffusion = diffusion
        self.precision = torch.float32  # what the network computes in; its outputs are used in x's own type

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        schedule = self.diffusion.schedule
        t = torch.as_tensor(t)
        x = self.diffusion.network_input(xt)
        log_snr = schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).to(x)
        with torch.autocast(xt.device.type, self.precision, enabled=self.precision != torch.float32):
            F, v = self.network(x, t.to(x.device), log_snr)
        return self.diffusion.belief(xt, t, F.to(xt.dtype), v.to(xt.dtype))

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), independent over the elements of xt; s = t−1 unless given."""
        if isinstance(t, int):
            return self.diffusion.q_step(xt, 1) if t == 1 else super().reverse(xt, t, s)
        p, edge = super().reverse(xt, t, s), self.diffusion.q_step(xt, t)
        return where(expand(t == 1, xt).bool(), edge, p)


class EmpiricalReverse(_FromMoments):
    """The exact reverse kernel of data points blurred by a known noise; of bits see :class:`EmpiricalBits`, which this makes of them.

    q(x⁽⁰⁾) = Σ_j w_j N(x⁽⁰⁾; y_j, noise²) for points y ``[N, ...]`` and weights w ``[N]`` (equal unless
    given), so E and Var of x⁽⁰⁾ given x⁽ᵗ⁾ are softmax averages over the points. The ``[n, N]`` weights
    are streamed in blocks: memory does not grow with n·N.
    """

    diffusion: GaussianDiffusion

    def __new__(cls, data: Tensor | None = None, diffusion: Chain | None = None, *_: object, **__: object) -> EmpiricalReverse:
        """The class that the diffusion asks for, as pathlib.Path does it."""
        return super().__new__(EmpiricalBits if cls is EmpiricalReverse and isinstance(diffusion, BinomialDiffusion) else cls)

    def __init__(self, data: Tensor, diffusion: GaussianDiffusion, noise: float = 0.0, weights: Tensor | None = None):
        if len(data) == 0:
            raise ValueError("The exact kernel needs at least one data point.")
        if not noise >= 0:
            raise ValueError("The data's noise must not be negative.")
        self.data, self.diffusion, self.noise, self.weights = data, diffusion, float(noise), weights
        y = data.flatten(1).double()
        w = torch.full((len(y),), 1.0 / len(y), device=y.device) if weights is None else weights / weights.sum()
        # one matrix product gives all logits: [x·a/v, −a²/2v, 1] · [y, |y|², log w]
        self._keys = torch.cat([y, y.square().sum(1, keepdim=True), w.double().log()[:, None]], 1).T.contiguous()
        self._values = torch.cat([y, y.square()], 1)
        self._cast: dict[torch.dtype, tuple[Tensor, Tensor]] = {}

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Exact mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        x = xt.flatten(1)
        a, noise, v = self._scales(x, t)
        dims = x.shape[1]
        y_mean, y_variance = torch.empty_like(x), torch.empty_like(x)
        for rows, logits in self._logits(x, a, v):
            # in place, unless somebody wants the slope, in x or in the schedule
            weights = torch.softmax(logits, 1) if logits.requires_grad else torch.softmax(logits, 1, out=logits)
            moments = weights @ self._tables(x.dtype)[1]
            y_mean[rows] = moments[:, :dims]
            y_variance[rows] = (moments[:, dims:] - moments[:, :dims].square()).clamp(min=0)
        shrink = noise / v
        mean = self.noise**2 * a / v * x + shrink * y_mean
        return mean.view_as(xt), (self.noise**2 * shrink + shrink.square() * y_variance).view_as(xt)

    def under(self, diffusion: GaussianDiffusion) -> EmpiricalReverse:
        """The exact reverse kernel of the same data under another diffusion."""
        return EmpiricalReverse(self.data, diffusion, self.noise, self.weights)

    def log_marginal(self, xt: Tensor, t: Time) -> Tensor:
        """log q(x⁽ᵗ⁾) in nats, ``[n]``; t = 0 gives the data's own density when noise > 0."""
        x = xt.flatten(1)
        a, _, v = self._scales(x, t)
        out = torch.empty_like(x[:, 0])
        for rows, logits in self._logits(x, a, v):
            out[rows] = torch.logsumexp(logits, 1)
        normaliser = 0.5 * (x.square().sum(1) / v[:, 0] + x.shape[1] * torch.log(2 * math.pi * v[:, 0]))
        return out - normaliser

    def marginal_on_grid(self, axis: Tensor, t: int) -> Tensor:
        """q(x⁽ᵗ⁾) of data in the plane on the square grid axis × axis, ``[m, m]`` (rows: second coordinate).

        An isotropic Gaussian is the product of two one-dimensional ones, so the sum over points is one
        matrix product: a thousand times fewer exponentials than ``log_marginal``. Far tails underflow to 0.
        """
        a, _, v = self._scales(axis, t)
        y = self._tables(axis.dtype)[0][:2]
        across, up = torch.exp(-0.5 * (axis[:, None] - a * y[:, None]).square() / v)
        weights = self._tables(axis.dtype)[0][3].exp()
        return up @ (weights[:, None] * across.T) / (2 * math.pi * v)

    def log_kernel(self, x_prev: Tensor, xt: Tensor, t: int) -> Tensor:
        """log q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) in nats by Bayes, ``[n]``; x_prev ``[n, ...]``, xt one point ``[1, ...]``."""
        forward = self.diffusion.q_step(x_prev, t).log_prob(xt.expand_as(x_prev)).flatten(1).sum(1)
        return forward + self.log_marginal(x_prev, t - 1) - self.log_marginal(xt, t)

    def _scales(self, x: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """√ᾱ_t, 1−ᾱ_t and the variance of one blurred point at time t, each ``[n or 1, 1]``."""
        schedule = self.diffusion.schedule
        a, noise = schedule.alpha_bar(t).sqrt(), schedule.noise(t)
        v = a.square() * self.noise**2 + noise
        return tuple(c.to(x).reshape(-1, 1) for c in (a, noise, v))  # type: ignore[return-value]

    def _logits(self, x: Tensor, a: Tensor, v: Tensor):
        """Blocks of rows with log w_j − |x_i − a y_j|²/2v up to a constant per row, ``[rows, N]``."""
        queries = torch.cat([x * (a / v), (-0.5 * a.square() / v).expand(len(x), 1), torch.ones_like(x[:, :1])], 1)
        keys = self._tables(x.dtype)[0]
        size = max(1, BLOCK_ELEMENTS // keys.shape[1])
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            yield rows, queries[rows] @ keys

    def _tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Keys and values in a type, cast once."""
        if dtype not in self._cast:
            with torch.inference_mode(False):  # first asked for while sampling or not, gradients may follow
                self._cast[dtype] = (self._keys.to(dtype), self._values.to(dtype))
        return self._cast[dtype]


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
