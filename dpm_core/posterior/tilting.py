"""The exact reverse kernel of p(x⁽⁰⁾) r(x⁽⁰⁾)/Z, by exponential tilting, where it has a closed form."""

from __future__ import annotations

import torch

from dpm_core.factors import Factor, FactorError, GaussianObservation, Inpaint, Product
from dpm_core.reverse import EmpiricalBits, EmpiricalReverse


def tilted(kernel: EmpiricalReverse, factor: Factor) -> EmpiricalReverse:
    """The exact reverse kernel of q(x⁽⁰⁾) r(x⁽⁰⁾)/Z: to sample it is to multiply by r_t(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾].

    q is a mixture of Gaussians around data points y_j. With :class:`GaussianObservation` of one σ, with :class:`Inpaint` and
    with products of these so is the product, its weights, centres and width in closed form (what is known must still be
    pasted in at the end: here it takes the data's noise). For any other r in the plane see
    :func:`dpm_core.posterior.products.exact_kernel`. Raises FactorError for those, and where r is zero at all points.
    Patterns of bits are multiplied by any factor: each pattern's weight by r of it.
    """
    if isinstance(kernel, EmpiricalBits):
        return kernel.reweighted(factor.log_prob(kernel.data.double()))
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
