"""What the Multiply page computes: the exact product, its kernel, and a run under every rule for r(x⁽ᵗ⁾)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.rasters import frame_numbers
from dpm_core.posterior import Annealed, Factor, FactorError, products, repaint
from dpm_core.process import Step
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import Recording, ancestral, timesteps
from pages.ui import cache, session
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource
from pages.ui.posterior.multiply_controls import FactorConfig

MAX_STEPS = 100  # of a sampler: more change nothing visible, and RePaint repeats each of them
RULES = {"constant": "r constant in t (paper)", "annealed": "r annealed", "exact": "exact rₜ"}
DELTA_RULES = {"clean": "noise-free clamp", "noised": "noised clamp", "repaint": "RePaint", "exact": "exact rₜ"}


@dataclass(frozen=True)
class Question:
    """p, by its data and schedule, and r."""

    source: PointSource
    schedule: ScheduleConfig
    r: FactorConfig

    @property
    def steps(self) -> int:
        """Steps of the sampler down from T."""
        return min(self.schedule.T, MAX_STEPS)

    @property
    def rules(self) -> dict[str, str]:
        """The rules for r(x⁽ᵗ⁾) that apply, and their titles."""
        return DELTA_RULES if self.r.is_delta else RULES


@dataclass(frozen=True)
class Draw:
    """How to sample: how many, from which seed, and RePaint's jump and resamplings."""

    n: int = 4000
    seed: int = 7
    jump: int = 1
    resamplings: int = 10


class Run(NamedTuple):
    """The result of a rule: the particles shown, total variation to the exact product per frame, kernel evaluations, final samples.

    ``error`` is the standard error of the last total variation.
    """

    path: Recording
    total_variation: list[float]
    error: float
    calls: int
    x: np.ndarray


@st.cache_resource(max_entries=32, show_spinner=False)
def product(question: Question) -> products.ExactProduct:
    """p·r/Z on a grid. Raises FactorError where r is zero on all data."""
    return products.exact_product(_kernel(question), question.r.factor())


@st.cache_resource(max_entries=16, show_spinner=False)
def _product_kernel(question: Question) -> EmpiricalReverse:
    return products.exact_kernel(_kernel(question), question.r.factor(), product(question))


def _kernel(question: Question) -> EmpiricalReverse:
    return cached.exact(question.source, question.schedule)


def runs(question: Question, draw: Draw) -> dict[str, Run]:
    """Every rule from the same noise, by name."""
    plain = Draw(draw.n, draw.seed)  # only RePaint is computed again when its own numbers change
    return {rule: _run(question, rule, draw if rule == "repaint" else plain) for rule in question.rules}


@st.cache_resource(max_entries=48, show_spinner=False)
def _run(question: Question, rule: str, draw: Draw) -> Run:
    """One rule. Where r is too steep for the steps, the run breaks down and the remaining samples are missing."""
    truth = product(question)
    visited = timesteps(question.schedule.T, question.steps)
    times = [visited[i] for i in frame_numbers(len(visited), stages.MAX_FRAMES)]
    kept: dict[int, np.ndarray] = {}
    calls, before = 0, question.schedule.T
    with suppress(FactorError):
        for t, x in _steps(question, rule, draw):
            calls, before = calls + (t < before), t
            if t in times:  # RePaint visits a time more than once: its last visit is shown
                kept[t] = x.numpy()
    missing = np.full((draw.n, 2), np.nan, np.float32)
    frames = [kept.get(t, missing) for t in times]
    few = stages.shown(draw.n, len(times), len(question.rules))
    path = Recording(np.array(times), np.stack([x[:few] for x in frames]))
    return Run(path, [truth.total_variation(x) for x in frames], truth.total_variation_error(frames[-1]), calls, frames[-1])


def _steps(question: Question, rule: str, draw: Draw) -> Iterator[Step]:
    kernel, diffusion, steps = _kernel(question), cache.diffusion(question.schedule), question.steps
    r, noised = question.r.factor(), question.r.factor(diffusion)
    x_T = torch.randn(draw.n, 2, generator=torch.Generator().manual_seed(draw.seed))
    noise = torch.Generator().manual_seed(draw.seed + 1)
    if rule == "repaint":
        again = {"jump": draw.jump, "resamplings": draw.resamplings}
        return repaint(kernel, diffusion, x_T, noised, steps=steps, generator=noise, **again)
    if rule == "exact":
        # r_t is in the kernel; a known coordinate is put in place at the end, as the kernel gives it the data's noise
        return ancestral(
            _product_kernel(question), diffusion, x_T, factor=noised if question.r.is_delta else None, steps=steps, generator=noise
        )
    factors: dict[str, Factor] = {"constant": r, "annealed": Annealed(r, diffusion.T), "clean": r, "noised": noised}
    return ancestral(kernel, diffusion, x_T, factor=factors[rule], steps=steps, generator=noise)


def usable(question: Question) -> tuple[Question, str]:
    """The question when it can be answered, else the last one that could, with a sentence on what is wrong.

    Raises DataError or ScheduleError.
    """
    complaint = ""
    half = FactorConfig()  # standardised data always have points in this half-plane
    last = session.LAST_GOOD.get()
    for r in (question.r, last.get("factor", half), half):
        asked = Question(question.source, question.schedule, r)
        try:
            product(asked)
        except FactorError as error:
            complaint = complaint or str(error)
            continue
        last["factor"] = r
        return asked, complaint
    raise FactorError(complaint)
