"""Work with images done once: diffusing them, and sampling them from a checkpoint with progress."""

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
from pages.ui.kinds.images import image_stages
from pages.ui.kinds.images.image_controls import ImageSource
from pages.ui.kinds.points.recordings import SamplerConfig

PHOTO_SIDE = 192  # pixels of the longer side of a whole picture: two panels of 24 and more frames fit the player
STRIP_SIDE = 128  # pixels of an image in a strip, in height
WORKERS = min(4, os.cpu_count() or 1)
SMALLEST_SHARE = 4  # images for which it pays to wake a thread
KEPT = 24  # paths

Tick = Callable[[float], None]


class Forwarded(NamedTuple):
    """The player's payload, and what it shows: times ``[F]``, x and guesses ``[F, n, C, H, W]``."""

    payload: bytes
    spec: ImageSpec
    times: np.ndarray
    x: np.ndarray
    guess: np.ndarray


def start(source: ImageSource, n: int, seed: int) -> tuple[ImageSpec, Tensor]:
    """The images that dissolve, ``[n, C, H, W]``: draws of a set, or the one picture, whole."""
    generator = torch.Generator().manual_seed(seed)
    if source.pixels:
        spec, pixels = source.whole(PHOTO_SIDE)
        return spec, spec.standardise(torch.from_numpy(pixels)[None], generator)
    data = cache.images(source)
    return data.spec, data.sample(n, generator)


@st.cache_resource(max_entries=8, show_spinner=False)
def _scales(source: ImageSource) -> image_stages.Scales:
    return image_stages.scales_of(start(source, 1000, 31)[1])


@st.cache_resource(max_entries=8, show_spinner=False)
def forward(source: ImageSource, schedule: ScheduleConfig, n: int, seed: int) -> Forwarded:
    """Images dissolving step by step, and what the best linear filter still tells of them."""
    process = cache.diffusion(schedule)
    spec, x0 = start(source, n, seed)
    frames, few = image_stages.budget(process.T + 1, len(x0), spec.dims)
    with torch.inference_mode():
        chain = process.forward_steps(x0[:few], torch.Generator().manual_seed(seed + 1))
        steps = record(chain, process.T + 1, frames)
        times = steps.times.tolist()
        scales, bars, noises = _scales(source), process.schedule.alpha_bar(times).tolist(), process.schedule.noise(times).tolist()
        guesses = [image_stages.linear_guess(scales, torch.from_numpy(x), *at) for x, *at in zip(steps.x, bars, noises)]
    guess = torch.stack(guesses).numpy()
    note = f"{few} of {len(x0)} shown" if few < len(x0) else ""
    stage = image_stages.forward_stage(spec, times, steps.x, guess, process, note)
    return Forwarded(pack(stage), spec, steps.times, steps.x, guess)


@st.cache_data(max_entries=32, show_spinner=False)
def strip(source: ImageSource, schedule: ScheduleConfig, seed: int) -> tuple[bytes, list[int]]:
    """Two images, or the one picture, at eight times, each a fresh draw of q(x⁽ᵗ⁾): a PNG with a column for each time, and the times."""
    process = cache.diffusion(schedule)
    times = frame_numbers(process.T + 1, 8).tolist()
    spec, x0 = start(source, 2, seed)
    noise = torch.Generator().manual_seed(seed + 2)
    states = torch.stack([x0 if t == 0 else process.q_sample(x0, t, noise) for t in times], 1)  # [n, 8, C, H, W]
    return png(sheet(image_stages.seen(spec, states.flatten(0, 1)), len(times), STRIP_SIDE, gap=8)), times


class Watched(ReverseModel):
    """A model that remembers what it said last of x⁽⁰⁾ at each time, and works through a batch in shares.

    Shares go to threads of one core each: PyTorch's own threads wait for each other by spinning, which was
    thirty times slower as soon as another program wanted a core; these only took a third more.
    """

    def __init__(self, model: ReverseModel, pool: ThreadPoolExecutor):
        super().__init__(model.network, model.diffusion)
        self.precision, self.pool = model.precision, pool
        self.said: dict[int, tuple[Tensor, Tensor]] = {}

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        shares = xt.chunk(max(1, min(WORKERS, len(xt) // SMALLEST_SHARE)))
        moments = super().x0_posterior
        parts = list(self.pool.map(lambda share: _quietly(moments, share, t), shares)) if len(shares) > 1 else [moments(xt, t)]
        mean, variance = (torch.cat(part) for part in zip(*parts))
        self.said[int(t)] = mean, variance
        return mean, variance


def _quietly(moments: Callable[[Tensor, Time], tuple[Tensor, Tensor]], xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():  # a mode of the thread
        return moments(xt, t)


def _one_core() -> None:
    torch.set_num_threads(1)


class Path(NamedTuple):
    """A run down the chain: times ``[F]``, x and the network's guess of x⁽⁰⁾ ``[F, n, C, H, W]``, and the mean of √f_Σ ``[F]``."""

    times: np.ndarray
    x: np.ndarray
    x0: np.ndarray
    spread: list[float]


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[tuple, Path]:
    """Paths by what determines them. st.cache_data would replay the progress that is drawn while they are made."""
    return OrderedDict()


def path(ref: cache.ModelRef, how: SamplerConfig, tick: Tick, frames: int | None = None) -> Path:
    """One run of the sampler from a checkpoint; ``tick`` is told the share that is done. ``frames``: as many as fit the player."""
    kept, key = _kept(), (ref, how, frames)
    if key not in kept:
        loaded = cache.model(ref)
        total = len(timesteps(loaded.diffusion.T, how.steps))
        wanted = frame_numbers(total, frames or image_stages.budget(total, how.n, loaded.dataset.dims)[0])
        with ThreadPoolExecutor(WORKERS, initializer=_one_core) as pool:
            kept[key] = _run(Watched(loaded.model, pool), how, loaded.dataset.shape, set(wanted.tolist()), total, tick)
        while len(kept) > KEPT:
            kept.popitem(last=False)
    return kept[key]


def _run(model: Watched, how: SamplerConfig, shape: tuple[int, ...], wanted: set[int], total: int, tick: Tick) -> Path:
    diffusion = model.diffusion
    out: list[tuple[int, np.ndarray, np.ndarray, float]] = []
    for i, (t, x, s) in enumerate(_ahead(model, how, shape)):
        tick((i + 1) / total)
        if i in wanted:
            if t == 0:  # nothing is left to guess; the last step taken stays on show
                out.append((0, x.numpy(), x.numpy(), out[-1][3]))
                continue
            x0, variance = model.said.get(t) or model.x0_posterior(x, t)  # samplers may take the step t = 1 without it
            out.append((t, x.numpy(), x0.numpy(), _spread(diffusion, variance, t, s)))
        model.said.pop(t, None)
    times, xs, guesses, spread = zip(*out)
    return Path(np.array(times), np.stack(xs), np.stack(guesses), list(spread))


def _ahead(model: Watched, how: SamplerConfig, shape: tuple[int, ...]) -> Iterator[tuple[int, Tensor, int]]:
    """(t, x⁽ᵗ⁾, s) once the step from t to s is taken, when the model has said what it thinks of x⁽ᵗ⁾."""
    x_T = torch.randn(how.n, *shape, generator=torch.Generator().manual_seed(how.seed))
    options = {"eta": how.eta} if how.name == "ddim" else {}
    noise = torch.Generator().manual_seed(how.seed + 1)
    steps = SAMPLERS[how.name](model, model.diffusion, x_T, steps=how.steps, generator=noise, **options)
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
    """The player's payload, the path in it, and the numbers per frame."""

    payload: bytes
    path: Path
    numbers: dict[str, list[float]]


def reverse(ref: cache.ModelRef, how: SamplerConfig, tick: Tick) -> Reversed:
    """Images coming out of noise, beside what the network takes them to become."""
    loaded = cache.model(ref)
    run = path(ref, how, tick)
    few = image_stages.budget(len(run.times), how.n, loaded.dataset.dims)[1]
    x, x0 = run.x[:, :few], run.x0[:, :few]
    numbers = {
        "t": run.times.tolist(),
        "undecided": np.sqrt(np.square(x0 - x[-1]).mean((1, 2, 3, 4))).tolist(),
        "mean_deviation": run.spread,
    }
    note = f"{few} of {how.n} shown" if few < how.n else ""
    stage = image_stages.reverse_stage(loaded.dataset, run.times.tolist(), x, x0, numbers, loaded.diffusion, note)
    return Reversed(pack(stage), Path(run.times, x, x0, run.spread), numbers)
