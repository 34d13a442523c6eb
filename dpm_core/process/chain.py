"""The interface of a forward process: a Markov chain q from the data to the prior π, with closed-form conditionals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.schedules import Schedule, Time

Kernel = Normal | Bernoulli
LOG_SNR_LIMIT = 15.0  # log-SNR is clamped to ± this value where it must be finite, because it is −∞ at ᾱ_T = 0


class Step(NamedTuple):
    """One state of a trajectory: the time t and x⁽ᵗ⁾ ``[n, ...]``."""

    t: int
    x: Tensor


def expand(table_value: Tensor, x: Tensor) -> Tensor:
    """Return a per-t coefficient (scalar or ``[n]``) in x's dtype and device, shaped to broadcast against x ``[n, ...]``."""
    value = table_value.to(x)
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - 1))


def randn_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard normal noise with x's shape, dtype and device, drawn with ``generator``."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def noise_like(p: Kernel, generator: torch.Generator | None = None) -> Tensor:
    """Return the noise that :func:`from_noise` maps to a sample of p: standard normal for a Normal, uniform on [0, 1) for a Bernoulli."""
    make = torch.rand if isinstance(p, Bernoulli) else torch.randn
    return make(p.mean.shape, generator=generator, dtype=p.mean.dtype, device=p.mean.device)


def from_noise(p: Kernel, noise: Tensor) -> Tensor:
    """Return the sample of p that ``noise`` determines (reparameterisation): equal noise gives an equal sample."""
    if isinstance(p, Bernoulli):
        return (noise < p.probs).to(p.probs.dtype)
    return p.mean + p.stddev * noise


def draw(p: Kernel, generator: torch.Generator | None = None) -> Tensor:
    """Return one sample of p, drawn with ``generator``."""
    return from_noise(p, noise_like(p, generator))


def where(condition: Tensor, p: Kernel, q: Kernel) -> Kernel:
    """Return the distribution that is p where ``condition`` is True and q elsewhere; p and q belong to the same family."""
    if isinstance(p, Bernoulli):
        return Bernoulli(torch.where(condition, p.mean, q.mean), validate_args=False)
    return Normal(torch.where(condition, p.mean, q.mean), torch.where(condition, p.stddev, q.stddev), validate_args=False)


class Chain(ABC):
    """A forward process. ``x`` is ``[n, ...]``, ``t`` an int or a LongTensor ``[n]`` in 1..T; kernels factorise over x's elements.

    The posterior moments of x⁽⁰⁾ are the mean and the variance of each of its elements given x⁽ᵗ⁾. In both processes the mean of
    q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) is linear in x⁽⁰⁾, so these moments determine, for any s < t, the best reverse step of the process's family
    (diagonal Gaussian or independent bits).
    """

    binary: ClassVar[bool] = False  # whether x takes the values 0 and 1 only

    def __init__(self, schedule: Schedule):
        self.schedule = schedule

    @property
    def T(self) -> int:
        """Number of steps."""
        return self.schedule.T

    @abstractmethod
    def q_step(self, x_prev: Tensor, t: Time) -> Kernel:
        """q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾)."""

    @abstractmethod
    def q_jump(self, x: Tensor, s: int, t: int) -> Kernel:
        """q(x⁽ᵗ⁾|x⁽ˢ⁾) for s ≤ t: the composition of the steps s+1, …, t."""

    @abstractmethod
    def q_marginal(self, x0: Tensor, t: Time) -> Kernel:
        """q(x⁽ᵗ⁾|x⁽⁰⁾)."""

    @abstractmethod
    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) for s < t; by default s = t−1."""

    @abstractmethod
    def prior(self, shape: tuple[int, ...]) -> Kernel:
        """The prior π(x⁽ᵀ⁾) for x of the given shape."""

    @abstractmethod
    def reverse_step(self, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """The reverse step p(x⁽ˢ⁾|x⁽ᵗ⁾) determined by the posterior moments of x⁽⁰⁾; by default s = t−1."""

    @abstractmethod
    def posterior_kl_nats(self, x0: Tensor, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time) -> Tensor:
        """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``, for t ≥ 2.

        p is the ``reverse_step`` of the posterior moments ``x0_mean`` and ``x0_variance``.
        """

    @abstractmethod
    def x0_posterior_from_network(self, xt: Tensor, t: Time, F: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and variance of x⁽⁰⁾ given x⁽ᵗ⁾ from what a network says of them, F and share, shaped as xt."""

    @abstractmethod
    def network_input(self, xt: Tensor) -> Tensor:
        """Return x⁽ᵗ⁾ rescaled for a network: mean about 0, variance about 1."""

    @abstractmethod
    def marginal_entropy_nats(self, x0: Tensor, t: Time) -> Tensor:
        """Entropy of q(x⁽ᵗ⁾|x⁽⁰⁾) in nats per datum, float64 ``[n]``."""

    @abstractmethod
    def prior_cost_nats(self, x0: Tensor) -> Tensor:
        """The prior term H_p(X⁽ᵀ⁾) of the bound K (Eq. 14) in nats per datum, float64 ``[n]``.

        It is the entropy of π for data whose moments agree with π (mean 0 and variance 1, or mean activity ρ).
        """

    @abstractmethod
    def combine(self, posteriors: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Posterior moments of x⁽⁰⁾ from several, with weights that add up to 1; negative ones extrapolate.

        With weights 1+w and −w, of the moments given a class and without it, this is classifier-free guidance (Ho & Salimans 2021, Eq. 6).
        """

    @abstractmethod
    def simple_loss(self, x0: Tensor, xt: Tensor, noise: Tensor, t: Time, x0_mean: Tensor, x0_variance: Tensor) -> Tensor:
        """The simplified training loss for each datum, ``[n]``; ``noise`` is the one that made xt by :func:`from_noise`."""

    def flow_loss(self, x0: Tensor, xt: Tensor, t: Time, x0_mean: Tensor, x0_variance: Tensor) -> Tensor:
        """The flow-matching loss for each datum, ``[n]``. Raises ValueError for a diffusion without a flow."""
        raise ValueError("Flow matching is for Gaussian diffusion of points and images; train bits with the loss 'bound' or 'simple'.")

    @abstractmethod
    def signal_removed_per_step(self) -> Tensor:
        """How much signal each step t = 2..T removes, float64 ``[T−1]``: roughly proportional to its KL term in K."""

    @abstractmethod
    def start(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Return a sample x⁽ᵀ⁾ of the prior π, on the generator's device."""

    def q_sample(self, x0: Tensor, t: Time, generator: torch.Generator | None = None) -> Tensor:
        """Return one sample of q(x⁽ᵗ⁾|x⁽⁰⁾), shaped as x0."""
        return draw(self.q_marginal(x0, t), generator)

    def forward_steps(self, x0: Tensor, generator: torch.Generator | None = None) -> Iterator[Step]:
        """Yield the states of one run of the chain, t = 0, 1, …, T, with one state in memory at a time."""
        x = x0
        yield Step(0, x)
        for t in range(1, self.T + 1):
            x = draw(self.q_step(x, t), generator)
            yield Step(t, x)

    def forward_trajectory(self, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return all states of one run of the chain, ``[T+1, *x0.shape]``."""
        return torch.stack([x for _, x in self.forward_steps(x0, generator)])
