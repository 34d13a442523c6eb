"""Sampling p(x⁽⁰⁾) r(x⁽⁰⁾)/Z: the factors, RePaint's resampling, and the exact answer where the data's own kernel is known."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dpm_core.diffusion import Chain, Step
from dpm_core.factors import Annealed, Factor, FactorError, GaussianObservation, Inpaint, Potential, Product, condition
from dpm_core.reverse import EmpiricalBits, EmpiricalReverse, ReverseKernel
from dpm_core.samplers import timesteps, walk

__all__ = [
    "Annealed",
    "Factor",
    "FactorError",
    "GaussianObservation",
    "Inpaint",
    "Potential",
    "Product",
    "condition",
    "repaint",
    "repaint_times",
    "tilted",
]


def repaint_times(T: int, steps: int | None = None, jump: int = 10, resamplings: int = 10) -> list[int]:
    """The times RePaint visits: T … 0, but every ``jump`` steps it goes back up so far, ``resamplings`` − 1 times over.

    Lugmayr et al. 2022, appendix B; 250 steps with jump 10 and 10 resamplings take 2,410 steps down. Raises ValueError
    for a jump or a number of resamplings below 1.
    """
    if jump < 1 or resamplings < 1:
        raise ValueError("RePaint's jump and number of resamplings must be at least 1.")
    times = timesteps(T, steps)  # times[k] with k = steps − i counts what is left to do
    left = len(times) - 1
    again = {i: resamplings - 1 for i in range(0, left - jump, jump)}
    visited = [left]
    while left > 0:
        left -= 1
        visited.append(left)
        if again.get(left, 0) > 0:
            again[left] -= 1
            for _ in range(jump):
                left += 1
                visited.append(left)
    return [times[len(times) - 1 - left] for left in visited]


def repaint(
    model: ReverseKernel,
    diffusion: Chain,
    shape_or_xT: tuple[int, ...] | Tensor,
    factor: Factor,
    *,
    steps: int | None = None,
    jump: int = 10,
    resamplings: int = 10,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    """Ancestral sampling times a factor that again and again goes back up a little, so that both sides of it can agree.

    With :class:`Inpaint`, give it the diffusion, so that what is known takes noise of level t (Lugmayr et al. 2022); at
    t = 0 it is in place exactly. Model calls: the steps down of :func:`repaint_times`.
    """
    times = repaint_times(diffusion.T, steps, jump, resamplings)
    return walk(model, diffusion, shape_or_xT, times, factor=factor, generator=generator)


def tilted(kernel: EmpiricalReverse, factor: Factor) -> EmpiricalReverse:
    """The exact reverse kernel of q(x⁽⁰⁾) r(x⁽⁰⁾)/Z: to sample it is to multiply by r_t(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾].

    q is a mixture of Gaussians around data points y_j. With :class:`GaussianObservation` of one σ, with :class:`Inpaint` and
    with products of these so is the product, its weights, centres and width in closed form (what is known must still be
    pasted in at the end: here it takes the data's noise). For any other r in the plane see
    :func:`dpm_core.products.exact_kernel`. Raises FactorError for those, and where r is zero at all points.
    Patterns of bits are multiplied by any factor: each pattern's weight by r of it.
    """
    if isinstance(kernel, EmpiricalBits):
        return kernel.weighed(factor.log_prob(kernel.data.double()))
    if isinstance(factor, Product):
        for part in sorted(factor.factors, key=lambda part: not isinstance(part, Inpaint)):
            kernel = tilted(kernel, part)
        return kernel
    data, noise = kernel.data, kernel.noise
    log_weights = torch.zeros(len(data), dtype=torch.float64) if kernel.weights is None else kernel.weights.double().log()
    if isinstance(factor, Inpaint):
        if not noise > 0:
            raise FactorError("Points without noise never lie exactly on what is known; give the kernel a noise.")
        missing, known = (part.expand(data.shape) for part in (factor.mask, factor.known))
        apart = torch.where(missing, 0.0, (data - known) / noise).double().flatten(1)
        log_weights, data = log_weights - 0.5 * apart.square().sum(1), torch.where(missing, data, known.to(data))
    elif isinstance(factor, GaussianObservation) and factor.sigma.numel() == 1:
        sigma, y = float(factor.sigma), factor.y.to(data)
        total = noise**2 + sigma**2
        log_weights = log_weights - 0.5 * ((data - y).double() / total**0.5).flatten(1).square().sum(1)
        data, noise = (data * sigma**2 + y * noise**2) / total, noise * sigma / total**0.5
    else:
        raise FactorError("Only what is known and what is observed with one σ multiply a mixture of Gaussians in closed form.")
    if not bool((log_weights > -torch.inf).any()):
        raise FactorError("r is zero wherever the data are; move it or make it wider.")
    return EmpiricalReverse(data, kernel.diffusion, noise, torch.softmax(log_weights, 0))
