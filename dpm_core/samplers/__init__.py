"""Samplers: generators of Step(t, x) from t = T down to 0. The caller is responsible for plots, pauses and progress.

Every module of this folder is imported, so a new sampler is one new file.
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
