"""Reverse kernels p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾): parameterised by a network, and exact for a finite set of points or bit patterns."""

from dpm_core.reverse.empirical_bits import EmpiricalBits
from dpm_core.reverse.empirical_points import EmpiricalReverse
from dpm_core.reverse.exact import empirical_reverse
from dpm_core.reverse.kernel import X0PosteriorKernel, ReverseKernel
from dpm_core.reverse.learned import LOG_SNR_LIMIT, ReverseModel, build_model

__all__ = ["LOG_SNR_LIMIT", "EmpiricalBits", "EmpiricalReverse", "X0PosteriorKernel", "ReverseKernel", "ReverseModel"]
__all__ += ["build_model", "empirical_reverse"]
