"""What a run's numbers are measured against: nothing learned, the best that is known, and the unit of both."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
import torch

from dpm_core import checkpoint
from dpm_core.bound import NATS_PER_BIT, evaluate_bound
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from pages.shared import cached
from pages.shared.image_controls import ImageSource
from pages.shared.training_controls import Source, data_config, dataset, held_out


@dataclass(frozen=True)
class Yardstick:
    """All in bits per ``unit``: per point in the plane, per pixel for images. ``kept`` is a shipped model's K with its name."""

    unit: str
    divide: float  # bits per datum to bits per unit
    null: float
    best: float | None = None
    best_words: str = ""
    times: tuple[tuple[int, ...], tuple[float, ...]] = ()  # t and the best chain's bits there

    @property
    def limits(self) -> dict[str, tuple[float, str]]:
        """The straight lines of the chart of K."""
        lines = {"nothing learned (L_null)": (self.null, "noise")}
        return lines | ({self.best_words: (self.best, "exact")} if self.best is not None else {})

    def span(self, top: float) -> tuple[float, float]:
        """The range of K worth looking at, in bits; it grows by leaps, as a chart that changes its axis all the time is hard to read."""
        room = (self.best if self.best is not None else self.null + 0.5) - self.null
        while self.null + 1.16 * room < top:
            room *= 1.5
        return round(self.null - 0.5 * room, 3), round(self.null + 1.2 * room, 3)


@st.cache_data(max_entries=32, show_spinner=False)
def yardstick(source: Source, schedule: ScheduleConfig) -> Yardstick:
    """What is known of a data set before anything is trained on it."""
    x0 = held_out(source)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(x0).flatten(1).sum(1)
    null = float(prior.mean()) / NATS_PER_BIT
    if isinstance(source, ImageSource):
        return _images(source, null)
    best = evaluate_bound(
        cached.exact(source, schedule), cached.diffusion(schedule), x0[: max(200, min(2000, 80_000 // schedule.T))],
        torch.Generator().manual_seed(12),
    )  # fmt: skip
    times = tuple(range(2, schedule.T + 1)), tuple((best.kl_nats / NATS_PER_BIT).tolist())
    return Yardstick("bits", 1.0, null, best.bound_bits, "best Gaussian chain", times)


def _images(source: ImageSource, null: float) -> Yardstick:
    """The yardstick of images: a shipped model of the same data, as nothing exact is known of them."""
    pixels = dataset(source).pixels_count
    known = []
    for name, path in checkpoint.list_checkpoints([checkpoint.SHIPPED]).items():
        try:
            header = checkpoint.read_header(path)
            if from_dict(RunConfig, header["config"]).data == data_config(source):
                known.append((float(header["bound_bits"]) / pixels, name))
        except (ValueError, KeyError, TypeError):
            continue  # a file that cannot be read is no yardstick; the Checkpoints page says what is wrong with it
    best, name = max(known, default=(None, ""))
    return Yardstick("bits per pixel", pixels, null / pixels, best, f"shipped: {name}")
