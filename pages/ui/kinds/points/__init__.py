"""Points in the plane under the Gaussian diffusion: everything exact is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import RunConfig, ScheduleConfig
from dpm_core.data import toy2d
from dpm_core.figures.palette import DATA, MODEL
from dpm_core.figures.rasters import png, scatter_image
from dpm_core.measure.budget import Budget
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseKernel
from dpm_core.schedules import Schedule
from pages.ui import cache
from pages.ui.controls.sampler import SamplerConfig
from pages.ui.controls.schedule import python_schedule, schedule_config
from pages.ui.kinds import snapshots
from pages.ui.kinds.base import Kind
from pages.ui.kinds.points import bound, cached, forward, likelihood, measures, reverse, schedule, source, training
from pages.ui.kinds.points.forward import ForwardSettings
from pages.ui.kinds.points.source import PointSource
from pages.ui.kinds.points.source import dataset as _dataset
from pages.ui.kinds.records import BoundWords, Curves, Export, Model, Playback, ReferenceValues, Snippet, TrainingDefaults, Version


class Points(Kind[PointSource, ForwardSettings, SamplerConfig]):
    """Points in the plane."""

    name, title, noun = "points", "Points in the plane", "points"
    training = TrainingDefaults(
        held_out=cached.HELD_OUT,
        samples=training.POINTS,
        sample_steps=20,
        optimisers={"adam": "Adam", "sfo": "Adam, then SFO"},
    )
    learns_schedules = has_entropy_bounds = shows_drift = True

    def titles(self, exact: bool = False) -> dict[str, str]:
        return source.TITLES

    def source_controls(self, name: str, whole: bool = False) -> PointSource:
        return source.controls(name)

    def source_of_checkpoint(self, loaded: Checkpoint) -> PointSource:
        return PointSource.of_checkpoint(loaded)

    def source_of_class(self, source: PointSource, label: int) -> PointSource:
        return replace(source, label=label)

    def source_of_run(self, run: RunConfig) -> PointSource | None:
        return PointSource.of_config(run.data)

    def dataset(self, source: PointSource) -> toy2d.PlaneDataset:
        return _dataset(source)

    def held_out(self, source: PointSource) -> Tensor:
        return cached.held_out(source)

    def process(self, source: PointSource, schedule: ScheduleConfig) -> GaussianDiffusion:
        return cache.diffusion(schedule)

    def exact(self, source: PointSource, schedule: ScheduleConfig) -> EmpiricalReverse:
        return cached.exact(source, schedule)

    def snippet(self, chosen: PointSource, schedule: ScheduleConfig) -> Snippet:
        return Snippet(
            "from dpm_core.data import toy2d, uploads\nfrom dpm_core.process import GaussianDiffusion\n"
            "from dpm_core.schedules import make_schedule",
            f"data = {source.python(chosen)}\ndiffusion = GaussianDiffusion({python_schedule(schedule)})",
        )

    def schedule_controls(self, source: PointSource, T: int | None = None) -> ScheduleConfig:
        return schedule_config(T=T or self.T)

    def forward_controls(self, source: PointSource) -> ForwardSettings:
        return forward.controls()

    def forward(self, source: PointSource, schedule: ScheduleConfig, settings: ForwardSettings) -> Playback:
        return forward.playback(source, schedule, settings, self.snippet(source, schedule))

    def reverse_controls(self, model: Model) -> SamplerConfig:
        return reverse.controls(model.schedule.T)

    def show_reverse(self, model: Model, settings: SamplerConfig) -> None:
        reverse.show(model, settings, self.snippet(model.source, model.schedule))

    def training_stage(
        self, source: PointSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str
    ) -> bytes:
        return training.stage(source, schedule, versions, times, label)

    def reference_values(self, source: PointSource, schedule: ScheduleConfig) -> ReferenceValues:
        return training.reference_values(source, schedule)

    def drift(self, kernel: ReverseKernel, times: list[int]) -> np.ndarray:
        return training.drift(kernel, times)

    def single_step_rows(self, seen: jobs.StepDetails, source: PointSource) -> str:
        return training.single_step_rows(seen, source)

    def schedule_strip(self, source: PointSource, schedule: ScheduleConfig, seed: int, dark: bool) -> tuple[bytes, list[int]]:
        return cached.strip(source, schedule, seed, DATA.dark if dark else DATA.light)

    def prior_mismatch(self, source: PointSource, config: ScheduleConfig) -> tuple[float, str]:
        return schedule.prior_mismatch(config)

    def schedule_charts(self, source: PointSource, schedules: dict[str, ScheduleConfig]) -> dict[str, Curves]:
        return schedule.charts(schedules)

    def marginal_latex(self, source: PointSource, made: Schedule, t: int) -> str:
        return schedule.marginal(made, t)

    schedule_note = schedule.NOTE

    def budget(self, model: Model, seed: int) -> Budget:
        return measures.budget(model, measures.points(model.schedule.T, bool(model.run_id)), seed)

    def budget_size(self, T: int) -> int:
        return measures.points(T)

    def bound_words(self, source: PointSource) -> BoundWords:
        return BoundWords()

    def bound_stage(self, model: Model, seed: int, clock: str) -> bytes:
        return bound.stage(model, seed, clock)

    def show_likelihood(self, model: Model, seed: int) -> Export:
        return likelihood.show(model, seed)

    def samples_picture(self, loaded: Checkpoint, dark: bool) -> bytes:
        x = snapshots.sample(loaded.model, loaded.shape, 1000, 30, 3).x[-1]
        return png(scatter_image(x, 220, MODEL.dark if dark else MODEL.light, limit=2.4))


POINTS = Points()
