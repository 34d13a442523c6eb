"""The Reverse page with points: two trajectories with the same noise, their layers, and the numbers beside them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.measure.bound import NATS_PER_BIT, Bound, evaluate_bound
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import SAMPLERS, Recording, record, timesteps
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components.export_row import export_row
from pages.ui.components.player import pack, player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.sampler import SamplerConfig, choose_sampler, eta, steps_slider
from pages.ui.kinds.points import cached, selected_point, stages
from pages.ui.kinds.points.source import PointSource, dataset
from pages.ui.kinds.records import Model, Snippet


def controls(T: int) -> SamplerConfig:
    """How to sample, from controls."""
    sampler = choose_sampler()
    return SamplerConfig(sampler, steps_slider(T), eta(sampler), widgets.particles(), widgets.seed())


def show(model: Model, how: SamplerConfig, made: Snippet) -> None:
    """The player, the kernel at the selected particle, and what can be downloaded. Raises DataError, ScheduleError."""
    with working("Sampling …"):
        payload, left, right, numbers = reverse(model.ref, model.source, model.schedule, how)

    @st.fragment
    def stage() -> None:
        result = player(payload, "reverse", lambda: None)
        selected_point.show(model, payload, left, result.pick)

    stage()
    roles = (MODEL, EXACT) if model.ref else (EXACT, DATA)
    export_row(
        "dpm-reverse",
        python(model, how, made),
        {"t": left.times, "left": left.x, "right": right.x},
        numbers,
        partial(cached.trajectory_gif, list(zip((left, right), roles)), session.is_dark()),
    )


@st.cache_data(max_entries=24, show_spinner=False)
def _path(ref: ModelRef | None, source: PointSource, schedule: ScheduleConfig, how: SamplerConfig) -> Recording:
    """One run of the sampler with a checkpoint, or with the exact kernel when ``ref`` is None."""
    kernel = _kernel(ref, source, schedule)
    x_T = torch.randn(how.n, 2, generator=torch.Generator().manual_seed(how.seed))
    steps = len(timesteps(kernel.diffusion.T, how.steps)) - 1
    frames = min(steps + 1, stages.MAX_FRAMES)
    generator = torch.Generator().manual_seed(how.seed + 1)
    run = SAMPLERS[how.name](kernel, kernel.diffusion, x_T, steps=steps, generator=generator, **how.options)
    return record(run, steps + 1, frames, stages.shown(how.n, frames, 2))


def _kernel(ref: ModelRef | None, source: PointSource, schedule: ScheduleConfig) -> ReverseKernel:
    return cache.model(ref).model if ref else cached.exact(source, schedule)


@st.cache_data(max_entries=24, show_spinner=False)
def _layers(ref: ModelRef | None, source: PointSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> tuple:
    """Drift, mesh and contours of one panel, which do not depend on the particles."""
    kernel, truth = _kernel(ref, source, schedule), cached.exact(source, schedule)
    own = stages.drift(kernel, times, "drift", "drift", "model" if ref else "exact")
    beside = (stages.drift(truth, times, "exact_drift", "exact drift", "exact"),) if ref else ()
    with torch.inference_mode():
        return (own, *beside, cached.contours(source, schedule, times), stages.mesh(kernel, times))


@st.cache_data(max_entries=24, show_spinner=False)
def _bounds(ref: ModelRef, source: PointSource, schedule: ScheduleConfig) -> tuple[Bound, Bound]:
    """The bounds of a checkpoint and of the exact kernel, on the same draws."""
    x0 = cached.fresh_points(source, schedule.T)
    learned, best = cache.model(ref).model, cached.exact(source, schedule)

    def bound(kernel: ReverseKernel) -> Bound:
        return evaluate_bound(kernel, best.diffusion, x0, torch.Generator().manual_seed(12))

    return bound(learned), bound(best)


@st.cache_data(max_entries=64, show_spinner=False)
def _floors(source: PointSource, n: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Sliced W₂ and energy distance between two fresh draws of n points: mean and standard deviation."""
    data = dataset(source)

    def draw(i: int) -> torch.Tensor:
        return data.sample(n, torch.Generator().manual_seed(5000 + i))

    return stages.floor(draw, stages.sliced), stages.floor(draw, stages.energy)


class Reversed(NamedTuple):
    """The packed stage, the two trajectories in it, and the numbers per frame."""

    payload: bytes
    left: Recording
    right: Recording
    numbers: dict[str, list[float]]


@st.cache_data(max_entries=16, show_spinner=False)
def reverse(ref: ModelRef | None, source: PointSource, schedule: ScheduleConfig, how: SamplerConfig) -> Reversed:
    """Learned beside exact from the same noise; without a network, exact Gaussian steps beside the true marginals."""
    left = _path(ref, source, schedule, how)
    times = tuple(int(t) for t in left.times)
    note = "" if left.x.shape[1] == how.n else f"{left.x.shape[1]:,} of {how.n:,} shown"
    layers = _layers(ref, source, schedule, times)
    if ref:
        right = _path(None, source, schedule, how)
        panels = (
            stages.Panel("learned", "learned model", "model", left.x, note, layers),
            stages.Panel("exact", "exact kernel", "exact", right.x, "same noise", _layers(None, source, schedule, times)),
        )
        third = _learning_gap(ref, source, schedule, times)
    else:
        right = forward_marginals(source, schedule, how, left)
        contours = tuple(layer for layer in layers if layer.id == "contours")
        panels = (
            stages.Panel("steps", "exact Gaussian steps", "exact", left.x, note, layers),
            stages.Panel("truth", "true marginal q(x⁽ᵗ⁾)", "data", right.x, "", contours),
        )
        third = _best_bound(source, schedule)
    data = dataset(source).sample(max(stages.COMPARED.values()), torch.Generator().manual_seed(how.seed + 2))
    numbers = _numbers(_kernel(ref, source, schedule), left, data)
    end_beside = stages.sliced(torch.from_numpy(right.x[-1]), data)
    floors = _floors(source, min(len(data), how.n))
    stage = stages.reverse_stage(panels, times, cache.diffusion(schedule), numbers, end_beside, third, floors)
    return Reversed(pack(stage), left, right, {"t": list(times), **numbers})


def _numbers(kernel: ReverseKernel, path: Recording, data: torch.Tensor) -> dict[str, list[float]]:
    """Per frame: distances of the particles to the data, and the mean standard deviation of the kernel."""
    times = [int(t) for t in path.times]
    with torch.inference_mode():
        spread = [float(kernel.reverse(torch.from_numpy(x[:256]), t, s).stddev.mean()) for x, t, s in zip(path.x, times, times[1:])]
    return {
        "sliced_w2": stages.distances(path, data, stages.sliced),
        "energy_distance": stages.distances(path, data, stages.energy),
        "mean_deviation": [*spread, spread[-1]],
    }


def forward_marginals(source: PointSource, schedule: ScheduleConfig, how: SamplerConfig, left: Recording) -> Recording:
    """Fresh data diffused to the times of ``left``, one noise per particle: what exact reverse steps should reproduce."""
    x0 = dataset(source).sample(left.x.shape[1], torch.Generator().manual_seed(how.seed + 3))
    process = cache.diffusion(schedule)
    states = [x0 if t == 0 else process.q_sample(x0, t, torch.Generator().manual_seed(how.seed + 4)) for t in map(int, left.times)]
    return Recording(left.times, np.stack([x.numpy() for x in states]))


def _learning_gap(ref: ModelRef, source: PointSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> stages.Number:
    learned, best = _bounds(ref, source, schedule)
    total = float(learned.kl_nats.sum() - best.kl_nats.sum()) / NATS_PER_BIT
    gap = stages.learning_gap_bits(learned, best, times)
    return stages.Number("Learning gap of this step", gap, 3, "bits", f"sum over all steps: {total:.2f} bits", True)


@st.cache_data(max_entries=32, show_spinner=False)
def _best_bound(source: PointSource, schedule: ScheduleConfig) -> stages.Number:
    """K of the exact moments beside the negative entropy of the data."""
    data, kernel = dataset(source), cached.exact(source, schedule)
    bound = evaluate_bound(kernel, kernel.diffusion, cached.fresh_points(source, schedule.T), torch.Generator().manual_seed(12))
    limit = f"{-data.entropy() / NATS_PER_BIT:.2f}".replace("-", "−")
    note = f"± {bound.standard_error_bits:.2f} · upper limit −h = {limit} bits"
    return stages.Number("Best K with Gaussian steps", [bound.bound_bits], 2, "bits", note, False, "exact")


def python(model: Model, how: SamplerConfig, made: Snippet) -> str:
    """The Python that makes the page's particles."""
    eta = f", eta={how.eta}" if how.options else ""
    if model.ref:
        made = Snippet(
            "from dpm_core.checkpoints import load",
            f"loaded = load({model.ref.name!r})\ndiffusion, data, learned = loaded.diffusion, loaded.dataset, loaded.model",
        )
    kernels = "(learned, data.exact_reverse(diffusion))" if model.ref else "(data.exact_reverse(diffusion),)"
    return f"""import torch
{made.imports}
from dpm_core.samplers import {how.name}

{made.statements}
x_T = torch.randn({how.n}, 2, generator=torch.Generator().manual_seed({how.seed}))
for kernel in {kernels}:
    noise = torch.Generator().manual_seed({how.seed + 1})
    *_, (t, x) = {how.name}(kernel, diffusion, x_T, steps={how.steps}{eta}, generator=noise)
    print(type(kernel).__name__, x.mean(0), x.var(0))
"""
