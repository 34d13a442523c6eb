"""The Train page with images: the stage of a run, one step in detail, and what K is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
import torch

from dpm_core import checkpoints, jobs
from dpm_core.config import RunConfig, ScheduleConfig, from_dict
from dpm_core.data.images import ImageSpec
from dpm_core.figures.rasters import png
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import cache
from pages.ui.components.data_uri import data_uri
from pages.ui.components.player import Images, Stage, pack
from pages.ui.kinds import snapshots
from pages.ui.kinds.images.source import ImageSource, dataset
from pages.ui.kinds.records import ReferenceValues, Version

IMAGES = 16  # shown of a snapshot
HELD_OUT = 360
CAPTION = "Large shapes are learned first, at large t; strokes and fine detail are learned last, near t = 0."


@st.cache_resource(max_entries=16, show_spinner=False)
def held_out(source: ImageSource) -> torch.Tensor:
    """Images that no step trains on, by which K of a run is measured."""
    return dataset(source).sample_held_out(HELD_OUT, torch.Generator().manual_seed(11))


def held_out_groups(source: ImageSource) -> torch.Tensor:
    """The part of a picture that each of them comes from: cuts of one part are not independent."""
    return dataset(source).held_out_groups(HELD_OUT, torch.Generator().manual_seed(11))


def stage(source: ImageSource, schedule: ScheduleConfig, versions: Sequence[Version], times: list[int], label: str) -> bytes:
    """Samples of every snapshot beside the data at the same t."""
    process, spec = cache.diffusion(schedule), dataset(source).spec
    chosen, moments, frames, n = snapshots.reduced(versions, times, IMAGES, math.prod(spec.shape))
    samples = snapshots.stacked(chosen, frames, n)
    truth = snapshots.noised(held_out(source)[:n], moments, process)
    panels = (
        Images("samples", label, "model", levels(samples, spec), "same noise"),
        Images("data", "data", "data", levels(truth, spec), "at the same t"),
    )
    return pack(
        Stage(
            panels, moments, process.T, caption=snapshots.CAPTION + CAPTION, duration=4.0, name="dpm-train", start=0,
            versions=[version.label for version in chosen],
        )
    )  # fmt: skip


def levels(x: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Standardised images ``[..., C, H, W]`` as uint8 ``[..., H, W]``, or ``[..., H, W, 3]`` in colour."""
    lead = x.shape[:-3]
    pixels = spec.pixels(torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *spec.shape)).numpy()
    pixels = pixels[:, 0] if spec.shape[0] == 1 else np.moveaxis(pixels, 1, -1)
    return pixels.reshape(*lead, *pixels.shape[1:])


@st.cache_data(max_entries=32, show_spinner=False)
def reference_values(source: ImageSource, schedule: ScheduleConfig) -> ReferenceValues:
    """L_null on held-out images, and K of a shipped model of the same data: nothing exact is known of images."""
    x0, process = held_out(source), cache.diffusion(schedule)
    pixels = dataset(source).pixels_count
    baseline = float(process.prior(tuple(x0.shape)).log_prob(x0).flatten(1).sum(1).mean()) / NATS_PER_BIT / pixels
    known = []
    for name, path in checkpoints.list_checkpoints([checkpoints.SHIPPED]).items():
        try:
            header = checkpoints.read_header(path)
            if from_dict(RunConfig, header["config"]).data == source.config():
                known.append((float(header["bound_bits"]) / pixels, name))
        except (ValueError, KeyError, TypeError):
            continue  # the Checkpoints page says what is wrong with it
    best, name = max(known, default=(None, ""))
    return ReferenceValues("bits per pixel", pixels, baseline, "images", best, f"K of {name} (shipped)")


def single_step_rows(seen: jobs.StepDetails, source: ImageSource) -> str:
    """The target, the network's input and its output, an image of each datum."""
    spec = dataset(source).spec
    return picture_rows({"Target x⁽⁰⁾": seen.x0, "Input x⁽ᵗ⁾": seen.xt, "Output x̂⁽⁰⁾": seen.prediction}, lambda x: levels(x.numpy(), spec))


def picture_rows(rows: dict[str, torch.Tensor], levels: Callable[[torch.Tensor], np.ndarray]) -> str:
    """Rows of small pictures as HTML cells; ``levels`` makes uint8 pictures ``[n, H, W(, 3)]`` of a row."""
    cells = []
    for title, x in rows.items():
        cells.append(f"<span>{title}</span>")
        cells += [f'<img src="{data_uri(png(picture))}" alt="{title}">' for picture in levels(x)]
    return "".join(cells)
