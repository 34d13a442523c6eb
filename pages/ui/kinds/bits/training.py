"""The Train page with bits: the stage of a run, one step in detail, and what K is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.config import ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT, estimate_bound
from pages.ui.components.player import Images, Stage, pack
from pages.ui.kinds import snapshots
from pages.ui.kinds.bits import cached
from pages.ui.kinds.bits.source import BitSource, dataset, is_sequence
from pages.ui.kinds.images.training import picture_rows
from pages.ui.kinds.records import ReferenceValues, Version

ROWS, IMAGES = 64, 16  # shown of a snapshot
PAIRS = 1 << 23  # of a datum and a pattern
CAPTION = "The fraction of ones is learned first. That the bits must agree with each other is learned last, in the middle of the chain."


def stage(source: BitSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str) -> bytes:
    """Samples of every snapshot beside the data at the same t."""
    process, data = cached.diffusion(source, schedule), dataset(source)
    chosen, moments, frames, n = snapshots.reduced(versions, times, watched(source), math.prod(data.shape) / 8)
    samples = snapshots.stacked(chosen, frames, n)
    truth = snapshots.noised(cached.held_out(source)[:n], moments, process)
    panels = (panel("samples", label, "model", samples, "same noise"), panel("data", "data", "data", truth, "at the same t"))
    return pack(
        Stage(
            panels, moments, process.T, caption=snapshots.CAPTION + CAPTION, duration=4.0, name="dpm-train", start=0,
            versions=[version.label for version in chosen],
        )
    )  # fmt: skip


def watched(source: BitSource) -> int:
    """Samples of every snapshot."""
    return ROWS if is_sequence(source) else IMAGES


def panel(id: str, label: str, role: str, x: np.ndarray, note: str) -> Images:
    """States ``[..., n, L]`` as the rows of a raster, or ``[..., n, 1, H, W]`` as pictures."""
    pixels = x.astype(np.uint8)
    picture = x.ndim >= 5 and x.shape[-3] == 1
    return Images(id, label, role, pixels[..., 0, :, :] if picture else pixels[..., None, :, :], note, bits=True)


@st.cache_data(max_entries=32, show_spinner=False)
def reference_values(source: BitSource, schedule: ScheduleConfig) -> ReferenceValues:
    """L_null, and K of the exact kernel where the patterns can be listed; of pictures per pixel."""
    data, x0 = dataset(source), cached.held_out(source)
    prior = cached.diffusion(source, schedule).prior(tuple(x0.shape)).log_prob(x0).flatten(1).sum(1)
    baseline = float(prior.mean()) / NATS_PER_BIT
    if not data.listed:
        if is_sequence(source):
            return ReferenceValues("bits", 1.0, baseline, "sequences")
        return ReferenceValues("bits per pixel", data.dims, baseline / data.dims, "images")
    kernel, noise = cached.exact(source, schedule), torch.Generator().manual_seed(12)
    draws = max(100, min(20_000, PAIRS // len(data.patterns)))
    best = estimate_bound(kernel, kernel.diffusion, x0[torch.arange(draws) % len(x0)], noise)
    return ReferenceValues("bits", 1.0, baseline, "sequences", best.bound_bits, "best K with independent-bit steps")


def single_step_rows(seen: jobs.StepDetails, source: BitSource) -> str:
    """The target, the network's input and its output, a picture of each datum."""
    return picture_rows({"Target x⁽⁰⁾": seen.x0, "Input x⁽ᵗ⁾": seen.xt, "Output P(x⁽⁰⁾=1|x⁽ᵗ⁾)": seen.prediction}, _levels)


def _levels(x: torch.Tensor) -> np.ndarray:
    """Probabilities as grey levels uint8 ``[n, H, W]``; a row of bits becomes a band that is high enough to see."""
    levels = np.rint(255 * x.numpy()).astype(np.uint8)
    if levels.ndim == 2:
        return levels[:, None, :].repeat(max(1, levels.shape[1] // 5), 1)
    return levels[:, 0]
