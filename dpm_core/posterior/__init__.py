"""Sampling p(x⁽⁰⁾) r(x⁽⁰⁾)/Z (section 2.5 of the paper): factors, RePaint, and the exact product where the data's kernel is known."""

from dpm_core.factors import Annealed, Factor, FactorError, GaussianObservation, Inpaint, Potential, Product, condition
from dpm_core.posterior.tilting import tilted
from dpm_core.samplers import repaint, repaint_times

__all__ = ["Annealed", "Factor", "FactorError", "GaussianObservation", "Inpaint", "Potential", "Product"]
__all__ += ["condition", "repaint", "repaint_times", "tilted"]
