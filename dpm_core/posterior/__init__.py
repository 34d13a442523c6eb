"""Sampling from a posterior p(x⁽⁰⁾) r(x⁽⁰⁾)/Z (section 2.5 of the paper).

Factors r, RePaint, and the exact product where the exact reverse kernel of the data is known.
"""

from dpm_core.factors import Annealed, Factor, FactorError, GaussianObservation, Inpaint, Potential, Product, condition
from dpm_core.posterior.tilting import tilted
from dpm_core.samplers import repaint, repaint_times

__all__ = ["Annealed", "Factor", "FactorError", "GaussianObservation", "Inpaint", "Potential", "Product"]
__all__ += ["condition", "repaint", "repaint_times", "tilted"]
