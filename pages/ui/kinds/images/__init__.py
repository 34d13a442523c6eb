"""Images under the Gaussian diffusion: digits, photographs, textures, a person's own picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import RunConfig, ScheduleConfig
from dpm_core.data.images import ImageDataset
from dpm_core.figures.image_sheets import sheet
from dpm_core.figures.rasters import png
from dpm_core.measure.bound import BoundEstimate
from dpm_core.process import GaussianDiffusion
from pages.ui import cache
from pages.ui.controls.schedule import schedule_config
from pages.ui.kinds import snapshots
from pages.ui.kinds.base import Kind
from pages.ui.kinds.images import bound, forward, likelihood, reverse, source, training
from pages.ui.kinds.images.forward import ForwardSettings
from pages.ui.kinds.images.reverse import ReverseSettings
from pages.ui.kinds.images.source import ImageSource
from pages.ui.kinds.images.source import dataset as _dataset
from pages.ui.kinds.records import BoundWords, Export, Model, Playback, ReferenceValues, Snippet, TrainingDefaults, Version


class ImagesKind(Kind[ImageSource, ForwardSettings, ReverseSettings]):
    """Images."""

    name, title, noun, key_suffix, T = "images", "Images", "images", "_images", 1000
    measures_snapshots = True
    training = TrainingDefaults(held_out=training.HELD_OUT, samples=training.IMAGES, sample_steps=20, prefers_gpu=True)

    def titles(self, exact: bool = False) -> dict[str, str]:
        return {} if exact else source.titles()

    def source_controls(self, name: str, whole: bool = False) -> ImageSource:
        return source.controls(name, whole)

    def source_of_checkpoint(self, loaded: Checkpoint) -> ImageSource:
        return ImageSource.of_checkpoint(loaded)

    def source_of_run(self, run: RunConfig) -> ImageSource | None:
        return None if run.data.name == "image" else ImageSource(run.data.name, run.data.params)

    def dataset(self, source: ImageSource) -> ImageDataset:
        return _dataset(source)

    def held_out(self, source: ImageSource) -> Tensor:
        return training.held_out(source)

    def held_out_groups(self, source: ImageSource) -> Tensor:
        return training.held_out_groups(source)

    def process(self, source: ImageSource, schedule: ScheduleConfig) -> GaussianDiffusion:
        return cache.diffusion(schedule)

    def snippet(self, source: ImageSource, schedule: ScheduleConfig) -> Snippet:
        return forward.snippet(source, schedule)

    def schedule_controls(self, source: ImageSource, T: int | None = None) -> ScheduleConfig:
        return schedule_config(T=T or self.T)

    def forward_controls(self, source: ImageSource) -> ForwardSettings:
        return forward.controls(source)

    def forward(self, source: ImageSource, schedule: ScheduleConfig, settings: ForwardSettings) -> Playback:
        return forward.playback(source, schedule, settings)

    def reverse_controls(self, model: Model) -> ReverseSettings:
        return reverse.controls(model)

    def show_reverse(self, model: Model, settings: ReverseSettings) -> None:
        reverse.show(model, settings)

    def training_stage(
        self, source: ImageSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str
    ) -> bytes:
        return training.stage(source, schedule, versions, times, label)

    def reference_values(self, source: ImageSource, schedule: ScheduleConfig) -> ReferenceValues:
        return training.reference_values(source, schedule)

    def single_step_rows(self, seen: jobs.StepDetails, source: ImageSource) -> str:
        return training.single_step_rows(seen, source)

    def bound_estimate(self, model: Model, seed: int) -> BoundEstimate:
        return bound.estimate(model, seed)

    def bound_words(self, source: ImageSource) -> BoundWords:
        return bound.words(source)

    def show_likelihood(self, model: Model, seed: int) -> Export:
        return likelihood.show(model, seed)

    def samples_picture(self, loaded: Checkpoint, dark: bool) -> bytes:
        x = snapshots.sample(loaded.model, loaded.shape, 16, 30, 3).x[-1]
        return png(sheet(training.levels(x, source.spec_of_checkpoint(loaded)), 4, 55))


IMAGES = ImagesKind()
