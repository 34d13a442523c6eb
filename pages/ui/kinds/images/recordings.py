"""Trajectories of images, computed once: diffusing them, and sampling them from a checkpoint with progress."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from dpm_core.figures.image_sheets import sheet
from dpm_core.figures.rasters import frame_numbers, png
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import SAMPLERS, record, timesteps
from dpm_core.schedules import Time
from pages.ui import cache
from pages.ui.components.player import pack
from pages.ui.controls.sampler import SamplerConfig
from pages.ui.kinds.images import stages
from pages.ui.kinds.images.source import ImageSource, dataset, spec_of_checkpoint

PHOTO_SIDE = 192  # pixels of the longer side of a whole picture: two panels of 24 and more frames fit the player
STRIP_SIDE = 128  # pixels of an image in a strip, in height
WORKERS = min(4, os.cpu_count() or 1)
SMALLEST_SHARE = 4  # images for which it pays to wake a thread
MAX_PATHS = 24  # that are remembered

ReportProgress = Callable[[float], None]


class Forwarded(NamedTuple):
    """The packed stage and what it shows: times ``[F]``, x and linear estimates of x⁽⁰⁾ ``[F, n, C, H, W]``."""

    payload: bytes
    spec: ImageSpec
    times: np.ndarray
    x: np.ndarray
    estimate: np.ndarray


def start(source: ImageSource, n: int, seed: int) -> tuple[ImageSpec, Tensor]:
    """The images to diffuse, ``[n, C, H, W]``: draws of a set, or the person's whole picture."""
    generator = torch.Generator().manual_seed(seed)
    if source.pixels:
        spec, pixels = source.whole(PHOTO_SIDE)
        return spec, spec.standardise(torch.from_numpy(pixels)[None], generator)
    data = dataset(source)
    return data.spec, data.sample(n, generator)


@st.cache_resource(max_entries=8, show_spinner=False)
def _scales(source: ImageSource) -> stages.Scales:
    return stages.scales_of(start(source, 1000, 31)[1])


@st.cache_resource(max_entries=8, show_spinner=False)
def forward(source: ImageSource, schedule: ScheduleConfig, n: int, seed: int) -> Forwarded:
    """Images diffused step by step, and the best linear estimate of their start at each time."""
    process = cache.diffusion(schedule)
    spec, x0 = start(source, n, seed)
    frames, few = stages.budget(process.T + 1, len(x0), spec.dims)
    with torch.inference_mode():
        chain = process.forward_steps(x0[:few], torch.Generator().manual_seed(seed + 1))
        steps = record(chain, process.T + 1, frames)
        times = steps.times.tolist()
        scales, bars, noises = _scales(source), process.schedule.alpha_bar(times).tolist(), process.schedule.noise(times).tolist()
        estimates = [stages.linear_estimate(scales, torch.from_numpy(x), *at) for x, *at in zip(steps.x, bars, noises)]
    estimate = torch.stack(estimates).numpy()
    note = f"{few} of {len(x0)} shown" if few < len(x0) else ""
    stage = stages.forward_stage(spec, times, steps.x, estimate, process, note)
    return Forwarded(pack(stage), spec, steps.times, steps.x, estimate)


@st.cache_data(max_entries=32, show_spinner=False)
def strip(source: ImageSource, schedule: ScheduleConfig, seed: int) -> tuple[bytes, list[int]]:
    """Two images, or the one picture, at eight times, each a fresh draw of q(x⁽ᵗ⁾): a PNG with a column for each time, and the times."""
    process = cache.diffusion(schedule)
    times = frame_numbers(process.T + 1, 8).tolist()
    spec, x0 = start(source, 2, seed)
    noise = torch.Generator().manual_seed(seed + 2)
    states = torch.stack([x0 if t == 0 else process.q_sample(x0, t, noise) for t in times], 1)  # [n, 8, C, H, W]
    return png(sheet(stages.grey_levels(spec, states.flatten(0, 1)), len(times), STRIP_SIDE, gap=8)), times


class RecordingModel(ReverseModel):
    """A model that records its last estimate of x⁽⁰⁾ at each time, and divides a batch among threads.

    Each thread uses one core. PyTorch's own threads wait for each other by spinning, which was thirty times slower as soon as
    another program needed a core; these took only a third more.
    """

    diffusion: GaussianDiffusion

    def __init__(self, model: ReverseModel, pool: ThreadPoolExecutor):
        super().__init__(model.network, model.diffusion, classes=model.classes)
        self.share, self.label, self.guidance = model.share, model.label, model.guidance
        self.precision, self.samples_first_step, self.pool = model.precision, model.samples_first_step, pool
        self.recorded: dict[int, tuple[Tensor, Tensor]] = {}

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        shares = xt.chunk(max(1, min(WORKERS, len(xt) // SMALLEST_SHARE)))
        moments = super().x0_posterior
        parts = list(self.pool.map(lambda share: _without_gradients(moments, share, t), shares)) if len(shares) > 1 else [moments(xt, t)]
        mean, variance = (torch.cat(part) for part in zip(*parts))
        self.recorded[int(t)] = mean, variance
        return mean, variance


def _without_gradients(moments: Callable[[Tensor, Time], tuple[Tensor, Tensor]], xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():  # a mode of the thread
        return moments(xt, t)


def one_core() -> None:
    """Let a thread of the pool use one core."""
    torch.set_num_threads(1)


class Path(NamedTuple):
    """One run of the sampler: times ``[F]``, x and the network's x̂⁽⁰⁾ ``[F, n, C, H, W]``, and the mean of √f_Σ ``[F]``."""

    times: np.ndarray
    x: np.ndarray
    x0: np.ndarray
    spread: list[float]


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[tuple, Path]:
    """Paths by what determines them. st.cache_data would replay the progress that is drawn while they are made."""
    return OrderedDict()


def path(ref: cache.ModelRef, how: SamplerConfig, report: ReportProgress, frames: int | None = None) -> Path:
    """One run of the sampler from a checkpoint; ``report`` is called with the share that is done. ``frames``: as many as fit the player."""
    kept, key = _kept(), (ref, how, frames)
    if key not in kept:
        loaded = cache.model(ref)
        spec = spec_of_checkpoint(loaded)
        total = len(timesteps(loaded.diffusion.T, how.steps))
        wanted = frame_numbers(total, frames or stages.budget(total, how.n, spec.dims)[0])
        with ThreadPoolExecutor(WORKERS, initializer=one_core) as pool:
            kept[key] = _run(RecordingModel(loaded.model, pool), how, spec.shape, set(wanted.tolist()), total, report)
        while len(kept) > MAX_PATHS:
            kept.popitem(last=False)
    return kept[key]


def _run(model: RecordingModel, how: SamplerConfig, shape: tuple[int, ...], wanted: set[int], total: int, report: ReportProgress) -> Path:
    diffusion = model.diffusion
    out: list[tuple[int, np.ndarray, np.ndarray, float]] = []
    for i, (t, x, s) in enumerate(_with_next_time(model, how, shape)):
        report((i + 1) / total)
        if i in wanted:
            if t == 0:  # there is no step left; the numbers of the last one stay
                out.append((0, x.numpy(), x.numpy(), out[-1][3]))
                continue
            x0, variance = model.recorded.get(t) or model.x0_posterior(x, t)  # samplers may take the step t = 1 without the network
            out.append((t, x.numpy(), x0.numpy(), _spread(diffusion, variance, t, s)))
        model.recorded.pop(t, None)
    times, xs, estimates, spread = zip(*out)
    return Path(np.array(times), np.stack(xs), np.stack(estimates), list(spread))


def _with_next_time(model: RecordingModel, how: SamplerConfig, shape: tuple[int, ...]) -> Iterator[tuple[int, Tensor, int]]:
    """(t, x⁽ᵗ⁾, s) after the step from t to s, when the model has evaluated x⁽ᵗ⁾."""
    x_T = torch.randn(how.n, *shape, generator=torch.Generator().manual_seed(how.seed))
    noise = torch.Generator().manual_seed(how.seed + 1)
    steps = SAMPLERS[how.name](model, model.diffusion, x_T, steps=how.steps, generator=noise, **how.options)
    t, x = next(steps)
    for s, following in steps:
        yield t, x, s
        t, x = s, following
    yield t, x, t


def _spread(diffusion: GaussianDiffusion, variance: Tensor, t: int, s: int) -> float:
    """The mean of √f_Σ over all pixels of a step from t to s; at t = 1 it is fixed (App. B.2)."""
    if t == 1:
        return float(diffusion.schedule.beta(1)) ** 0.5
    c0, _, own = diffusion.posterior_coefficients(t, s)
    return float((own + c0.square() * variance).sqrt().mean())


class Reversed(NamedTuple):
    """The packed stage, the path in it, and the numbers per frame."""

    payload: bytes
    path: Path
    numbers: dict[str, list[float]]


def reverse(ref: cache.ModelRef, how: SamplerConfig, report: ReportProgress) -> Reversed:
    """Samples at every t, beside the network's estimate of x⁽⁰⁾."""
    loaded = cache.model(ref)
    spec = spec_of_checkpoint(loaded)
    run = path(ref, how, report)
    few = stages.budget(len(run.times), how.n, spec.dims)[1]
    x, x0 = run.x[:, :few], run.x0[:, :few]
    numbers = {
        "t": run.times.tolist(),
        "rms_to_final": np.sqrt(np.square(x0 - x[-1]).mean((1, 2, 3, 4))).tolist(),
        "mean_deviation": run.spread,
    }
    note = f"{few} of {how.n} shown" if few < how.n else ""
    stage = stages.reverse_stage(spec, run.times.tolist(), x, x0, numbers, cache.gaussian(loaded.model), note)
    return Reversed(pack(stage), Path(run.times, x, x0, run.spread), numbers)
