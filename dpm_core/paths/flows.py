"""The marginal velocity of a path, and the flow that follows it from noise to data.

Given x_s the expected velocity of the path is v(x, s) = a' x̂⁽⁰⁾ + b' ε̂, with the posterior mean x̂⁽⁰⁾ and ε̂ = (x − a x̂⁽⁰⁾)/b. The flow
dx/ds = v(x, s) has the marginals of the path (Lipman et al. 2023). Divided by √(a² + b²), x_s is the x⁽ᵗ⁾ of a diffusion with the same
signal-to-noise ratio, so every kernel of this program gives the velocity of every path, exactly or learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from dpm_core.paths.interpolants import PATHS
from dpm_core.process import GaussianDiffusion, Step
from dpm_core.reverse import AdaptableKernel, ReverseKernel
from dpm_core.schedules import Schedule


def diffusion_of(name: str, steps: int) -> GaussianDiffusion:
    """Return the diffusion whose x⁽ᵗ⁾, t = 0..``steps``, is x_s/√(a² + b²) at s = t/``steps``. Raises ValueError for less than 2 steps."""
    a, b, *_ = PATHS[name].coefficients(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    alpha_bar = a.square() / (a.square() + b.square())
    return GaussianDiffusion(Schedule((1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=1.0)))


def velocity(kernel: ReverseKernel, name: str, steps: int, x: Tensor, t: int) -> Tensor:
    """Return v(x, s) at s = t/``steps``, shaped as x ``[n, ...]``; t ≥ 1.

    ``kernel``: under the :func:`diffusion_of` of the same path and steps.
    """
    *_, da, db = _coefficients(name, steps, t)
    x0, noise = _estimates(kernel, name, steps, x, t)
    return da * x0 + db * noise


@torch.inference_mode()
def flow(model: AdaptableKernel, name: str, noise: Tensor, steps: int, second_order: bool = False) -> Iterator[Step]:
    """Yield x_s at s = t/``steps`` for t = ``steps`` down to 0, from b(1) times ``noise``, standard normal ``[n, ...]``.

    A step adds Δa x̂⁽⁰⁾ + Δb ε̂, with both estimates held: Euler's method on the straight line, DDIM on the variance-preserving path. With
    ``second_order`` the estimates are the means of those at both ends of the step (Heun), but for the last step, as ε̂ at s = 0 is unknown.
    On a path that still has signal at s = 1, starting from noise alone leaves it out. Raises ValueError for an unknown path or too few
    steps.
    """
    if name not in PATHS:
        raise ValueError(f"There is no path {name!r}; choose one of {', '.join(PATHS)}.")
    kernel = model.with_diffusion(diffusion_of(name, steps))
    x = noise * _coefficients(name, steps, steps)[1]
    yield Step(steps, x)
    for t in range(steps, 0, -1):
        (a, b, *_), (a_next, b_next, *_) = (_coefficients(name, steps, s) for s in (t, t - 1))
        x0, e = _estimates(kernel, name, steps, x, t)
        ahead = x + (a_next - a) * x0 + (b_next - b) * e
        if second_order and t > 1:
            x0_next, e_next = _estimates(kernel, name, steps, ahead, t - 1)
            ahead = x + 0.5 * (a_next - a) * (x0 + x0_next) + 0.5 * (b_next - b) * (e + e_next)
        x = ahead
        yield Step(t - 1, x)


def _coefficients(name: str, steps: int, t: int) -> list[float]:
    """a, b and their derivatives at s = t/``steps``."""
    return [float(c) for c in PATHS[name].coefficients(torch.tensor(t / steps, dtype=torch.float64))]


def _estimates(kernel: ReverseKernel, name: str, steps: int, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """x̂⁽⁰⁾ and ε̂ given x_s."""
    a, b, *_ = _coefficients(name, steps, t)
    x0, _ = kernel.x0_posterior(x / (a * a + b * b) ** 0.5, t)
    return x0, (x - a * x0) / b


@torch.inference_mode()
def straightness(states: list[Tensor]) -> float:
    """Return how far paths are from straight lines at constant speed, from their states ``[n, ...]`` at evenly spaced s.

    ∫ E|dx/ds − (x₁ − x₀)|² ds, divided by E|x₁ − x₀|² (Liu et al. 2023): 0 for straight lines. Raises ValueError for less than two states.
    """
    if len(states) < 2:
        raise ValueError("At least two states are needed.")
    whole = (states[-1] - states[0]).flatten(1).double()
    steps = [(b - a).flatten(1).double() * (len(states) - 1) for a, b in pairwise(states)]
    apart = torch.stack([(step - whole).square().sum(1).mean() for step in steps]).mean()
    return float(apart / whole.square().sum(1).mean())
