"""Build the forward process that a run's config describes."""

from __future__ import annotations

from dpm_core.config import RunConfig
from dpm_core.process.binomial import BinomialDiffusion
from dpm_core.process.chain import Chain
from dpm_core.process.gaussian import GaussianDiffusion
from dpm_core.schedules import make_schedule


def make_diffusion(run: RunConfig) -> Chain:
    """Return the forward process of a run. Raises ScheduleError for an invalid schedule."""
    schedule = make_schedule(run.schedule.name, run.schedule.T, **dict(run.schedule.params))
    return BinomialDiffusion(schedule, run.diffusion.rate) if run.diffusion.kind == "binomial" else GaussianDiffusion(schedule)
