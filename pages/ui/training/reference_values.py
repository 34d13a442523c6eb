"""What a run's numbers are measured against: nothing learned, the best that is known, and the unit of both."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
import torch

from dpm_core import checkpoints
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from dpm_core.measure.bound import NATS_PER_BIT, estimate_bound, evaluate_bound
from pages.ui import cache
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.images.image_controls import ImageSource
from pages.ui.training.run_setup import Source, data_config, held_out

PAIRS = 1 << 23  # of a draw and a pattern


@dataclass(frozen=True)
class Yardstick:
    """All in bits per ``unit``: per point in the plane, per pixel for images. ``kept`` is a shipped model's K with its name."""

    unit: str
    divide: float  # bits per datum to bits per unit
    null: float
    noun: str = "points"  # what the data are
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
    prior = cache.process(source, schedule).prior(tuple(x0.shape)).log_prob(x0).flatten(1).sum(1)
    null = float(prior.mean()) / NATS_PER_BIT
    if isinstance(source, ImageSource):
        return _images(source, null)
    if isinstance(source, BitSource):
        return _bits(source, schedule, null)
    best = evaluate_bound(
        cache.exact(source, schedule), cache.diffusion(schedule), x0[: max(200, min(2000, 80_000 // schedule.T))],
        torch.Generator().manual_seed(12),
    )  # fmt: skip
    times = tuple(range(2, schedule.T + 1)), tuple((best.kl_nats / NATS_PER_BIT).tolist())
    return Yardstick("bits", 1.0, null, best=best.bound_bits, best_words="best Gaussian chain", times=times)


def _bits(source: BitSource, schedule: ScheduleConfig, null: float) -> Yardstick:
    """The best chain of independent bits, where the patterns can be listed, else nothing but L_null; bits of a picture per pixel."""
    data, x0 = cache.bits(source), held_out(source)
    if len(data.shape) > 1 and not data.listed:
        return Yardstick("bits per pixel", data.dims, null / data.dims, "images")
    if not data.listed:
        return Yardstick("bits", 1.0, null, "sequences")
    kernel, noise = cache.exact_flips(source, schedule), torch.Generator().manual_seed(12)
    draws = max(100, min(20_000, PAIRS // len(data.patterns)))
    best = estimate_bound(kernel, kernel.diffusion, x0[torch.arange(draws) % len(x0)], noise)
    return Yardstick("bits", 1.0, null, "sequences", best.bound_bits, "best chain, bit by bit")


def _images(source: ImageSource, null: float) -> Yardstick:
    """The yardstick of images: a shipped model of the same data, as nothing exact is known of them."""
    pixels = cache.images(source).pixels_count
    known = []
    for name, path in checkpoints.list_checkpoints([checkpoints.SHIPPED]).items():
        try:
            header = checkpoints.read_header(path)
            if from_dict(RunConfig, header["config"]).data == data_config(source):
                known.append((float(header["bound_bits"]) / pixels, name))
        except (ValueError, KeyError, TypeError):
            continue  # a file that cannot be read is no yardstick; the Checkpoints page says what is wrong with it
    best, name = max(known, default=(None, ""))
    return Yardstick("bits per pixel", pixels, null / pixels, "images", best, f"shipped: {name}")
