"""The Reverse page's work: two paths with the same noise, their layers, and the numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT, Bound, evaluate_bound
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import SAMPLERS, Recording, record, timesteps
from pages.ui import cache
from pages.ui.components.player import pack
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.points import stages

SAMPLER_TITLES = {"ancestral": "Ancestral", "ddim": "DDIM", "probability_flow": "Probability flow"}


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample: sampler, number of steps (None: all T), η of DDIM, particles or images, seed."""

    name: str = "ancestral"
    steps: int | None = None
    eta: float = 0.0
    n: int = 3000
    seed: int = 7


@st.cache_data(max_entries=24, show_spinner=False)
def _path(ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig) -> Recording:
    """One run down the chain by a checkpoint, or by the data's exact kernel when ``ref`` is None."""
    kernel = _kernel(ref, source, schedule)
    x_T = torch.randn(how.n, 2, generator=torch.Generator().manual_seed(how.seed))
    steps = len(timesteps(kernel.diffusion.T, how.steps)) - 1
    frames = min(steps + 1, stages.MAX_FRAMES)
    options = {"eta": how.eta} if how.name == "ddim" else {}
    generator = torch.Generator().manual_seed(how.seed + 1)
    run = SAMPLERS[how.name](kernel, kernel.diffusion, x_T, steps=steps, generator=generator, **options)
    return record(run, steps + 1, frames, stages.shown(how.n, frames, 2))


def _kernel(ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig) -> ReverseKernel:
    return cache.model(ref).model if ref else cache.exact(source, schedule)


@st.cache_data(max_entries=24, show_spinner=False)
def _layers(ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> tuple:
    """Drift, mesh and contours of one panel: they do not depend on the particles."""
    kernel, truth = _kernel(ref, source, schedule), cache.exact(source, schedule)
    own = stages.drift(kernel, times, "drift", "drift", "model" if ref else "exact")
    beside = (stages.drift(truth, times, "exact_drift", "exact drift", "exact"),) if ref else ()
    with torch.inference_mode():
        return (own, *beside, cache.contours(source, schedule, times), stages.mesh(kernel, times))


@st.cache_data(max_entries=24, show_spinner=False)
def _losses(ref: cache.ModelRef, source: PlaneSource, schedule: ScheduleConfig) -> tuple[Bound, Bound]:
    """The bound of a checkpoint and of the exact kernel, on the same draws."""
    x0 = _held_out(source, schedule)
    learned, best = cache.model(ref).model, cache.exact(source, schedule)
    return tuple(evaluate_bound(k, best.diffusion, x0, torch.Generator().manual_seed(12)) for k in (learned, best))


@st.cache_data(max_entries=64, show_spinner=False)
def _floors(source: PlaneSource, n: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Sliced W₂ and energy distance between two fresh draws of n points: mean and standard deviation."""
    data = cache.dataset(source)

    def draw(i: int) -> torch.Tensor:
        return data.sample(n, torch.Generator().manual_seed(5000 + i))

    return stages.floor(draw, stages.sliced), stages.floor(draw, stages.energy)


class Reversed(NamedTuple):
    """The player's payload, the two paths in it, and the numbers per frame."""

    payload: bytes
    left: Recording
    right: Recording
    numbers: dict[str, list[float]]


@st.cache_data(max_entries=16, show_spinner=False)
def reverse(ref: cache.ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig) -> Reversed:
    """Learned beside exact from the same noise; without a network, exact Gaussian steps beside the truth."""
    left = _path(ref, source, schedule, how)
    times = tuple(int(t) for t in left.times)
    note = "" if left.x.shape[1] == how.n else f"{left.x.shape[1]:,} of {how.n:,} shown"
    layers = _layers(ref, source, schedule, times)
    if ref:
        right = _path(None, source, schedule, how)
        panels = (
            stages.Panel("learned", "learned", "model", left.x, note, layers),
            stages.Panel("exact", "exact", "exact", right.x, "same noise", _layers(None, source, schedule, times)),
        )
        third = _learning_loss(ref, source, schedule, times)
    else:
        right = truth(source, schedule, how, left)
        contours = tuple(layer for layer in layers if layer.id == "contours")
        panels = (
            stages.Panel("steps", "exact Gaussian steps", "exact", left.x, note, layers),
            stages.Panel("truth", "true q(x⁽ᵗ⁾)", "data", right.x, "", contours),
        )
        third = _best(source, schedule)
    data = cache.dataset(source).sample(max(stages.COMPARED.values()), torch.Generator().manual_seed(how.seed + 2))
    numbers = _numbers(_kernel(ref, source, schedule), left, data)
    end_beside = stages.sliced(torch.from_numpy(right.x[-1]), data)
    floors = _floors(source, min(len(data), how.n))
    stage = stages.reverse_stage(panels, times, cache.diffusion(schedule), numbers, end_beside, third, floors)
    return Reversed(pack(stage), left, right, {"t": list(times), **numbers})


def _numbers(kernel: ReverseKernel, path: Recording, data: torch.Tensor) -> dict[str, list[float]]:
    """Per frame: distances of the path to the data, and the kernel's mean deviation."""
    times = [int(t) for t in path.times]
    with torch.inference_mode():
        spread = [float(kernel.reverse(torch.from_numpy(x[:256]), t, s).stddev.mean()) for x, t, s in zip(path.x, times, times[1:])]
    return {
        "sliced_w2": stages.distances(path, data, stages.sliced),
        "energy_distance": stages.distances(path, data, stages.energy),
        "mean_deviation": [*spread, spread[-1]],
    }


def truth(source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig, left: Recording) -> Recording:
    """What exact steps should give: fresh data diffused to the same times, one noise per particle."""
    x0 = cache.dataset(source).sample(left.x.shape[1], torch.Generator().manual_seed(how.seed + 3))
    process = cache.diffusion(schedule)
    states = [x0 if t == 0 else process.q_sample(x0, t, torch.Generator().manual_seed(how.seed + 4)) for t in map(int, left.times)]
    return Recording(left.times, np.stack([x.numpy() for x in states]))


def _learning_loss(ref: cache.ModelRef, source: PlaneSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> stages.Number:
    learned, best = _losses(ref, source, schedule)
    total = float(learned.kl_nats.sum() - best.kl_nats.sum()) / NATS_PER_BIT
    loss = stages.learning_loss_bits(learned, best, times)
    return stages.Number("Learning loss at this t", loss, 3, "bits", f"all steps together: {total:.2f} bits", True)


@st.cache_data(max_entries=32, show_spinner=False)
def _best(source: PlaneSource, schedule: ScheduleConfig) -> stages.Number:
    """K of the exact moments beside the data's own entropy."""
    data, kernel = cache.dataset(source), cache.exact(source, schedule)
    x0 = _held_out(source, schedule)
    bound = evaluate_bound(kernel, kernel.diffusion, x0, torch.Generator().manual_seed(12))
    limit = f"{-data.entropy() / NATS_PER_BIT:.2f}".replace("-", "−")
    note = f"± {bound.standard_error_bits:.2f} · limit, the data's own −h(q): {limit} bits"
    return stages.Number("Best K of any Gaussian chain", [bound.bound_bits], 2, "bits", note, False, "exact")


def _held_out(source: PlaneSource, schedule: ScheduleConfig) -> torch.Tensor:
    """Fresh data for a bound: fewer points where there are more steps, so that it stays about a second's work."""
    n = max(200, min(2000, 80_000 // schedule.T))
    return cache.dataset(source).sample(n, torch.Generator().manual_seed(11))
