"""The choice of a model of points on pages that show the plane only: a checkpoint, or the exact answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dpm_core import checkpoints
from dpm_core.config import RunConfig, ScheduleConfig
from dpm_core.data import toy2d
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.controls.class_label import given_class
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.widgets import choose
from pages.ui.kinds.points.source import PointSource

EXACT = "exact"


def choose_model(
    label: str, exact_title: str, key: str, accepts: Callable[[RunConfig], bool] = lambda run: True, usual: str = EXACT
) -> tuple[ModelRef, PointSource, ScheduleConfig] | None:
    """A checkpoint of points with its data and its schedule; None for the exact answer, which stands first in the menu.

    ``accepts``: which of them are offered; ``usual``: what is chosen at first, if it is there. Raises CheckpointError, OSError.
    """
    paths = {}
    for name, path in checkpoints.list_checkpoints().items():
        run, _ = cache.description(ModelRef.of(path))
        if run is not None and run.data.name in (*toy2d.SHAPES, "own") and accepts(run):
            paths[name] = path
    name = choose(
        label, {EXACT: exact_title} | {name: model_title(path) for name, path in paths.items()}, key, usual if usual in paths else EXACT
    )
    if name == EXACT:
        return None
    ref = ModelRef.of(paths[name])
    loaded, ref = cache.model(ref), given_class(ref)
    source = PointSource.of_checkpoint(loaded)
    return ref, source if ref.label is None else replace(source, label=ref.label), loaded.config.schedule
