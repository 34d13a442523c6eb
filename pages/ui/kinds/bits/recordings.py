"""Trajectories of bits, computed once: diffusing them, sampling them, and how many samples are patterns of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.figures.rasters import frame_numbers
from dpm_core.measure.bit_budget import information_nats
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import Step
from dpm_core.reverse import EmpiricalBits, ReverseModel
from dpm_core.samplers import Recording, ancestral, record, timesteps
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.components.player import Number, Stage, pack
from pages.ui.kinds.bits import cached, stages
from pages.ui.kinds.bits.cached import exact_is_fast
from pages.ui.kinds.bits.source import BitSource, dataset

FRAMES = 101
DRAWS, KEYFRAMES = 1000, 26  # data on which information is measured, and the number of times
PAIRS = 1 << 22  # of a draw and a pattern, at one time
CHECKED = 2000  # samples that are compared with the list of patterns


class Shown(NamedTuple):
    """The packed stage, times ``[F]`` and x ``[F, n, *shape]`` uint8, and the numbers per frame."""

    payload: bytes
    times: np.ndarray
    x: np.ndarray
    numbers: dict[str, list[float]]


@st.cache_data(max_entries=16, show_spinner=False)
def forward(source: BitSource, schedule: ScheduleConfig, n: int, seed: int, align: bool) -> Shown:
    """Bits diffused step by step beside the exact posterior of their start. Raises DataError, ScheduleError."""
    process, data = cached.diffusion(source, schedule), dataset(source)
    x0 = data.sample(n, torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        steps = recorded(process.forward_steps(x0, torch.Generator().manual_seed(seed + 1)), process.T + 1)
        times, x = steps.times.tolist(), steps.x.astype(np.uint8)
        offsets = stages.first_pulses(x[0]) if align and x.ndim == 3 else None
        information = None
        if exact_is_fast(source):
            kernel = cached.exact(source, schedule)
            beside = np.stack([x0.numpy(), *(_posterior(kernel, torch.from_numpy(s), t) for s, t in zip(steps.x[1:], times[1:]))])
            words = ("told", "posterior of x⁽⁰⁾", "exact", beside, "P(x⁽⁰⁾=1 | x⁽ᵗ⁾)")
            draws = max(64, min(DRAWS, PAIRS // len(data.patterns)))
            information = _information(kernel, data.sample(draws, torch.Generator().manual_seed(21)), times)
        else:
            jumps = [x0, *(process.q_sample(x0, t, torch.Generator().manual_seed(seed + 2)) for t in times[1:])]
            beside = np.stack([jump.numpy() for jump in jumps]).astype(np.uint8)
            words = ("told", "in one jump", "data", beside, "same start")
    flipped = (x != x[0]).reshape(len(x), -1).mean(1)
    panels = (stages.panel("steps", "x⁽ᵗ⁾, step by step", "data", x, "", offsets), stages.panel(*words, offsets))
    stage = stages.forward_stage(panels, times, process, flipped, information)
    numbers = {"t": times, "changed_since_start": flipped.tolist()} | ({"information_bits": information} if information else {})
    return Shown(pack(stage), steps.times, x, numbers)


def recorded(run: Iterable[Step], total: int) -> Recording:
    """At most FRAMES of a run's states."""
    return record(run, total, min(total, FRAMES))


def _posterior(kernel: EmpiricalBits | ReverseModel, x: Tensor, t: int) -> np.ndarray:
    """P(x⁽⁰⁾ = 1|x⁽ᵗ⁾) of every bit, float32."""
    return kernel.x0_posterior(x, t)[0].numpy()


def _information(kernel: EmpiricalBits, x0: Tensor, times: list[int]) -> list[float]:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) in bits per datum, with the same noise at every time that is looked at, linear in between."""
    kept = [times[i] for i in frame_numbers(len(times), KEYFRAMES)]
    left = [float(information_nats(kernel, x0, t, torch.Generator().manual_seed(22)).mean()) / NATS_PER_BIT for t in kept]
    return np.interp(times, kept, np.maximum(left, 0.0)).tolist()


@st.cache_data(max_entries=16, show_spinner=False)
def reverse(ref: ModelRef | None, source: BitSource, schedule: ScheduleConfig, steps: int, n: int, seed: int, align: bool) -> Shown:
    """Samples at every t: learned beside exact with the same noise, or beside the kernel's posterior of x⁽⁰⁾."""
    kernel = cache.model(ref).model if ref else cached.exact(source, schedule)
    both = ref is not None and exact_is_fast(source)
    with torch.inference_mode():
        left = recorded(_run(kernel, dataset(source).shape, steps, n, seed), len(timesteps(kernel.diffusion.T, steps)))
        times, x = left.times.tolist(), left.x.astype(np.uint8)
        if both:
            exact = cached.exact(source, schedule)
            beside = recorded(_run(exact, dataset(source).shape, steps, n, seed), len(times)).x.astype(np.uint8)
        else:
            beside = np.stack([*(_posterior(kernel, torch.from_numpy(s), t) for s, t in zip(left.x[:-1], times[:-1])), left.x[-1]])
    role = "model" if ref else "exact"
    offsets = [stages.first_pulses(side[-1]) if align and x.ndim == 3 else None for side in (x, beside if both else x)]
    right = ("exact kernel", "exact", "same noise") if both else ("posterior of x⁽⁰⁾", role, "P(x⁽⁰⁾=1 | x⁽ᵗ⁾)")
    panels = (
        stages.panel("left", "learned model" if ref else "exact kernel, bit by bit", role, x, "", offsets[0]),
        stages.panel("right", right[0], right[1], beside, right[2], offsets[1]),
    )
    flat = x.reshape(len(x), -1)
    changes = 100 * (flat[1:] != flat[:-1]).mean(1)
    numbers = {"to_flip": (100 * (flat != flat[-1]).mean(1)).tolist(), "flips": [*changes.tolist(), float(changes[-1])]}
    ends = _ends(ref, source, schedule, steps, flat[-1], seed)
    stage = stages.reverse_stage(panels, times, cached.binomial(kernel), numbers, ends)
    return Shown(pack(stage), left.times, x, {"t": times, **numbers})


@st.cache_data(max_entries=8, show_spinner=False)
def pair(ref: ModelRef | None, source: BitSource, schedule: ScheduleConfig, steps: int, n: int, seed: int, clock: str) -> bytes:
    """Data diffused to t beside samples at t; other elements of the page set t under the name ``clock``."""
    kernel = cache.model(ref).model if ref else cached.exact(source, schedule)
    data, process = dataset(source), kernel.diffusion
    with torch.inference_mode():
        back = recorded(_run(kernel, data.shape, steps, n, seed), len(timesteps(process.T, steps)))
        x0 = data.sample(n, torch.Generator().manual_seed(seed + 3))
        times = back.times.tolist()
        away = [x0 if t == 0 else process.q_sample(x0, t, torch.Generator().manual_seed(seed + 4)) for t in times]
    title, role = ("samples of the learned model", "model") if ref else ("exact, bit by bit", "exact")
    panels = (
        stages.panel("data", "data, diffused to t", "data", np.stack([x.numpy() for x in away]).astype(np.uint8)),
        stages.panel("back", title, role, back.x.astype(np.uint8)),
    )
    return pack(Stage(panels, times, process.T, height="hero", name="dpm-bound", clock=clock, start=0))


def _run(kernel: EmpiricalBits | ReverseModel, shape: tuple[int, ...], steps: int, n: int, seed: int) -> Iterator[Step]:
    process = kernel.diffusion
    x_T = process.start((n, *shape), torch.Generator().manual_seed(seed))
    return ancestral(kernel, process, x_T, steps=steps, generator=torch.Generator().manual_seed(seed + 1))


def _ends(ref: ModelRef | None, source: BitSource, schedule: ScheduleConfig, steps: int, last: np.ndarray, seed: int) -> list[Number]:
    """Numbers of the finished samples."""
    data = dataset(source)
    out = []
    if data.listed and len(data.patterns) < 2**data.dims:
        share, best = (check_samples(r, source, schedule, steps, seed) for r in (ref, None))
        note = f"of {share.n:,} samples in {steps} steps" + (f" · exact kernel: {100 * best.valid:.1f} %" if ref else "")
        out.append(Number("Samples that are patterns of the data", [100 * share.valid], 1, "%", note, False, "model" if ref else "exact"))
    active = 100 * float((data.weights * data.patterns.flatten(1).double().mean(1)).sum())
    out.append(Number("Fraction of ones at t = 0", [100 * float(last.mean())], 1, "%", f"in the data: {active:.1f} %", False, "data"))
    return out


class CheckedSamples(NamedTuple):
    """Of n samples: the fraction that are patterns of the data, and how often each pattern came ``[N]``."""

    valid: float
    counts: np.ndarray
    n: int


@st.cache_data(max_entries=64, show_spinner=False)
def check_samples(ref: ModelRef | None, source: BitSource, schedule: ScheduleConfig, steps: int, seed: int) -> CheckedSamples:
    """Samples of a model, or of the exact kernel, compared with the list of patterns."""
    kernel, data = cache.model(ref).model if ref else cached.exact(source, schedule), dataset(source)
    n = max(64, min(CHECKED, PAIRS // len(data.patterns)))
    *_, last = _run(kernel, data.shape, steps, n, seed + 5)
    places = {row.tobytes(): i for i, row in enumerate(data.patterns.flatten(1).numpy())}
    found = [places.get(row.tobytes(), -1) for row in last.x.flatten(1).to(torch.uint8).numpy()]
    hits = np.array([i for i in found if i >= 0], dtype=int)
    return CheckedSamples(len(hits) / n, np.bincount(hits, minlength=len(data.patterns)), n)
