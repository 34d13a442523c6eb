"""Work done once: everything slow on a page, keyed by the frozen configs that determine it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
import torch

from dpm_core import checkpoint, figures
from dpm_core.bound import evaluate_bound
from dpm_core.config import ScheduleConfig
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.metrics import energy_distance
from dpm_core.reverse import EmpiricalReverse, ReverseKernel
from dpm_core.samplers import SAMPLERS, timesteps
from dpm_core.schedules import make_schedule
from dpm_core.trajectory import Recording, record
from pages.shared import stages
from pages.shared.controls import PlaneSource
from pages.shared.player import pack


@dataclass(frozen=True)
class ModelRef:
    """A checkpoint by path and time of writing, so that a file rewritten is read again."""

    path: str
    modified: float

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """The reference to the file as it is now."""
        return cls(str(path), path.stat().st_mtime)


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample: sampler, number of steps (None: all T), η of DDIM, particles, seed."""

    name: str = "ancestral"
    steps: int | None = None
    eta: float = 0.0
    n: int = 3000
    seed: int = 7


@st.cache_resource(max_entries=32, show_spinner=False)
def dataset(source: PlaneSource) -> PlaneDataset:
    """The data set of a source."""
    return source.dataset()


@st.cache_resource(max_entries=64, show_spinner=False)
def diffusion(config: ScheduleConfig) -> GaussianDiffusion:
    """The diffusion of a schedule."""
    return GaussianDiffusion(make_schedule(config.name, config.T, **dict(config.params)))


@st.cache_resource(max_entries=16, show_spinner=False)
def model(ref: ModelRef) -> checkpoint.Checkpoint:
    """A loaded checkpoint. Raises CheckpointError."""
    return checkpoint.load(ref.path)


@st.cache_data(max_entries=16, show_spinner="Diffusing …")
def forward(source: PlaneSource, schedule: ScheduleConfig, n: int, seed: int) -> tuple[bytes, Recording]:
    """The Forward page's payload, and the particles that it shows."""
    process, data = diffusion(schedule), dataset(source)
    x0 = data.sample(n, torch.Generator().manual_seed(seed))
    frames = min(process.T + 1, stages.MAX_FRAMES)
    few = stages.shown(n, frames, 2)
    with torch.inference_mode():
        chain = process.forward_steps(x0, torch.Generator().manual_seed(seed + 1))
        steps = record(chain, process.T + 1, frames, few)
        # one noise per particle: each frame is a fresh closed-form jump, the motion between frames is smooth
        noise = torch.randn(few, 2, generator=torch.Generator().manual_seed(seed + 2))
        q = ((int(t), process.q_marginal(x0[:few], int(t))) for t in steps.times if t > 0)
        jumps = Recording(steps.times, np.stack([x0[:few].numpy(), *[(k.mean + k.stddev * noise).numpy() for _, k in q]]))
        exact = data.exact_reverse(process)
        information = stages.information_left_bits(exact, x0[:1000], steps.times, seed + 3)
        compared = min(few, stages.COMPARED)
        gap = [stages.coarse_sliced(torch.from_numpy(a[:compared]), torch.from_numpy(b[-compared:])) for a, b in zip(steps.x, jumps.x)]
        note = "" if few == n else f"{few:,} of {n:,} shown"
        stage = stages.forward_stage(steps, jumps, exact, information, gap, "data", seed, note)
    return pack(stage), steps


@st.cache_data(max_entries=24, show_spinner=False)
def _path(ref: ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig) -> Recording:
    """One run down the chain by a checkpoint, or by the data's exact kernel when ``ref`` is None."""
    kernel = _kernel(ref, source, schedule)
    x_T = torch.randn(how.n, 2, generator=torch.Generator().manual_seed(how.seed))
    steps = len(timesteps(kernel.diffusion.T, how.steps)) - 1
    frames = min(steps + 1, stages.MAX_FRAMES)
    options = {"eta": how.eta} if how.name == "ddim" else {}
    generator = torch.Generator().manual_seed(how.seed + 1)
    run = SAMPLERS[how.name](kernel, kernel.diffusion, x_T, steps=steps, generator=generator, **options)
    return record(run, steps + 1, frames, stages.shown(how.n, frames, 2))


def _kernel(ref: ModelRef | None, source: PlaneSource, schedule: ScheduleConfig) -> ReverseKernel:
    return model(ref).model if ref else exact(source, schedule)


@st.cache_resource(max_entries=32, show_spinner=False)
def exact(source: PlaneSource, schedule: ScheduleConfig) -> EmpiricalReverse:
    """The exact reverse kernel of a source under a schedule."""
    return dataset(source).exact_reverse(diffusion(schedule))


@st.cache_data(max_entries=24, show_spinner=False)
def _layers(ref: ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, times: tuple[int, ...]) -> tuple:
    """Drift, mesh and contours of one panel: they do not depend on the particles."""
    kernel, truth = _kernel(ref, source, schedule), exact(source, schedule)
    own = stages.drift(kernel, times, "drift", "drift", "model" if ref else "exact")
    beside = (stages.drift(truth, times, "exact", "exact drift", "exact"),) if ref else ()
    with torch.inference_mode():
        return (own, *beside, stages.contours(truth, times), stages.mesh(kernel, times))


@st.cache_data(max_entries=24, show_spinner=False)
def _losses(ref: ModelRef, source: PlaneSource, schedule: ScheduleConfig):
    """The bound of a checkpoint and of the exact kernel, on the same draws."""
    x0 = dataset(source).sample(2000, torch.Generator().manual_seed(11))
    kernels = (model(ref).model, exact(source, schedule))
    return tuple(evaluate_bound(k, k.diffusion, x0, torch.Generator().manual_seed(12)) for k in kernels)


@st.cache_data(max_entries=64, show_spinner=False)
def _floors(source: PlaneSource, n: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Sliced W₂ and energy distance between two fresh draws of n points: mean and standard deviation."""
    data = dataset(source)

    def draw(i: int) -> torch.Tensor:
        return data.sample(n, torch.Generator().manual_seed(5000 + i))

    return stages.floor(draw, stages.coarse_sliced), stages.floor(draw, energy_distance)


@st.cache_data(max_entries=16, show_spinner="Sampling …")
def reverse(ref: ModelRef | None, source: PlaneSource, schedule: ScheduleConfig, how: SamplerConfig) -> tuple[bytes, Recording, Recording, dict[str, list[float]]]:
    """The Reverse page's payload and the two paths it shows: learned beside exact, or exact beside the truth."""
    truth = exact(source, schedule)
    process = truth.diffusion
    left = _path(ref, source, schedule, how)
    times = tuple(int(t) for t in left.times)
    data = dataset(source).sample(stages.COMPARED, torch.Generator().manual_seed(how.seed + 2))
    if ref:
        right = _path(None, source, schedule, how)
        role, label = "model", "learned"
        panel = stages.Panel("exact", "exact", "exact", right.x, "same noise", _layers(None, source, schedule, times))
        learned, best = _losses(ref, source, schedule)
        loss = stages.learning_loss_bits(learned, best, times)
        third = stages.Number("Learning loss at this t", loss, 3, "bits", f"all steps: {float(learned.kl_nats.sum() - best.kl_nats.sum()) / stages.NATS_PER_BIT:.2f} bits", True)
    else:
        # beside the Gaussian steps stands what they should give: the data, diffused to the same times
        x0 = dataset(source).sample(left.x.shape[1], torch.Generator().manual_seed(how.seed + 3))
        draws = [process.q_sample(x0, t, torch.Generator().manual_seed(how.seed + 4)).numpy() if t else x0.numpy() for t in times]
        right = Recording(left.times, np.stack(draws))
        role, label = "exact", "exact Gaussian steps"
        panel = stages.Panel("truth", "true q(x⁽ᵗ⁾)", "data", right.x, "", (stages.contours(truth, times),))
        bound = _best(source, schedule)
        third = stages.Number("Best K of any Gaussian chain", [bound[0]], 2, "bits", f"the data's own −h(q): {-bound[1]:.2f} bits", False, "exact")
    w2, energy = (stages.distances(left, data, d) for d in (stages.coarse_sliced, energy_distance))
    other = stages.coarse_sliced(torch.from_numpy(right.x[-1][: stages.COMPARED]), data[: len(right.x[-1])])
    (w2_floor, w2_spread), (e_floor, e_spread) = _floors(source, min(stages.COMPARED, how.n))
    beside = f"exact {other:.3f} · " if ref else ""
    readouts = (
        stages.Number("Distance to the data (sliced W₂)", w2, 3, "", f"{beside}floor {w2_floor:.3f} ± {w2_spread:.3f}", True, role),
        stages.Number("Energy distance to the data", energy, 3, "", f"floor {e_floor:.3f} ± {e_spread:.3f}", False, role),
        third,
    )
    with torch.inference_mode():
        kernel = _kernel(ref, source, schedule)
        spread = [float(kernel.reverse(torch.from_numpy(x[:256]), t, s).stddev.mean()) for x, t, s in zip(left.x, times, times[1:])] + [0.0]
    caption = (
        "Look for the moment the arms separate: it comes when √ᾱ<sub>t</sub> times the gap between them passes the noise √(1−ᾱ<sub>t</sub>). "
        "Before it the [drift](drift) points to the middle, after it to the nearest arm; the [contours](contours) are where the data would be at this t. "
        "Click a particle to see where it may have come from"
        + ("; the [exact drift](exact) shows what the network should have said." if ref else "; with few steps the true answer is far from Gaussian, and the cloud misses the contours.")
    )
    note = f"{left.x.shape[1]:,} of {how.n:,} shown" if left.x.shape[1] < how.n else ""
    noise = process.schedule.noise(torch.tensor(times)).numpy()
    start = times[int(np.abs(noise - 0.13).argmin())]
    stage = stages.reverse_stage(
        stages.Panel("learned", label, role, left.x, note, _layers(ref, source, schedule, times)),
        panel, left, process, readouts, spread, start, caption,
    )  # fmt: skip
    numbers = {"t": list(times), "sliced_w2": w2, "energy_distance": energy, "mean_deviation": spread}
    return pack(stage), left, right, numbers


@st.cache_data(max_entries=32, show_spinner=False)
def _best(source: PlaneSource, schedule: ScheduleConfig) -> tuple[float, float]:
    """K of the exact moments, and the data's entropy, both in bits."""
    x0 = dataset(source).sample(2000, torch.Generator().manual_seed(11))
    kernel = exact(source, schedule)
    bound = evaluate_bound(kernel, kernel.diffusion, x0, torch.Generator().manual_seed(12))
    return bound.bound_bits, dataset(source).entropy() / stages.NATS_PER_BIT


@st.cache_data(max_entries=16, show_spinner=False)
def hero(ref: ModelRef, n: int = 4000) -> bytes:
    """The first page's picture: a checkpoint's particles on their way from noise to data and back."""
    loaded = model(ref)
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(4))
    T = loaded.diffusion.T
    path = record(SAMPLERS["probability_flow"](loaded.model, loaded.diffusion, x_T, steps=T), T + 1)
    times = [int(t) for t in path.times]
    panel = stages.Panel("roll", "learned", "model", path.x, "swiss roll, probability flow")
    stage = stages.Stage(
        (panel,), times, T, stages.LO, stages.HI, duration=6.0, autoplay=True, loop=True, direction="pingpong", colour="position",
        height="hero", name="dpm-roll", start=T,
    )  # fmt: skip
    return pack(stage)


@st.cache_data(max_entries=64, show_spinner=False)
def strip(source: PlaneSource, schedule: ScheduleConfig, seed: int, colour: str, size: int = 150) -> tuple[bytes, list[int]]:
    """The data at eight times under a schedule, as one transparent PNG, and those times."""
    process = diffusion(schedule)
    times = [round(i * process.T / 7) for i in range(8)]
    x0 = dataset(source).sample(2500, torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed + 1)
    states = [x0 if t == 0 else process.q_sample(x0, t, noise) for t in times]
    return figures.png(figures.strip_image([x.numpy() for x in states], size, colour)), times


def trajectory_gif(panels: list[tuple[Recording, figures.Role]], dark: bool) -> bytes:
    """The particles of a stage as a looping GIF, at most 61 frames of 4,000 particles."""
    picked = panels[0][0].x.shape[0]
    keep = np.unique(np.linspace(0, picked - 1, min(picked, 61)).round().astype(int))
    return figures.gif([(recording.x[keep, :4000], role) for recording, role in panels], dark)


