"""Paths from data to noise and their flows: the straight line of flow matching, variance preserving, variance exploding."""

from dpm_core.paths.flows import diffusion_of, flow, straightness, velocity
from dpm_core.paths.interpolants import PATHS, Path, path
from dpm_core.paths.reflow import straighten

__all__ = ["PATHS", "Path", "diffusion_of", "flow", "path", "straighten", "straightness", "velocity"]
