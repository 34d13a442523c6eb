"""Reverse kernels p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾): a network read as one, and the exact ones of points and of bits."""

from dpm_core.reverse.empirical_bits import EmpiricalBits
from dpm_core.reverse.empirical_points import EmpiricalReverse
from dpm_core.reverse.exact import empirical_reverse
from dpm_core.reverse.kernel import FromMoments, ReverseKernel
from dpm_core.reverse.learned import LOG_SNR_LIMIT, ReverseModel, build_model

__all__ = ["LOG_SNR_LIMIT", "EmpiricalBits", "EmpiricalReverse", "FromMoments", "ReverseKernel", "ReverseModel"]
__all__ += ["build_model", "empirical_reverse"]
