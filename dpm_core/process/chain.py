"""What every diffusion has: a Markov chain q that forgets its data, known in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from dpm_core.schedules import Schedule, Time

Kernel = Normal | Bernoulli


class Step(NamedTuple):
    """One instant of a trajectory: the time t and the state x ``[n, ...]``."""

    t: int
    x: Tensor


def expand(table_value: Tensor, x: Tensor) -> Tensor:
    """Cast a per-t coefficient (scalar or ``[n]``) to x's type and shape it to multiply x ``[n, ...]``."""
    value = table_value.to(x)
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - 1))


def randn_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal noise of x's shape, type and device from the given generator."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def noise_like(p: Kernel, generator: torch.Generator | None = None) -> Tensor:
    """The noise that :func:`from_noise` makes into a draw of p: standard normal for Normals, uniform on [0, 1) for Bernoullis."""
    make = torch.rand if isinstance(p, Bernoulli) else torch.randn
    return make(p.mean.shape, generator=generator, dtype=p.mean.dtype, device=p.mean.device)


def from_noise(p: Kernel, noise: Tensor) -> Tensor:
    """The draw of p that this noise makes: the same noise, the same draw."""
    if isinstance(p, Bernoulli):
        return (noise < p.probs).to(p.probs.dtype)
    return p.mean + p.stddev * noise


def draw(p: Kernel, generator: torch.Generator | None = None) -> Tensor:
    """One draw of p from the given generator."""
    return from_noise(p, noise_like(p, generator))


def where(condition: Tensor, p: Kernel, q: Kernel) -> Kernel:
    """p where the condition holds and q elsewhere; both of one kind."""
    if isinstance(p, Bernoulli):
        return Bernoulli(torch.where(condition, p.mean, q.mean), validate_args=False)
    return Normal(torch.where(condition, p.mean, q.mean), torch.where(condition, p.stddev, q.stddev), validate_args=False)


class Chain(ABC):
    """A diffusion: ``x`` is ``[n, ...]``, ``t`` an int or a LongTensor ``[n]`` in 1..T, kernels are independent over x's elements.

    A belief in x⁽⁰⁾ is its mean and variance, element by element, given x⁽ᵗ⁾. Both diffusions have a posterior
    q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) whose mean is linear in x⁽⁰⁾, so a belief determines the best reverse step of its form, over any distance.
    """

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
        """q(x⁽ᵗ⁾|x⁽ˢ⁾) for s ≤ t: all the steps between at once."""

    @abstractmethod
    def q_marginal(self, x0: Tensor, t: Time) -> Kernel:
        """q(x⁽ᵗ⁾|x⁽⁰⁾)."""

    @abstractmethod
    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """q(x⁽ˢ⁾|x⁽ᵗ⁾,x⁽⁰⁾) for s < t; s = t−1 unless given."""

    @abstractmethod
    def prior(self, shape: tuple[int, ...]) -> Kernel:
        """π(x⁽ᵀ⁾) of the given shape."""

    @abstractmethod
    def reverse_step(self, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """The reverse step p(x⁽ˢ⁾|x⁽ᵗ⁾) that follows from a belief in x⁽⁰⁾; s = t−1 unless given."""

    @abstractmethod
    def posterior_kl_nats(self, x0: Tensor, xt: Tensor, x0_mean: Tensor, x0_variance: Tensor, t: Time) -> Tensor:
        """KL(q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾,x⁽⁰⁾) ‖ p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾)) per datum in nats, ``[n]``, p that of a belief; t ≥ 2."""

    @abstractmethod
    def belief(self, xt: Tensor, t: Time, F: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A network's outputs, shaped as xt, read as mean and variance of x⁽⁰⁾."""

    @abstractmethod
    def network_input(self, xt: Tensor) -> Tensor:
        """x⁽ᵗ⁾ as networks like it: of mean 0 and variance 1, more or less."""

    @abstractmethod
    def marginal_entropy_nats(self, x0: Tensor, t: Time) -> Tensor:
        """Entropy of q(x⁽ᵗ⁾|x⁽⁰⁾) in nats per datum, float64 ``[n]``."""

    @abstractmethod
    def prior_cost_nats(self, x0: Tensor) -> Tensor:
        """What π costs a bound, in nats per datum, float64 ``[n]``: H_p(X⁽ᵀ⁾), where the data agree with π in the moments it knows."""

    def q_sample(self, x0: Tensor, t: Time, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x⁽ᵗ⁾ given x⁽⁰⁾, shaped as x0."""
        return draw(self.q_marginal(x0, t), generator)

    def start(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """x⁽ᵀ⁾ drawn from π, on the generator's device."""
        device = generator.device if generator is not None else None
        if isinstance(p := self.prior(shape), Bernoulli):
            return (torch.rand(shape, generator=generator, device=device) < p.probs.to(device)).float()
        return torch.randn(shape, generator=generator, device=device)

    def forward_steps(self, x0: Tensor, generator: torch.Generator | None = None) -> Iterator[Step]:
        """The Markov chain itself, t = 0, 1, …, T, one state in memory at a time."""
        x = x0
        yield Step(0, x)
        for t in range(1, self.T + 1):
            x = draw(self.q_step(x, t), generator)
            yield Step(t, x)

    def forward_trajectory(self, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Every state of one run of the chain, ``[T+1, *x0.shape]``."""
        return torch.stack([x for _, x in self.forward_steps(x0, generator)])
