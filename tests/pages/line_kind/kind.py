"""What the pages show of points on a line: particles in the player, x across and their number up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import streamlit as st
import torch

from dpm_core.config import DataConfig
from dpm_core.samplers import SAMPLERS, record
from pages.ui import cache
from pages.ui.components.export_row import export_row
from pages.ui.components.player import Panel, Stage, pack, player
from pages.ui.controls import widgets
from pages.ui.controls.sampler import SamplerConfig, choose_sampler
from pages.ui.controls.schedule import python_schedule, schedule_config
from pages.ui.kinds import snapshots
from pages.ui.kinds.base import Kind
from pages.ui.kinds.records import Export, Playback, ReferenceValues, Snippet, TrainingDefaults
from tests.pages.line_kind.data import LineDataset

N = 200


@dataclass(frozen=True)
class LineSource:
    kind: ClassVar[str] = "line"
    name: str = "two_bumps"

    def config(self):
        return DataConfig(self.name)


def in_the_plane(x):
    """``[..., n, 1]`` to ``[..., n, 2]``: every particle keeps its height."""
    height = np.broadcast_to(np.linspace(-2, 2, x.shape[-2])[:, None], x.shape)
    return np.concatenate([x, height], -1)


class Line(Kind):
    name, title, noun, key_suffix = "line", "Points on a line", "numbers", "_line"
    training = TrainingDefaults(held_out=300, samples=N, sample_steps=6)

    def titles(self, exact=False):
        return {} if exact else {"two_bumps": "Two bumps"}

    def source_controls(self, name, whole=False):
        return LineSource()

    def source_of_checkpoint(self, loaded):
        return LineSource()

    def source_of_run(self, run):
        return LineSource()

    def dataset(self, source):
        return LineDataset()

    def held_out(self, source):
        return LineDataset().sample(300, torch.Generator().manual_seed(11))

    def process(self, source, schedule):
        return cache.diffusion(schedule)

    def snippet(self, source, schedule):
        return Snippet("from dpm_core.schedules import make_schedule", f"diffusion = {python_schedule(schedule)}")

    def schedule_controls(self, source, T=None):
        return schedule_config(T=T or 12)

    def forward_controls(self, source):
        return widgets.seed()

    def forward(self, source, schedule, settings):
        x0 = LineDataset().sample(N, torch.Generator().manual_seed(settings))
        steps = record(cache.diffusion(schedule).forward_steps(x0), schedule.T + 1)
        panel = Panel("steps", "on the line", "data", in_the_plane(steps.x))
        stage = Stage((panel,), steps.times.tolist(), schedule.T, -3, 3, name="dpm-line")
        return Playback(pack(stage), Export("dpm-line", "print('line')", {"x": steps.x}))

    def reverse_controls(self, model):
        return SamplerConfig(choose_sampler(), None, 0.0, N, widgets.seed())

    def show_reverse(self, model, settings):
        loaded = cache.model(model.ref)
        x_T = torch.randn(N, 1, generator=torch.Generator().manual_seed(settings.seed))
        run = SAMPLERS[settings.name](loaded.model, loaded.diffusion, x_T, generator=torch.Generator().manual_seed(1))
        path = record(run, loaded.diffusion.T + 1)
        panel = Panel("samples", "on the line", "model", in_the_plane(path.x))
        player(pack(Stage((panel,), path.times.tolist(), loaded.diffusion.T, -3, 3, name="dpm-line")), "reverse")
        st.caption(f"Samples have the standard deviation {path.x[-1].std():.2f}.")
        export_row("dpm-line", "print('line')", {"x": path.x})

    def training_stage(self, source, schedule, versions, times, label):
        chosen, moments, frames, n = snapshots.reduced(versions, times, N, 4)
        samples = in_the_plane(snapshots.stacked(chosen, frames, n))
        panel = Panel("samples", label, "model", samples)
        return pack(Stage((panel,), moments, schedule.T, -3, 3, name="dpm-line", versions=[one.label for one in chosen]))

    def reference_values(self, source, schedule):
        return ReferenceValues("bits", 1.0, -2.0, self.noun)


LINE = Line()
