"""Log likelihoods beside the bound: by trajectories (Jarzynski), by windows (Parzen), by the deterministic flow; and Crooks' check.

K is the mean of log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) over trajectories of q; the logarithm of the mean of the ratio itself is log p(x⁽⁰⁾)
(Eq. 9): Jarzynski's equality, with −log of the ratio as the work. Nats throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import Chain, GaussianDiffusion, draw
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import timesteps

ROWS = 1 << 15  # states at once
PARZEN_BLOCK = 1 << 24  # distances at once


@dataclass(frozen=True)
class Jarzynski:
    """``log_weights`` ``[n, N]``: log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) of N trajectories from each datum, float64, nats."""

    log_weights: Tensor

    @property
    def log_prob(self) -> Tensor:
        """The estimate of log p(x⁽⁰⁾), ``[n]``: log mean exp, from below on average, exact as N grows."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])

    @property
    def elbo(self) -> Tensor:
        """The mean of the logarithm, ``[n]``: K, datum by datum."""
        return self.log_weights.mean(1)

    @property
    def effective_samples(self) -> Tensor:
        """(Σ w)²/Σ w², ``[n]``: of N trajectories, how many carry the estimate."""
        return torch.exp(2 * self.log_weights.logsumexp(1) - (2 * self.log_weights).logsumexp(1))

    @property
    def standard_error(self) -> Tensor:
        """Standard error of ``log_prob`` by the delta method, ``[n]``; NaN of one trajectory, and too small where few carry it all."""
        N = self.log_weights.shape[1]
        if N < 2:
            return torch.full((len(self.log_weights),), math.nan, dtype=torch.float64)
        return ((1 / self.effective_samples - 1 / N).clamp(min=0) * N / (N - 1)).sqrt()

    def after(self, N: int) -> Tensor:
        """What ``log_prob`` was after the first N trajectories, ``[n]``."""
        return self.log_weights[:, :N].logsumexp(1) - math.log(N)


@torch.inference_mode()
def jarzynski(model: ReverseKernel, diffusion: Chain, x0: Tensor, trajectories: int, generator: torch.Generator | None = None) -> Jarzynski:
    """Weights of ``trajectories`` forward trajectories from each of x0 ``[n, ...]`` (Eq. 9). Raises ValueError below one.

    Memory does not grow with T, and in blocks not with n or N. Model calls: T for every ROWS of n·N.
    """
    if trajectories < 1:
        raise ValueError("At least one trajectory is needed.")
    n = len(x0)
    rows = torch.arange(n).repeat_interleave(trajectories)
    parts = [_log_weights(model, diffusion, x0[part], generator) for part in rows.split(ROWS)]
    return Jarzynski(torch.cat(parts).view(n, trajectories))


def jarzynski_log_prob(
    model: ReverseKernel, diffusion: Chain, x0: Tensor, trajectories: int, generator: torch.Generator | None = None
) -> Tensor:
    """The estimate of log p(x⁽⁰⁾) in nats, float64 ``[n]``; see :func:`jarzynski`."""
    return jarzynski(model, diffusion, x0, trajectories, generator).log_prob


def _log_weights(model: ReverseKernel, diffusion: Chain, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """log p(x⁽⁰··ᵀ⁾)/q(x⁽¹··ᵀ⁾|x⁽⁰⁾) of one trajectory from each x ``[m, ...]``, float64 ``[m]``."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for t in range(1, diffusion.T + 1):
        q = diffusion.q_step(x, t)
        later = draw(q, generator)
        total += _sum(model.reverse(later, t).log_prob(x)) - _sum(q.log_prob(later))
        x = later
    return total + _sum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))


@torch.inference_mode()
def forward_and_backward_work(
    model: ReverseKernel,
    diffusion: Chain,
    x0: Tensor,
    log_q: Tensor,
    other_log_q,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """W = log q(x⁽⁰··ᵀ⁾)/p(x⁽⁰··ᵀ⁾) along the data's trajectories and along the model's, float64 ``[n]`` each (Crooks 1999).

    ``log_q`` ``[n]`` is the data's log density at x0, ``other_log_q`` gives it elsewhere. Both are normalised, so the free energies
    are equal and the two histograms cross at W = 0: P_q(W)/P_p(W) = eᵂ.
    """
    forward = log_q.double() - _log_weights(model, diffusion, x0, generator)
    x = diffusion.start(tuple(x0.shape), generator).to(x0.dtype)
    total = -_sum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))
    for t in range(diffusion.T, 0, -1):
        p = model.reverse(x, t)
        earlier = draw(p, generator)
        total += _sum(diffusion.q_step(earlier, t).log_prob(x)) - _sum(p.log_prob(earlier))
        x = earlier
    return forward, total + other_log_q(x).double()


def bennett_free_energy(forward: Tensor, backward: Tensor) -> tuple[float, float]:
    """The free-energy difference at which the two histograms of work cross, and its standard error, nats.

    Bennett's acceptance ratio: the root in F of Σ_forward 1/(1 + e^(W−F)) = Σ_backward 1/(1 + e^(F−W)), equal numbers of both.
    """
    n = min(len(forward), len(backward))
    forward, backward = forward[:n].double(), backward[:n].double()
    low = float(torch.minimum(forward.min(), backward.min())) - 1
    high = float(torch.maximum(forward.max(), backward.max())) + 1
    for _ in range(100):
        middle = (low + high) / 2
        if float(torch.sigmoid(middle - forward).mean() - torch.sigmoid(backward - middle).mean()) < 0:
            low = middle
        else:
            high = middle
    a, b = torch.sigmoid(low - forward), torch.sigmoid(backward - low)
    # Bennett 1976, Eq. 10: the spread of each mean, relative to the overlap
    spread = float(a.var() / a.mean().square() + b.var() / b.mean().square()) / n
    return low, math.sqrt(spread)


def probability_flow_log_prob(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    *,
    steps: int | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log p(x⁽⁰⁾) of the deterministic flow with the model's drift (Song et al. 2021), float64 ``[n]`` in nats.

    Integrated in the angle arccos √ᾱ_t by Heun's steps from t = 1, where x⁽¹⁾ is taken to be √ᾱ₁ x⁽⁰⁾: what the smallest noise
    blurs is not resolved. The divergence is exact (one backward pass per dimension), or of ``probes`` random directions
    (Hutchinson). Model calls: 2 steps, each with its backward passes.
    """
    times = timesteps(diffusion.T, steps)[:-1][::-1]
    schedule = diffusion.schedule
    at = torch.tensor(times)
    angles = torch.atan2(schedule.noise(at).sqrt(), schedule.alpha_bar(at).sqrt())
    x = x0 * float(angles[0].cos())
    dims = x0[0].numel()
    total = torch.full((len(x0),), dims * float(angles[0].cos().log()), dtype=torch.float64)

    def slope(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            belief, _ = model.x0_posterior(x, times[i])
            cos, sin = float(angles[i].cos()), float(angles[i].sin())
            v = (cos * x - belief) / sin  # cos ε̂ − sin x̂⁽⁰⁾ with ε̂ = (x − cos x̂⁽⁰⁾)/sin
            return v.detach(), _divergence(v, x, probes, generator)

    for i, h in enumerate(angles.diff().tolist()):
        first, divergence = slope(x, i)
        second, later = slope(x + h * first, i + 1)
        x = x + 0.5 * h * (first + second)
        total += 0.5 * h * (divergence + later)
    return total + _sum(diffusion.prior(tuple(x.shape[1:])).log_prob(x))


def _divergence(v: Tensor, x: Tensor, probes: int | None, generator: torch.Generator | None) -> Tensor:
    """Σ ∂v_i/∂x_i per datum, float64 ``[n]``."""
    flat, total = v.flatten(1), torch.zeros(len(x), dtype=torch.float64)
    if probes is None:
        for i in range(flat.shape[1]):
            (gradient,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True)
            total += gradient.flatten(1)[:, i].double()
        return total
    for _ in range(probes):
        sign = torch.randint(0, 2, v.shape, generator=generator).to(v) * 2 - 1
        (gradient,) = torch.autograd.grad((v * sign).sum(), x, retain_graph=True)
        total += _sum(gradient * sign) / probes
    return total


@dataclass(frozen=True)
class Parzen:
    """A window estimate: ``log_prob`` ``[n]`` in nats of every datum, by windows of standard deviation ``bandwidth``."""

    log_prob: Tensor
    bandwidth: float

    @property
    def nats(self) -> tuple[float, float]:
        """Mean and standard error over the data."""
        spread = float(self.log_prob.std(unbiased=len(self.log_prob) > 1))
        return float(self.log_prob.mean()), spread / math.sqrt(len(self.log_prob))

    @property
    def bits(self) -> tuple[float, float]:
        """The same in bits."""
        mean, error = self.nats
        return mean / NATS_PER_BIT, error / NATS_PER_BIT


def parzen_log_prob(samples: Tensor, x: Tensor, bandwidth: float) -> Tensor:
    """log of the mean of Gaussian windows N(x; sample, bandwidth²) over ``samples`` ``[N, ...]``, in nats, float64 ``[n]``."""
    if not bandwidth > 0:
        raise ValueError("The bandwidth must be positive.")
    centres, points = samples.flatten(1).float(), x.flatten(1).float()
    half = 0.5 * centres.square().sum(1)
    out = []
    for part in points.split(max(1, PARZEN_BLOCK // len(centres))):
        # −|x − s|²/2 without the distances themselves: one matrix product
        logits = (part @ centres.T - half - 0.5 * part.square().sum(1, keepdim=True)).double() / bandwidth**2
        out.append(logits.logsumexp(1))
    dims = centres.shape[1]
    return torch.cat(out) - math.log(len(centres)) - 0.5 * dims * math.log(2 * math.pi * bandwidth**2)


def parzen(samples: Tensor, validation: Tensor, test: Tensor, bandwidths: Tensor | None = None) -> Parzen:
    """The window estimate of ``test`` by the bandwidth that is best on ``validation`` (Breuleux et al. 2011).

    Bandwidths: ten from 0.05 to 1, evenly in their logarithm, unless given. Raises ValueError without any.
    """
    if bandwidths is None:
        bandwidths = torch.logspace(math.log10(0.05), 0, 10, dtype=torch.float64)
    if len(bandwidths) == 0:
        raise ValueError("At least one bandwidth is needed.")
    scores = [float(parzen_log_prob(samples, validation, float(b)).mean()) for b in bandwidths]
    best = float(bandwidths[max(range(len(scores)), key=scores.__getitem__)])
    return Parzen(parzen_log_prob(samples, test, best), best)


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).double().sum(1)
