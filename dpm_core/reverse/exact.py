"""Build the exact reverse kernel for data under either forward process."""

from __future__ import annotations

from torch import Tensor

from dpm_core.process import BinomialDiffusion, Chain, GaussianDiffusion
from dpm_core.reverse.empirical_bits import EmpiricalBits
from dpm_core.reverse.empirical_points import EmpiricalReverse


def empirical_reverse(data: Tensor, diffusion: Chain, noise: float = 0.0, weights: Tensor | None = None) -> EmpiricalReverse:
    """Return the exact reverse kernel of ``data`` ``[N, ...]`` under a Gaussian or binomial diffusion.

    ``noise`` is the standard deviation of the Gaussian blur of each point (0 for bits); ``weights`` ``[N]`` default to equal ones.
    Raises ValueError where the data do not fit the diffusion, TypeError for any other diffusion.
    """
    if isinstance(diffusion, BinomialDiffusion):
        return EmpiricalBits(data, diffusion, noise, weights)
    if isinstance(diffusion, GaussianDiffusion):
        return EmpiricalReverse(data, diffusion, noise, weights)
    raise TypeError(f"The diffusion must be a GaussianDiffusion or a BinomialDiffusion, not {type(diffusion).__name__}.")
