"""A classifier as the factor r(x) that multiplies a model (section 2.5 of the paper; Dhariwal & Nichol 2021)."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Normal

from dpm_core.factors import Factor, FactorError, log_gradient, shifted
from dpm_core.guidance.classifier import NoisyClassifier
from dpm_core.process import Kernel, expand

FAINTEST = -6.0  # log-SNR in nats below which the classifier is not asked: x⁽ᵗ⁾ says next to nothing of y there


class ClassFactor(Factor):
    """r(x⁽ᵗ⁾) = ∏_y p(y|x⁽ᵗ⁾, t)^(w τ_y): the classifier's probability of the target to the power w, at the noise of each step.

    ``target``: the label of one class, or weights τ of several, ``[K]`` for all data or ``[n, K]`` for each, which are divided by their
    sums: with two classes of weight ½ each, r is largest where the classifier finds both equally likely. ``strength``: w ≥ 0; 1 gives
    p(x⁽⁰⁾|y), if p and the classifier are exact. Raises FactorError for a label out of range, weights that are not positive, and a
    negative strength.
    """

    def __init__(self, classifier: NoisyClassifier, target: int | Tensor, strength: float = 1.0):
        if not strength >= 0:
            raise FactorError(f"The guidance strength must be at least 0, not {strength:g}.")
        self.classifier, self.strength = classifier, float(strength)
        self.target = _weights(target, classifier.classes)

    def multiply(self, p: Kernel, t: int) -> Kernel:
        """Shift the mean by f_Σ ∂log r/∂x at time t, evaluated at the mean (Eq. 61), with unchanged variance; for bits the log odds."""
        return shifted(p, self.gradient(p.mean, t))

    def multiply_x0(self, p: Normal, xt: Tensor, t: int) -> Kernel:
        """Shift E[x⁽⁰⁾|x⁽ᵗ⁾] by (1−ᾱ_t)/√ᾱ_t ∂log r/∂x⁽ᵗ⁾: exact by Tweedie's formula where p(y|x⁽ᵗ⁾) is and w = 1."""
        schedule = self.classifier.diffusion.schedule
        if float(schedule.log_snr(t)) < FAINTEST:
            return p
        scale = expand(schedule.noise(t) / schedule.alpha_bar(t).sqrt(), xt)
        return Normal(p.mean + scale * self.gradient(xt, t), p.stddev, validate_args=False)

    def gradient(self, x: Tensor, t: int) -> Tensor:
        """Return ∂log r/∂x at time t, shaped as x; 0 where there is next to no signal. Raises FactorError where it is not finite."""
        if not self.strength or float(self.classifier.diffusion.schedule.log_snr(t)) < FAINTEST:
            return torch.zeros_like(x)
        return log_gradient(partial(self._log_r, t=t), x)

    def power(self, exponent: float) -> ClassFactor:
        """Return the factor with the strength times ``exponent``."""
        other = copy.copy(self)  # with the same target, an ordinary tensor, also where this is called in inference mode
        other.strength = exponent * self.strength
        return other

    def log_prob(self, x: Tensor) -> Tensor:
        """log r(x⁽⁰⁾) in nats, ``[n]``."""
        return self._log_r(x, 0)

    def _log_r(self, x: Tensor, t: int) -> Tensor:
        target = self.target.to(x)
        log_probs = self.classifier.log_probs(x, t)
        asked = torch.where(target > 0, log_probs, 0.0)  # a class that is not asked for may have probability 0
        return self.strength * (target * asked).sum(1)


def _weights(target: int | Tensor, classes: int) -> Tensor:
    if not isinstance(target, Tensor):
        if not 0 <= target < classes:
            raise FactorError(f"The label must be a whole number from 0 to {classes - 1}, not {target}.")
        return torch.eye(classes, dtype=torch.float64)[target]
    if target.shape[-1:] != (classes,) or not bool((target >= 0).all() and (target.sum(-1) > 0).all()):
        raise FactorError(f"The target must be {classes} weights of at least 0, one of them positive, not {target.tolist()}.")
    return target.double() / target.sum(-1, keepdim=True)
