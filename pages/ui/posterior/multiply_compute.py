"""The Multiply page's work, done once: the exact product, its kernel, and a run under every rule for r(x⁽ᵗ⁾)."""

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
from pages.ui import cache
from pages.ui.controls.widgets import PlaneSource
from pages.ui.kinds.points import stages
from pages.ui.posterior.multiply_controls import FactorConfig

MOST_STEPS = 100  # of a sampler: more change nothing that can be seen, and RePaint takes each many times
RULES = {"constant": "r held constant", "annealed": "annealed r", "exact": "exact rₜ"}
DELTA_RULES = {"clean": "clean clamp", "noised": "noised clamp", "repaint": "RePaint", "exact": "exact rₜ"}


@dataclass(frozen=True)
class Question:
    """p, by its data and schedule, and r."""

    source: PlaneSource
    schedule: ScheduleConfig
    r: FactorConfig

    @property
    def steps(self) -> int:
        """Steps of the sampler down from T."""
        return min(self.schedule.T, MOST_STEPS)

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
    """What a rule made: the path of the particles shown, total variation to the truth per frame, kernel calls, the last samples."""

    path: Recording
    total_variation: list[float]
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
    return cache.exact(question.source, question.schedule)


def runs(question: Question, draw: Draw) -> dict[str, Run]:
    """Every rule from the same noise, by name."""
    plain = Draw(draw.n, draw.seed)  # only RePaint is made again when its own numbers change
    return {rule: _run(question, rule, draw if rule == "repaint" else plain) for rule in question.rules}


@st.cache_resource(max_entries=48, show_spinner=False)
def _run(question: Question, rule: str, draw: Draw) -> Run:
    """One rule. A run that loses its footing, where r is too steep for its steps, ends in missing samples."""
    truth = product(question)
    visited = timesteps(question.schedule.T, question.steps)
    times = [visited[i] for i in frame_numbers(len(visited), stages.MAX_FRAMES)]
    kept: dict[int, np.ndarray] = {}
    calls, before = 0, question.schedule.T
    with suppress(FactorError):
        for t, x in _steps(question, rule, draw):
            calls, before = calls + (t < before), t
            if t in times:  # RePaint comes by more than once: its last pass counts
                kept[t] = x.numpy()
    gone = np.full((draw.n, 2), np.nan, np.float32)
    frames = [kept.get(t, gone) for t in times]
    few = stages.shown(draw.n, len(times), len(question.rules))
    path = Recording(np.array(times), np.stack([x[:few] for x in frames]))
    return Run(path, [truth.total_variation(x) for x in frames], calls, frames[-1])


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
    """The question when it has an answer, else the last one that had, with the sentence that says why.

    Raises DataError or ScheduleError.
    """
    complaint = ""
    half = FactorConfig()  # of standardised data always has some
    for r in (question.r, st.session_state.get("r_last", half), half):
        asked = Question(question.source, question.schedule, r)
        try:
            product(asked)
        except FactorError as error:
            complaint = complaint or str(error)
            continue
        st.session_state["r_last"] = r
        return asked, complaint
    raise FactorError(complaint)
