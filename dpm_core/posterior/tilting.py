"""Exponential tilting: the exact reverse kernel of p(x⁽⁰⁾) r(x⁽⁰⁾)/Z, where it has a closed form."""

from __future__ import annotations

import torch

from dpm_core.factors import Factor, FactorError, GaussianObservation, Inpaint, Product
from dpm_core.reverse import EmpiricalBits, EmpiricalReverse


def tilted(kernel: EmpiricalReverse, factor: Factor) -> EmpiricalReverse:
    """Return the exact reverse kernel of q(x⁽⁰⁾) r(x⁽⁰⁾)/Z; sampling it multiplies every step by r_t(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾].

    q is a mixture of Gaussians around data points y_j. For :class:`GaussianObservation` with a single σ, :class:`Inpaint` and
    products of these, the product is such a mixture too, with weights, centres and width in closed form. (Known values are blurred by
    the data's noise here, so they must be set at the end, see :meth:`Inpaint.paste`.) For any other r in the plane see
    :func:`dpm_core.posterior.products.exact_kernel`. For bit patterns, any factor multiplies the weight of each pattern. Raises
    FactorError for factors without a closed form, and where r is zero at all points.
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
            raise FactorError("Points without noise almost surely do not match the known values; build the kernel with noise > 0.")
        missing, known = (part.expand(data.shape) for part in (factor.mask, factor.known))
        deviation = torch.where(missing, 0.0, (data - known) / noise).double().flatten(1)
        log_weights, data = log_weights - 0.5 * deviation.square().sum(1), torch.where(missing, data, known.to(data))
    elif isinstance(factor, GaussianObservation) and factor.sigma.numel() == 1:
        sigma, y = float(factor.sigma), factor.y.to(data)
        total = noise**2 + sigma**2
        log_weights = log_weights - 0.5 * ((data - y).double() / total**0.5).flatten(1).square().sum(1)
        data, noise = (data * sigma**2 + y * noise**2) / total, noise * sigma / total**0.5
    else:
        raise FactorError("Only Inpaint and GaussianObservation with a single σ have a closed form; use exact_kernel for others.")
    if not bool((log_weights > -torch.inf).any()):
        raise FactorError("r is zero wherever the data are; move r or make it wider.")
    return EmpiricalReverse(data, kernel.diffusion, noise, torch.softmax(log_weights, 0))
