"""Player stages of points: particles, the layers over them and the numbers beside them. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dpm_core.figures.rasters import PLANE, contour_lines, frame_numbers, grid
from dpm_core.measure.bound import NATS_PER_BIT, Bound
from dpm_core.measure.distances import energy_distance, sliced_wasserstein
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, ReverseKernel
from dpm_core.samplers import Recording, probability_flow, record
from pages.ui.components.player import Arrows, Formula, Lines, Mesh, Number, Panel, Stage

PAYLOAD_FLOATS = 1_000_000  # pairs of coordinates at most: 4 MB of the player's 5, the rest is for layers
MAX_FRAMES = 101
KEYFRAMES = 41  # of layers: they change slowly
COMPARED = {"sliced": 1500, "energy": 500}  # particles in a distance, per frame

LO, HI = -PLANE, PLANE
Floor = tuple[float, float]


def shown(n: int, frames: int, panels: int) -> int:
    """How many of n particles fit the player's budget."""
    return min(n, PAYLOAD_FLOATS // (frames * panels))


def contours(exact: EmpiricalReverse, times: Sequence[int]) -> Lines:
    """Contours of the exact q(x⁽ᵗ⁾) around 25, 60 and 90 % of its mass, at up to KEYFRAMES of the times."""
    frames = []
    for i in frame_numbers(len(times), KEYFRAMES):
        t = int(times[i])
        noise = float(exact.diffusion.schedule.noise(t))
        width = (noise + (1 - noise) * exact.noise**2) ** 0.5  # of one blurred point: it needs two cells
        axis = torch.linspace(-PLANE, PLANE, int(np.clip(4 * PLANE / width, 48, 200)))
        frames.append(contour_lines(exact.marginal_on_grid(axis, t).numpy()))
    return Lines("contours", "contours", "data", frames)


def drift(kernel: ReverseKernel, times: Sequence[int], id: str, label: str, role: str, size: int = 19) -> Arrows:
    """Arrows f_μ(x,t) − x on a grid; in each frame scaled so that most stay inside their cell."""
    start = grid(size, 0.94 * PLANE)
    cell = 2 * 0.94 * PLANE / (size - 1)
    x = torch.from_numpy(start)
    steps = list(pairwise(times))
    ends = []
    for t, s in (steps[i] for i in frame_numbers(len(steps), KEYFRAMES)):
        with torch.inference_mode():
            step = kernel.reverse(x, int(t), int(s)).mean.numpy() - start
        length = np.quantile(np.linalg.norm(step, axis=1), 0.9)
        ends.append(start + step * (cell / max(length, 1e-9)))
    return Arrows(id, label, role, start, np.stack([*ends, ends[-1]]))


def mesh(kernel: ReverseKernel, times: Sequence[int], size: int = 17) -> Mesh:
    """A square grid of noise carried by the deterministic probability flow."""
    start = torch.from_numpy(grid(size, 2.4))
    flow = probability_flow(kernel, kernel.diffusion, start, steps=len(times) - 1)
    recording = record(flow, len(times), KEYFRAMES)
    return Mesh("mesh", "mesh", "noise", recording.x.reshape(-1, size, size, 2))


def mean_mesh(diffusion: GaussianDiffusion, times: Sequence[int], size: int = 17) -> Mesh:
    """A square grid under the forward mean √ᾱ_t x⁽⁰⁾: how the signal shrinks."""
    start = grid(size, 2.4).reshape(1, size, size, 2)
    kept = torch.tensor(list(times))[frame_numbers(len(times), KEYFRAMES)]
    scale = diffusion.schedule.alpha_bar(kept).sqrt().numpy().reshape(-1, 1, 1, 1)
    return Mesh("mesh", "mesh", "noise", (start * scale).astype(np.float32))


def sliced(x: Tensor, y: Tensor) -> float:
    """Sliced W₂ of the first particles over 32 directions: accurate enough for a number that changes with every frame."""
    n = min(COMPARED["sliced"], len(x), len(y))
    return sliced_wasserstein(x[:n], y[:n], 32)


def energy(x: Tensor, y: Tensor) -> float:
    """Energy distance of the first particles."""
    n = min(COMPARED["energy"], len(x), len(y))
    return energy_distance(x[:n], y[:n])


def distances(recording: Recording, data: Tensor, distance: Callable[[Tensor, Tensor], float]) -> list[float]:
    """A distance between every frame and the data."""
    return [distance(torch.from_numpy(x), data) for x in recording.x]


def floor(sample: Callable[[int], Tensor], distance: Callable[[Tensor, Tensor], float], pairs: int = 8) -> Floor:
    """Mean and standard deviation of the distance between two fresh draws of the data."""
    values = np.array([distance(sample(2 * i), sample(2 * i + 1)) for i in range(pairs)])
    return float(values.mean()), float(values.std(ddof=1))


def information_left_bits(exact: EmpiricalReverse, x0: Tensor, times: Sequence[int], seed: int) -> list[float]:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) = h(X⁽ᵗ⁾) − h(X⁽ᵗ⁾|X⁽⁰⁾) in bits by Monte Carlo with the exact density; NaN (infinite) at t = 0."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for t in map(int, times):
        if t == 0:
            out.append(float("nan"))
            continue
        q = exact.diffusion.q_marginal(x0, t)
        xt = q.mean + q.stddev * torch.randn(x0.shape, generator=generator)
        gain = q.log_prob(xt).sum(1) - exact.log_marginal(xt, t)
        out.append(max(0.0, float(gain.mean()) / NATS_PER_BIT))
    return out


def forward_stage(
    steps: Recording,
    jumps: Recording,
    diffusion: GaussianDiffusion,
    contours: Lines,
    information: list[float],
    gap: list[float],
    note: str,
) -> Stage:
    """The Forward page: the chain, and the closed-form jump beside it."""
    schedule, times = diffusion.schedule, [int(t) for t in steps.times]
    t = torch.tensor(times)
    layers = (contours, mean_mesh(diffusion, times))
    previous = [max(v - 1, 0) for v in times]
    kernel = Formula(
        "Forward kernel at t",
        "q(x<sup>{t}</sup>|x<sup>{s}</sup>) = N(√(1−β) x<sup>{s}</sup>, β)<br>"
        "β<sub>{t}</sub> = {beta} &emsp; ᾱ<sub>{t}</sub> = {bar}"
        "<br>q(x<sup>{t}</sup>|x<sup>0</sup>) = N({root} x<sup>0</sup>, {noise})",
        {
            "t": times,
            "s": previous,
            "beta": schedule.beta(t).tolist(),
            "bar": schedule.alpha_bar(t).tolist(),
            "root": schedule.alpha_bar(t).sqrt().tolist(),
            "noise": schedule.noise(t).tolist(),
        },
    )
    readouts = (
        Number(
            "Noise variance, 1 − ᾱ<sub>t</sub>", (100 * schedule.noise(t)).tolist(), 1, "%", "at 100 % only noise is left", True, "noise"
        ),
        Number("Information left about x⁽⁰⁾", information, 2, "bits", "I(X⁽⁰⁾;X⁽ᵗ⁾), by Monte Carlo", True, "data"),
        Number("Steps against jump, sliced W₂", gap, 3, "", "same distribution: sampling error only", False, "data"),
        kernel,
    )
    caption = (
        "Fine structure is lost first: the thin line blurs while the overall shape is still visible. "
        "The [contours](contours) show the exact density of x<sup>(t)</sup>. Both sets of particles follow it: "
        "the left one is made by t small steps, the right one by a single jump. "
        "The [mesh](mesh) shows the mean of x<sup>(t)</sup>, which shrinks by √ᾱ<sub>t</sub> until it no longer depends on the start."
    )
    return Stage(
        panels=(
            Panel("steps", "step by step", "data", steps.x, note, layers),
            Panel("jump", "in one jump", "data", jumps.x, "same start", layers),
        ),
        times=times, T=schedule.T, lo=LO, hi=HI, readouts=readouts, caption=caption, on=("contours",), colour="position",
        name="dpm-forward", start=times[int(np.abs(schedule.noise(t).numpy() - 0.2).argmin())],
    )  # fmt: skip


def opening(diffusion: GaussianDiffusion, times: Sequence[int]) -> int:
    """The frame at which the Reverse page opens, shortly before the shape appears."""
    return int(np.abs(diffusion.schedule.noise(torch.tensor(list(times))).numpy() - 0.13).argmin())


def reverse_stage(
    panels: tuple[Panel, Panel],
    times: Sequence[int],
    diffusion: GaussianDiffusion,
    numbers: dict[str, list[float]],
    end_beside: float,
    third: Number,
    floors: tuple[Floor, Floor],
) -> Stage:
    """The Reverse page: two panels with one clock, and the kernel's numbers."""
    schedule = diffusion.schedule
    t = torch.tensor([*times[:-1], times[-2]])  # at the end: the last step taken
    role, learned = panels[0].role, panels[0].role == "model"
    (w2, w2_spread), (en, en_spread) = floors
    beside = f"exact kernel {end_beside:.3f} · " if learned else ""
    readouts = (
        Number(
            "Distance to the data, sliced W₂", numbers["sliced_w2"], 3, "", f"{beside}two data draws {w2:.3f} ± {w2_spread:.3f}", True, role
        ),
        Number("Energy distance to the data", numbers["energy_distance"], 3, "", f"two data draws {en:.3f} ± {en_spread:.3f}", False, role),
        third,
        Formula(
            "Reverse kernel at t",
            "p(x<sup>{s}</sup>|x<sup>{t}</sup>) = N(f<sub>μ</sub>, f<sub>Σ</sub>)<br>√f<sub>Σ</sub> ≈ {spread}<br>"
            "β<sub>{t}</sub> = {beta} &emsp; ᾱ<sub>{t}</sub> = {bar}",
            {
                "t": t.tolist(),
                "s": [*times[1:], times[-1]],
                "spread": numbers["mean_deviation"],
                "beta": schedule.beta(t).tolist(),
                "bar": schedule.alpha_bar(t).tolist(),
            },
        ),
    )
    last = (
        "Click a particle to see its exact reverse step. The [exact drift](exact_drift) is what the network should have learned."
        if learned
        else "Click a particle to see its exact reverse step. With few steps it is far from Gaussian, and the particles leave the contours."
    )
    caption = (
        "Watch for the time at which the parts of the shape separate: √ᾱ<sub>t</sub> times the distance between them "
        "then exceeds the noise √(1−ᾱ<sub>t</sub>). At earlier steps (larger t) the [drift](drift) points to the centre, at later ones to "
        "the nearest part. The [contours](contours) show the density of the data at t. "
    )
    return Stage(
        panels=panels, times=list(times), T=schedule.T, lo=LO, hi=HI, readouts=readouts, caption=caption + last, on=("drift",),
        name="dpm-reverse", start=times[opening(diffusion, times)],
    )  # fmt: skip


def learning_gap_bits(learned: Bound, best: Bound, times: Sequence[int]) -> list[float]:
    """The learning gap of each KL term in bits: learned minus exact on the same draws; 0 for the fixed step t = 1."""
    gap = ((learned.kl_nats - best.kl_nats) / NATS_PER_BIT).tolist()
    return [gap[t - 2] if t >= 2 else 0.0 for t in times]
