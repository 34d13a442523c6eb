"""Asking for a class y: classifiers p(y|x⁽ᵗ⁾) of noisy data, learned or exact, as a factor r(x) of section 2.5 of the paper."""

from dpm_core.guidance.class_factor import ClassFactor
from dpm_core.guidance.classifier import Classifier, NoisyClassifier
from dpm_core.guidance.exact_classes import ExactClasses
from dpm_core.guidance.make import make_model
from dpm_core.guidance.quality import Quality, classifier_quality

__all__ = ["ClassFactor", "Classifier", "ExactClasses", "NoisyClassifier", "Quality", "classifier_quality", "make_model"]
