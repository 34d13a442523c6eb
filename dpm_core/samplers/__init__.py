"""Samplers: generators of Step(t, x) from t = T down to 0. The caller owns plots, pauses and progress.

Every file of this folder is imported, so that a new sampler needs no other change.
"""

import importlib
import pkgutil

from dpm_core.samplers.ancestral import ancestral
from dpm_core.samplers.ddim import ddim
from dpm_core.samplers.probability_flow import probability_flow
from dpm_core.samplers.recording import Recording, record
from dpm_core.samplers.registry import SAMPLERS, Sampler, sampler
from dpm_core.samplers.repaint import repaint, repaint_times
from dpm_core.samplers.steps import timesteps, walk

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["SAMPLERS", "Recording", "Sampler", "ancestral", "ddim", "probability_flow", "record", "repaint", "repaint_times"]
__all__ += ["sampler", "timesteps", "walk"]
