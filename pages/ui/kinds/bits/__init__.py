"""Bits under the binomial diffusion: heartbeats, spins, black and white digits, a person's own rows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import BIT_RUN, RunConfig, ScheduleConfig
from dpm_core.data.bits import BitDataset
from dpm_core.figures.image_sheets import sheet, tinted
from dpm_core.figures.palette import MODEL
from dpm_core.figures.rasters import png
from dpm_core.measure.bound import BoundEstimate
from dpm_core.measure.budget import Budget
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import Schedule
from pages.ui.controls.schedule import schedule_config
from pages.ui.kinds import snapshots
from pages.ui.kinds.base import Kind
from pages.ui.kinds.bits import bound, cached, forward, likelihood, reverse, schedule, source, training
from pages.ui.kinds.bits.forward import BitSettings
from pages.ui.kinds.bits.reverse import ReverseSettings
from pages.ui.kinds.bits.source import BitSource
from pages.ui.kinds.bits.source import dataset as _dataset
from pages.ui.kinds.images import likelihood as picture_likelihood
from pages.ui.kinds.records import BoundWords, Curves, Export, Model, Playback, ReferenceValues, Snippet, TrainingDefaults, Version

SIDE = 220  # pixels of a picture of samples


class BitsKind(Kind[BitSource, BitSettings, ReverseSettings]):
    """Bits."""

    name, title, noun, key_suffix, T = "bits", "Bits", "bits", "_bits", BIT_RUN.schedule.T
    training = TrainingDefaults(
        held_out=cached.HELD_OUT,
        samples=training.ROWS,
        sample_steps=50,
        losses={"bound": "Bound, −K", "simple": "Simple (cross entropy)"},
    )
    schedule_note = schedule.NOTE

    def titles(self, exact: bool = False) -> dict[str, str]:
        return source.titles(exact)

    def source_controls(self, name: str, whole: bool = False) -> BitSource:
        return source.controls(name)

    def source_of_checkpoint(self, loaded: Checkpoint) -> BitSource:
        found = BitSource.of_checkpoint(loaded)
        _dataset(found)  # at once, where the error can be shown: the images it is made of may be missing
        return found

    def source_of_run(self, run: RunConfig) -> BitSource | None:
        return BitSource.of_config(run.data, run.diffusion.rate)

    def dataset(self, source: BitSource) -> BitDataset:
        return _dataset(source)

    def held_out(self, source: BitSource) -> Tensor:
        return cached.held_out(source)

    def process(self, source: BitSource, schedule: ScheduleConfig) -> BinomialDiffusion:
        return cached.diffusion(source, schedule)

    def exact(self, source: BitSource, schedule: ScheduleConfig) -> EmpiricalReverse | None:
        return cached.exact(source, schedule) if _dataset(source).listed else None

    def snippet(self, source: BitSource, schedule: ScheduleConfig) -> Snippet:
        return forward.snippet(source, schedule)

    def schedule_controls(self, chosen: BitSource, T: int | None = None) -> ScheduleConfig:
        return source.fitted_schedule(schedule_config("paper", self.T))

    def fitted_schedule(self, chosen: ScheduleConfig) -> ScheduleConfig:
        return source.fitted_schedule(chosen)

    def forward_controls(self, source: BitSource) -> BitSettings:
        return forward.controls(source)

    def forward(self, source: BitSource, schedule: ScheduleConfig, settings: BitSettings) -> Playback:
        return forward.playback(source, schedule, settings)

    def reverse_controls(self, model: Model) -> ReverseSettings:
        return reverse.controls(model)

    def show_reverse(self, model: Model, settings: ReverseSettings) -> None:
        reverse.show(model, settings)

    def watched_samples(self, source: BitSource) -> int:
        return training.watched(source)

    def training_stage(
        self, source: BitSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str
    ) -> bytes:
        return training.stage(source, schedule, versions, times, label)

    def reference_values(self, source: BitSource, schedule: ScheduleConfig) -> ReferenceValues:
        return training.reference_values(source, schedule)

    def single_step_rows(self, seen: jobs.StepDetails, source: BitSource) -> str:
        return training.single_step_rows(seen, source)

    def schedule_strip(self, source: BitSource, config: ScheduleConfig, seed: int, dark: bool) -> tuple[bytes, list[int]]:
        return schedule.strip(source, config, seed, dark)

    def prior_mismatch(self, source: BitSource, config: ScheduleConfig) -> tuple[float, str]:
        return schedule.prior_mismatch(source, config)

    def schedule_charts(self, source: BitSource, schedules: dict[str, ScheduleConfig]) -> dict[str, Curves]:
        return schedule.charts(source, schedules)

    def marginal_latex(self, source: BitSource, made: Schedule, t: int) -> str:
        return schedule.marginal(made, _dataset(source).rate, t)

    def budget(self, model: Model, seed: int) -> Budget | None:
        return bound.budget(model, seed)

    def budget_size(self, T: int) -> int:
        return bound.points(T)

    def bound_estimate(self, model: Model, seed: int) -> BoundEstimate:
        return bound.estimate(model, seed)

    def bound_words(self, source: BitSource) -> BoundWords:
        return bound.words(source)

    def bound_stage(self, model: Model, seed: int, clock: str) -> bytes:
        return bound.stage(model, seed, clock)

    def show_likelihood(self, model: Model, seed: int) -> Export:
        view = likelihood if source.is_sequence(model.source) else picture_likelihood
        return view.show(model, seed)

    def samples_picture(self, loaded: Checkpoint, dark: bool) -> bytes:
        sequences = len(loaded.shape) == 1
        x = snapshots.sample(loaded.model, loaded.shape, 22 if sequences else 16, 30, 3).x[-1]
        if not sequences:
            return png(sheet(tinted(x[:, 0], MODEL, dark), 4, SIDE // 4))
        raster = tinted(x, MODEL, dark)
        return png(raster.repeat(SIDE // len(x), 0).repeat(max(1, SIDE // x.shape[1]), 1))


BITS = BitsKind()
