"""The exact reverse kernel of a finite set of data points blurred by Gaussian noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse.kernel import X0PosteriorKernel
from dpm_core.schedules import Time

BLOCK_ELEMENTS = 1 << 20  # weights per block: 4 MB in float32, which fits the processor's cache
LARGEST_ERROR = 0.01  # of a logit in float32, in nats; where it would be larger, the posterior is computed in float64


class EmpiricalReverse(X0PosteriorKernel):
    """The exact reverse kernel of data points blurred by Gaussian noise of known standard deviation.

    q(x⁽⁰⁾) = Σ_j w_j N(x⁽⁰⁾; y_j, noise²) for points y ``[N, ...]`` and weights w ``[N]`` (equal by default), so the posterior
    moments of x⁽⁰⁾ given x⁽ᵗ⁾ are softmax averages over the points. The ``[n, N]`` weights are computed in blocks: memory does not
    grow with n·N. Raises ValueError for no data or negative noise, TypeError for another diffusion.
    """

    diffusion: GaussianDiffusion

    def __init__(self, data: Tensor, diffusion: GaussianDiffusion, noise: float = 0.0, weights: Tensor | None = None):
        self._require(diffusion)
        if len(data) == 0:
            raise ValueError("The exact reverse kernel needs at least one data point; the data are empty.")
        if not noise >= 0:
            raise ValueError(f"The noise of the data must be at least 0, not {noise}.")
        self.data, self.diffusion, self.noise, self.weights = data, diffusion, float(noise), weights
        y = data.flatten(1).double()
        w = torch.full((len(y),), 1.0 / len(y), device=y.device) if weights is None else weights / weights.sum()
        # one matrix product computes all logits: [x·a/v, −a²/2v, 1] · [y, |y|², log w]
        self._keys = torch.cat([y, y.square().sum(1, keepdim=True), w.double().log()[:, None]], 1).T.contiguous()
        self._values = torch.cat([y, y.square()], 1)
        self._largest_square = float(self._keys[-2].max())
        self._cast: dict[torch.dtype, tuple[Tensor, Tensor]] = {}

    @staticmethod
    def _require(diffusion: object) -> None:
        """Raise TypeError for a diffusion other than the one these formulas are derived for."""
        if not isinstance(diffusion, GaussianDiffusion):
            raise TypeError(f"EmpiricalReverse requires a GaussianDiffusion, not {type(diffusion).__name__}; see empirical_reverse.")

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the exact posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        x = xt.flatten(1)
        x = x.double() if self._needs_float64(x, t) else x
        a, noise, v = self._scales(x, t)
        dims = x.shape[1]
        y_mean, y_variance = torch.empty_like(x), torch.empty_like(x)
        for rows, logits in self._logits(x, a, v):
            # in place, unless a gradient is required with respect to x or to the schedule
            weights = torch.softmax(logits, 1) if logits.requires_grad else torch.softmax(logits, 1, out=logits)
            moments = weights @ self._tables(x.dtype)[1]
            y_mean[rows] = moments[:, :dims]
            y_variance[rows] = (moments[:, dims:] - moments[:, :dims].square()).clamp(min=0)
        shrink = noise / v
        mean = self.noise**2 * a / v * x + shrink * y_mean
        variance = self.noise**2 * shrink + shrink.square() * y_variance
        return mean.to(xt.dtype).view_as(xt), variance.to(xt.dtype).view_as(xt)

    def point_weights(self, xt: Tensor, t: Time) -> Tensor:
        """Return the posterior probability of each data point given x⁽ᵗ⁾ ``[n, ...]``, shaped ``[n, N]``, rows adding up to 1."""
        x = xt.flatten(1).double()
        a, _, v = self._scales(x, t)
        return torch.cat([torch.softmax(logits, 1) for _, logits in self._logits(x, a, v)])

    def with_diffusion(self, diffusion: GaussianDiffusion) -> EmpiricalReverse:
        """Return the exact reverse kernel of the same data under another diffusion."""
        return EmpiricalReverse(self.data, diffusion, self.noise, self.weights)

    def second_moment(self) -> float:
        """E|x⁽⁰⁾|², summed over the dimensions: the number of dimensions for data of mean 0 and variance 1."""
        weights, squares = self._keys[-1].exp(), self._keys[-2]
        return float(weights @ squares) + self.noise**2 * (len(self._keys) - 2)

    def log_marginal(self, xt: Tensor, t: Time) -> Tensor:
        """log q(x⁽ᵗ⁾) in nats, ``[n]``; at t = 0 the density of the data, which requires noise > 0."""
        x = xt.flatten(1)
        x = x.double() if self._needs_float64(x, t) else x
        a, _, v = self._scales(x, t)
        out = torch.empty_like(x[:, 0])
        for rows, logits in self._logits(x, a, v):
            out[rows] = torch.logsumexp(logits, 1)
        normaliser = 0.5 * (x.square().sum(1) / v[:, 0] + x.shape[1] * torch.log(2 * math.pi * v[:, 0]))
        return (out - normaliser).to(xt.dtype)

    def marginal_on_grid(self, axis: Tensor, t: int) -> Tensor:
        """q(x⁽ᵗ⁾) of plane data on the square grid axis × axis, ``[m, m]`` (rows: second coordinate).

        An isotropic Gaussian is the product of two one-dimensional ones, so the sum over points is one matrix product and needs
        about a thousand times fewer exponentials than ``log_marginal``. Far tails underflow to 0.
        """
        a, _, v = self._scales(axis, t)
        y = self._tables(axis.dtype)[0][:2]
        across, up = torch.exp(-0.5 * (axis[:, None] - a * y[:, None]).square() / v)
        weights = self._tables(axis.dtype)[0][3].exp()
        return up @ (weights[:, None] * across.T) / (2 * math.pi * v)

    def log_kernel(self, x_prev: Tensor, xt: Tensor, t: int) -> Tensor:
        """log q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) in nats by Bayes' rule, ``[n]``; x_prev ``[n, ...]``, xt a single point ``[1, ...]``."""
        forward = self.diffusion.q_step(x_prev, t).log_prob(xt.expand_as(x_prev)).flatten(1).sum(1)
        return forward + self.log_marginal(x_prev, t - 1) - self.log_marginal(xt, t)

    def _scales(self, x: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """√ᾱ_t, 1−ᾱ_t and the variance of one blurred point at time t, each ``[n or 1, 1]``."""
        schedule = self.diffusion.schedule
        a, noise = schedule.alpha_bar(t).sqrt(), schedule.noise(t)
        v = a.square() * self.noise**2 + noise
        return tuple(c.to(x).reshape(-1, 1) for c in (a, noise, v))  # type: ignore[return-value]

    def _needs_float64(self, x: Tensor, t: Time) -> bool:
        """Whether float32 is too coarse at some t: the logits are differences of terms as large as |y|²/2v."""
        schedule = self.diffusion.schedule
        v = schedule.alpha_bar(t) * self.noise**2 + schedule.noise(t)
        largest = self._largest_square / (2 * torch.as_tensor(v).min())
        return x.dtype == torch.float32 and bool(largest * torch.finfo(torch.float32).eps > LARGEST_ERROR)

    def _logits(self, x: Tensor, a: Tensor, v: Tensor):
        """Yield blocks of rows with log w_j − |x_i − a y_j|²/2v up to a constant per row, ``[rows, N]``."""
        queries = torch.cat([x * (a / v), (-0.5 * a.square() / v).expand(len(x), 1), torch.ones_like(x[:, :1])], 1)
        keys = self._tables(x.dtype)[0]
        size = max(1, BLOCK_ELEMENTS // keys.shape[1])
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            yield rows, queries[rows] @ keys

    def _tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Keys and values in the given dtype, each cast once."""
        if dtype not in self._cast:
            with torch.inference_mode(False):  # gradients need ordinary tensors even if sampling filled the cache
                self._cast[dtype] = (self._keys.to(dtype), self._values.to(dtype))
        return self._cast[dtype]
