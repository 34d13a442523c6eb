"""Factors r(x) that multiply a model, and their product with a reverse step (section 2.5 of the paper).

p̃(x⁽⁰⁾) ∝ p(x⁽⁰⁾) r(x⁽⁰⁾) is sampled by multiplying every reverse step by r at the time of that step. The paper uses
r(x⁽ᵗ⁾) = r(x⁽⁰⁾) for all t; :class:`Annealed` raises it to the power (T−t)/T. Both are approximations: the chain samples p̃ exactly
for r(x⁽ᵗ⁾) = E[r(X⁽⁰⁾)|x⁽ᵗ⁾], see :func:`dpm_core.posterior.tilted`.
"""

from dpm_core.factors.base import Factor, FactorError, condition, log_gradient, shifted
from dpm_core.factors.combined import Annealed, Product
from dpm_core.factors.elementary import BitOdds, GaussianObservation, Inpaint, Potential

__all__ = ["Annealed", "BitOdds", "Factor", "FactorError", "GaussianObservation", "Inpaint", "Potential", "Product", "condition"]
__all__ += ["log_gradient", "shifted"]
