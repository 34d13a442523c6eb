"""The binomial forward process: bits that are resampled at random until x⁽ᵀ⁾ is independent noise (Table App. 1, right column)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Bernoulli
from torch.nn.functional import binary_cross_entropy

from dpm_core.process.chain import Chain, expand
from dpm_core.schedules import Schedule, Time


class BinomialDiffusion(Chain):
    """The binomial forward process: q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾) = B(x⁽ᵗ⁻¹⁾(1−β_t) + ρβ_t), π = B(ρ) (Table App. 1 of the paper).

    ``x`` is ``[n, ...]`` of 0.0 and 1.0; ``rate`` is ρ, the mean activity of the noise. ᾱ_t = ∏(1−β_s) is the probability that a
    bit has not been resampled from B(ρ) up to time t. Every probability is computed together with its complement, in float64 and
    without subtracting from 1, so β_T = 1 and probabilities of 0 and 1 need no special case. Raises ValueError unless 0 < ρ < 1.
    """

    binary = True

    def __init__(self, schedule: Schedule, rate: float = 0.5):
        if not 0 < rate < 1:
            raise ValueError(f"The mean activity ρ must lie strictly between 0 and 1, not {rate:g}. Choose for example 0.5.")
        super().__init__(schedule)
        self.rate = float(rate)

    def q_step(self, x_prev: Tensor, t: Time) -> Bernoulli:
        """q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾) = B(x⁽ᵗ⁻¹⁾(1−β_t) + ρβ_t)."""
        return self._flipped(x_prev, self.schedule.beta(t))

    def q_jump(self, x: Tensor, s: int, t: int) -> Bernoulli:
        """q(x⁽ᵗ⁾|x⁽ˢ⁾) = B(x⁽ˢ⁾ a + ρ(1−a)), a = ᾱ_t/ᾱ_s, for s ≤ t."""
        return self._flipped(x, self._redrawn(t, s))

    def q_marginal(self, x0: Tensor, t: Time) -> Bernoulli:
        """q(x⁽ᵗ⁾|x⁽⁰⁾) = B(x⁽⁰⁾ ᾱ_t + ρ(1−ᾱ_t))."""
        return self._flipped(x0, self.schedule.noise(t))

    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time, s: Time | None = None) -> Bernoulli:
        """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) by Bayes' rule for s < t; by default s = t−1. It is linear in x⁽⁰⁾, which may therefore also be a mean."""
        table = self._posterior(t, s)[..., 0]
        one, zero = (expand(table[..., i, 0], xt) + expand(table[..., i, 1] - table[..., i, 0], xt) * x0 for i in (1, 0))
        return _bernoulli(torch.where(xt > 0.5, one, zero))

    def prior(self, shape: tuple[int, ...]) -> Bernoulli:
        """π(x⁽ᵀ⁾) = B(ρ) for x of the given shape."""
        return _bernoulli(torch.full(shape, self.rate))

    def reverse_step(self, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time, s: Time | None = None) -> Bernoulli:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾) = B(f_b): q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) averaged over the posterior of x⁽⁰⁾.

        ``x0_variance`` is not used: the mean of a bit determines its distribution.
        """
        return self.q_posterior(x0_mean, xt, t, s)

    def posterior_kl_nats(self, x0: Tensor, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time) -> Tensor:
        """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ B(f_b)) per datum in nats, ``[n]``; t ≥ 2.

        Let A be the posterior probability of q and D its change from x⁽⁰⁾ = 0 to 1. A posterior mean with error e gives
        f_b = A ± eD, so the logarithms are log1p(±eD/A) and log1p(∓eD/(1−A)), and no precision is lost where β is small.
        """
        return self.posterior_kl_of_bits_nats(x0, xt, x0_mean, t).flatten(1).sum(1)

    def posterior_kl_of_bits_nats(self, x0: Tensor, xt: Tensor, x0_mean: Tensor, t: Time) -> Tensor:
        """The same divergence for each bit, shaped as xt."""
        t = torch.as_tensor(t, device=self._step_kl.device)
        row = (4 * t).reshape(-1, *[1] * (xt.ndim - 1)).to(xt.device) + (2 * xt + x0).long()
        a, b, rise, fall = self._step_kl.to(xt.device, xt.dtype).flatten(0, 2)[row].unbind(-1)
        most = 1 - 8 * torch.finfo(x0.dtype).eps  # rounding of the mean to 0 or 1 must not make the divergence infinite
        off = (1 - 2 * x0) * (x0 - x0_mean).abs().clamp(max=most)
        return -a * torch.log1p(off * rise) - b * torch.log1p(-off * fall)

    def x0_posterior_from_network(self, xt: Tensor, t: Time, F: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return P(x⁽⁰⁾=1|x⁽ᵗ⁾) and its variance. F is the log odds of x⁽⁰⁾=1 given the other bits of x⁽ᵗ⁾, to which the bit itself adds

            log q(x⁽ᵗ⁾|x⁽⁰⁾=1) − log q(x⁽ᵗ⁾|x⁽⁰⁾=0).

        This is Bayes' rule, it holds at every t, and the term is 0 at ᾱ_t = 0. The variance follows from the mean: share is not used.
        """
        on, off = self._evidence[:, t].unbind(0)
        p = torch.sigmoid(F + torch.where(xt > 0.5, expand(on, xt), expand(off, xt)))
        return p, p * (1 - p)

    def combine(self, posteriors: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Weighted sums of the log odds of x⁽⁰⁾ = 1: for one bit a product of powers of the distributions, normalised."""
        eps = torch.finfo(posteriors[0][0].dtype).tiny ** 0.5  # log odds of certain bits must be finite
        odds = sum((w * torch.logit(m, eps) for w, (m, _) in zip(weights, posteriors)), torch.zeros_like(posteriors[0][0]))
        p = torch.sigmoid(odds)
        return p, p * (1 - p)

    def network_input(self, xt: Tensor) -> Tensor:
        """Return ±1 in place of 1 and 0, in float32 even where probabilities are float64."""
        return 2 * xt.float() - 1

    def marginal_entropy_nats(self, x0: Tensor, t: Time) -> Tensor:
        """Entropy of q(x⁽ᵗ⁾|x⁽⁰⁾) in nats per datum, float64 ``[n]``; it depends on the number of ones in x⁽⁰⁾ unless ρ = ½."""
        noise = self.schedule.noise(t)
        was_one = _entropy((1 - self.rate) * noise)
        was_zero = _entropy(self.rate * noise)
        ones = x0.flatten(1).double().sum(1).cpu()
        return was_one * ones + was_zero * (x0[0].numel() - ones)

    def prior_cost_nats(self, x0: Tensor) -> Tensor:
        """−E log π(x⁽ᵀ⁾) − log π(x⁽⁰⁾) + E log π(x⁽¹⁾) in nats per datum, float64 ``[n]``; expectations over q given x⁽⁰⁾.

        It equals H_p(X⁽ᵀ⁾) on average over data with mean activity ρ, and for every datum when ρ = ½. For any other ρ this cross
        entropy is required for K to be a lower bound, because the fixed first step is q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾) (App. B.2).
        """
        bits, ones = x0[0].numel(), x0.flatten(1).double().sum(1).cpu()
        log_one, log_zero = torch.log(torch.tensor([self.rate, 1 - self.rate], dtype=torch.float64))
        alpha_bar = self.schedule.alpha_bar(torch.tensor([self.T, 0, 1]))[:, None]
        active = alpha_bar * ones + self.rate * (1 - alpha_bar) * bits  # the expected number of ones at t = T, 0 and 1
        end, start, first = active * log_one + (bits - active) * log_zero
        return first - start - end

    def simple_loss(self, x0: Tensor, xt: Tensor, noise: Tensor, t: Time, x0_mean: Tensor, x0_variance: Tensor) -> Tensor:
        """The cross entropy of x⁽⁰⁾ given x⁽ᵗ⁾ in nats per bit, ``[n]``, equally weighted at every t.

        This is the auxiliary term of Austin et al. 2021, Eq. 5.
        """
        return binary_cross_entropy(x0_mean, x0, reduction="none").flatten(1).mean(1)

    def signal_removed_per_step(self) -> Tensor:
        """The decrease of ᾱ_t in each step t = 2..T, float64 ``[T−1]``."""
        alpha_bar = self.schedule.alpha_bar(torch.arange(1, self.T + 1))
        return alpha_bar[:-1] - alpha_bar[1:]

    def start(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Return a sample x⁽ᵀ⁾ of B(ρ), on the generator's device."""
        device = generator.device if generator is not None else None
        return (torch.rand(shape, generator=generator, device=device) < self.prior(shape).probs.to(device)).float()

    def log_likelihood_weights(self, t: Time) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (a, b, c, d), float64, shaped as t, with log q(x⁽ᵗ⁾|x⁽⁰⁾) = Σ_i a + b x⁽ᵗ⁾_i + c x⁽⁰⁾_i + d x⁽ᵗ⁾_i x⁽⁰⁾_i in nats."""
        stays_zero, turns_one, turns_zero, stays_one = self._log_marginal(t)
        return stays_zero, turns_one - stays_zero, turns_zero - stays_zero, stays_one + stays_zero - turns_one - turns_zero

    def _log_marginal(self, t: Time) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log q(x⁽ᵗ⁾|x⁽⁰⁾) for the transitions 0 → 0, 0 → 1, 1 → 0 and 1 → 1."""
        noise = self.schedule.noise(t)
        up, down = self.rate * noise, (1 - self.rate) * noise
        return torch.log1p(-up), up.log(), down.log(), torch.log1p(-down)

    def _flipped(self, x: Tensor, redrawn: Tensor) -> Bernoulli:
        """The distribution of bits that are resampled from B(ρ) with probability ``redrawn`` and otherwise unchanged."""
        share = expand(redrawn, x)
        return _bernoulli(x * (1 - share) + self.rate * share)

    def _redrawn(self, t: Time, s: Time) -> Tensor:
        """1 − ᾱ_t/ᾱ_s: the probability that a bit is resampled between s and t."""
        return -torch.expm1(self.schedule.log_alpha_bars[t] - self.schedule.log_alpha_bars[s])

    def _posterior(self, t: Time, s: Time | None) -> Tensor:
        """P(x⁽ˢ⁾=1|x⁽ᵗ⁾,x⁽⁰⁾) and its complement, float64 ``[..., 2 (x⁽ᵗ⁾), 2 (x⁽⁰⁾), 2]``, with t's shape first."""
        if s is None:
            return self._step_posterior[t]
        before, between = self.schedule.noise(s), self._redrawn(t, s)
        was = _odds_table(self.rate, before)  # P(x⁽ˢ⁾|x⁽⁰⁾)
        then = _odds_table(self.rate, between)  # P(x⁽ᵗ⁾|x⁽ˢ⁾)
        # indexed by x⁽ᵗ⁾, x⁽⁰⁾: P(x⁽ˢ⁾|x⁽⁰⁾) q(x⁽ᵗ⁾|x⁽ˢ⁾) for x⁽ˢ⁾ = 1 and 0
        joint = torch.stack([then[..., 1, :, None] * was[..., None, :, 1], then[..., 0, :, None] * was[..., None, :, 0]], -1)
        return joint / joint.sum(-1, keepdim=True)

    @cached_property
    def _step_posterior(self) -> Tensor:
        """Posteriors of the single steps t = 1..T, ``[T+1, 2, 2, 2]`` (t = 0 is unused)."""
        with torch.inference_mode(False):  # training needs ordinary tensors even if sampling filled the cache
            t = torch.arange(1, self.T + 1)
            return torch.nn.functional.pad(self._posterior(t, t - 1), (0, 0, 0, 0, 0, 0, 1, 0), value=0.5)

    @cached_property
    def _step_kl(self) -> Tensor:
        """A, 1−A, D/A and D/(1−A) by t, x⁽ᵗ⁾ and x⁽⁰⁾, ``[T+1, 2, 2, 4]``; valid for t ≥ 2."""
        with torch.inference_mode(False):
            a, b = self._step_posterior.unbind(-1)
            change = (a[..., 1] - a[..., 0])[..., None]
            return torch.stack([a, b, change / a.clamp(min=1e-300), change / b.clamp(min=1e-300)], -1)

    @cached_property
    def _evidence(self) -> Tensor:
        """log q(x⁽ᵗ⁾|x⁽⁰⁾=1) − log q(x⁽ᵗ⁾|x⁽⁰⁾=0) for x⁽ᵗ⁾ = 1 and 0, float64 ``[2, T+1]``; ±∞ at t = 0."""
        with torch.inference_mode(False):
            stays_zero, turns_one, turns_zero, stays_one = self._log_marginal(torch.arange(self.T + 1))
            return torch.stack([stays_one - turns_one, turns_zero - stays_zero])


def _odds_table(rate: float, redrawn: Tensor) -> Tensor:
    """P(after | before) when a bit is resampled with probability ``redrawn``, ``[..., 2 (before), 2 (after)]``."""
    up, down = rate * redrawn, (1 - rate) * redrawn
    return torch.stack([torch.stack([1 - up, up], -1), torch.stack([down, 1 - down], -1)], -2)


def _entropy(p: Tensor) -> Tensor:
    """Entropy of a bit in nats; 0 at p = 0 and p = 1."""
    return -(torch.special.xlogy(p, p) + torch.special.xlog1py(1 - p, -p))


def _bernoulli(p: Tensor) -> Bernoulli:
    return Bernoulli(p.clamp(0, 1), validate_args=False)
