"""What the Reversibility page computes: both films, what every step tells about their direction, and how that changes with T."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.continuous.reversibility import Reversibility, reversibility
from dpm_core.process import draw
from dpm_core.samplers import Recording, ancestral, record
from pages.ui import cache
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import dataset
from pages.ui.reversibility.question import Question

LENGTHS = (5, 10, 20, 40, 80, 160)  # T whose sums are compared
WORK = 60_000  # evaluations of the density in a measurement
EDGES = np.linspace(-4, 4, 34)  # of the histogram of changes, in units of √β_t
CHANGED = 2000  # particles in that histogram


class Films(NamedTuple):
    """The forward process played backward, and the reverse process; the histograms ``[F, B]`` of the changes in their steps."""

    forward: Recording
    reverse: Recording
    forward_changes: np.ndarray
    reverse_changes: np.ndarray


@st.cache_resource(max_entries=16, show_spinner=False)
def films(question: Question) -> Films:
    """Both films from the same number of particles."""
    diffusion, n, seed = cache.diffusion(question.schedule), question.n, question.seed
    frames = min(diffusion.T + 1, stages.MAX_FRAMES)
    few = stages.shown(n, frames, 2)
    x0 = dataset(question.source).sample(n, torch.Generator().manual_seed(seed))
    chain = diffusion.forward_steps(x0, torch.Generator().manual_seed(seed + 1))
    forward = record(chain, diffusion.T + 1, frames, few)
    forward = Recording(forward.times[::-1].copy(), forward.x[::-1].copy())
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed + 2))
    run = ancestral(question.kernel(), diffusion, x_T, generator=torch.Generator().manual_seed(seed + 3))
    reverse = record(run, diffusion.T + 1, frames, few)
    changes = [_changes(question, max(int(t), 1), x) for t, x in zip(reverse.times, _shifted(reverse.x))]
    return Films(forward, reverse, *(np.stack(part) for part in zip(*changes)))


def _shifted(x: np.ndarray) -> list[np.ndarray]:
    """The state from which the last step is taken, at the end as well."""
    return [*x[:-1], x[-2]]


def _changes(question: Question, t: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Histograms of (x⁽ᵗ⁻¹⁾ − x⁽ᵗ⁾)/√β_t, first coordinate: in the film of q, and in steps of the model from x, in percent."""
    diffusion, generator = cache.diffusion(question.schedule), torch.Generator().manual_seed(question.seed + 4 + t)
    x0 = dataset(question.source).sample(CHANGED, generator)
    before = x0 if t == 1 else diffusion.q_sample(x0, t - 1, generator)
    forward = before - draw(diffusion.q_step(before, t), generator)
    start = torch.from_numpy(x[:CHANGED])
    with torch.inference_mode():
        reverse = draw(question.kernel().reverse(start, t), generator) - start
    unit = float(diffusion.schedule.beta(t).sqrt())
    parts = [np.histogram(change[:, 0].numpy() / unit, EDGES)[0] / len(change) * 100 for change in (forward, reverse)]
    return parts[0], parts[1]


@st.cache_data(max_entries=64, show_spinner=False)
def measured(question: Question) -> Reversibility:
    """Entropy production and what tells directions apart, for every step."""
    exact = cached.exact(question.source, question.schedule)
    n = int(np.clip(WORK // question.schedule.T, 100, 2000))
    x0 = dataset(question.source).sample(n, torch.Generator().manual_seed(41))
    return reversibility(question.kernel(), exact, x0, torch.Generator().manual_seed(42))


def sums(question: Question) -> dict[int, Reversibility]:
    """The same for exact Gaussian steps at other T. Raises ScheduleError."""
    return {T: measured(replace(question, schedule=replace(question.schedule, T=T), ref=None, n=1500, seed=7)) for T in LENGTHS}
