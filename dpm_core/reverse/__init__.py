"""Reverse kernels p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾): parameterised by a network, and exact for a finite set of points or bit patterns."""

from dpm_core.reverse.empirical_bits import EmpiricalBits
from dpm_core.reverse.empirical_local import LocalReverse
from dpm_core.reverse.empirical_points import EmpiricalReverse
from dpm_core.reverse.exact import empirical_reverse
from dpm_core.reverse.kernel import AdaptableKernel, ReverseKernel, X0PosteriorKernel
from dpm_core.reverse.learned import ReverseModel, build_model

__all__ = ["AdaptableKernel", "EmpiricalBits", "EmpiricalReverse", "LocalReverse", "ReverseKernel", "ReverseModel", "X0PosteriorKernel"]
__all__ += ["build_model", "empirical_reverse"]
