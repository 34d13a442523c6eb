"""Guidance in the plane, where everything is known: samples under each rule and their distance to the exact densities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.data import toy2d
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.factors import Annealed, Factor, FactorError, Potential
from dpm_core.figures.rasters import frame_numbers
from dpm_core.guidance import ClassFactor, ExactClasses
from dpm_core.measure.diversity import spread
from dpm_core.posterior import products
from dpm_core.process import Chain, Step
from dpm_core.reverse import EmpiricalReverse, ReverseKernel
from dpm_core.samplers import Recording, ancestral, timesteps
from pages.ui import cache
from pages.ui.guide import target
from pages.ui.guide.target import Target
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import PointSource, dataset

RULES = {
    "classifier": "Classifier, γ constant",
    "annealed": "Classifier, γ annealed",
    "free": "Classifier-free network",
    "exact": "Exact product",
}
MAX_STEPS = 100  # of a sampler: more change nothing visible
SWEPT = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # strengths of the comparison
SWEPT_POINTS = 2000


@dataclass(frozen=True)
class Question:
    """The data, the schedule of the exact kernels, what is asked for, and how to sample. ``model``: the class-conditional network."""

    source: PointSource
    schedule: ScheduleConfig
    target: Target
    n: int = 3000
    seed: int = 7
    model: cache.ModelRef | None = None

    @property
    def rules(self) -> list[str]:
        """The rules that apply: without a class-conditional network there is no classifier-free guidance."""
        return [rule for rule in RULES if rule != "free" or self.model is not None]


class Run(NamedTuple):
    """The result of a rule: the particles shown, total variation to the target per frame, its error, and the last samples ``[n, 2]``."""

    path: Recording
    total_variation: list[float]
    error: float
    x: np.ndarray


class Swept(NamedTuple):
    """Under one rule and strength: total variation to p(x|y), the share of samples of the class, and their spread."""

    rule: str
    strength: float
    total_variation: float
    share: float
    spread: float


def classifier(source: PointSource, schedule: ScheduleConfig) -> ExactClasses:
    """The exact classifier of noisy points."""
    found = DATA_KINDS["points"].exact_classes(dataset(source), cache.diffusion(schedule))
    assert found is not None  # the menu offers only data with classes
    return found


def conditional_model(source: PointSource) -> cache.ModelRef | None:
    """The class-conditional network of these data with their own noise, if there is one."""
    for path in target.models_of(source.name).values():
        ref = cache.ModelRef.of(path)
        if (source.noise or toy2d.SHAPES[source.name].noise) == cache.model(ref).config.data.noise:
            return ref
    return None


def factor(question: Question) -> ClassFactor:
    """r(x⁽ᵗ⁾) of what is asked for."""
    return ClassFactor(classifier(question.source, question.schedule), question.target.asked, question.target.strength)


@st.cache_resource(max_entries=32, show_spinner=False)
def product(source: PointSource, schedule: ScheduleConfig, wanted: Target) -> products.ExactProduct:
    """p(x) ∏ p(y|x)^(γ τ_y), normalised, on a grid. Raises FactorError."""
    try:
        return products.exact_product(cached.exact(source, schedule), factor(Question(source, schedule, wanted)))
    except FactorError:
        names = wanted.words(dataset(source).classes)
        raise FactorError(
            f"No data lie between these classes ({names}) at γ = {wanted.strength:g}; choose one class or a smaller γ."
        ) from None


def product_of(question: Question) -> products.ExactProduct:
    """The density that is asked for. Raises FactorError."""
    return product(question.source, question.schedule, question.target)


def of_class(question: Question) -> products.ExactProduct:
    """The same with γ = 1: p(x|y) of one class."""
    return product(question.source, question.schedule, replace(question.target, strength=1.0))


@st.cache_resource(max_entries=16, show_spinner=False)
def _product_kernel(source: PointSource, schedule: ScheduleConfig, wanted: Target) -> EmpiricalReverse:
    if wanted.strength == 1 and len(wanted.labels) == 1:
        return dataset(source).of_class(wanted.labels[0]).exact_reverse(cache.diffusion(schedule))
    r = factor(Question(source, schedule, wanted))
    return products.exact_kernel(cached.exact(source, schedule), Potential(r.log_prob), product(source, schedule, wanted))


def runs(question: Question) -> dict[str, Run]:
    """Every rule from the same noise."""
    return {rule: _run(question, rule) for rule in question.rules}


@st.cache_resource(max_entries=48, show_spinner=False)
def _run(question: Question, rule: str) -> Run:
    truth = product_of(question)
    T = cache.model(question.model).diffusion.T if rule == "free" and question.model is not None else question.schedule.T
    visited = timesteps(T, min(T, MAX_STEPS))
    times = [visited[i] for i in frame_numbers(len(visited), stages.MAX_FRAMES)]
    kept = {step.t: step.x.numpy() for step in _steps(question, rule) if step.t in times}
    missing = np.full((question.n, 2), np.nan, np.float32)
    frames = [kept.get(t, missing) for t in times]
    few = stages.shown(question.n, len(times), len(question.rules))
    path = Recording(np.array(times), np.stack([x[:few] for x in frames]))
    return Run(path, [truth.total_variation(x) for x in frames], truth.total_variation_error(frames[-1]), frames[-1])


def _steps(question: Question, rule: str) -> Iterator[Step]:
    """One rule; where the gradient is too steep for the steps, the run breaks down and ends early."""
    diffusion: Chain = cache.diffusion(question.schedule)
    x_T = torch.randn(question.n, 2, generator=torch.Generator().manual_seed(question.seed))
    noise = torch.Generator().manual_seed(question.seed + 1)
    kernel: ReverseKernel = cached.exact(question.source, question.schedule)
    r: Factor | None = None
    if rule == "free":
        assert question.model is not None
        loaded = cache.model(question.model)
        kernel, diffusion = loaded.model.given(question.target.asked, question.target.strength - 1), loaded.diffusion
    elif rule == "exact":
        kernel = _product_kernel(question.source, question.schedule, question.target)
    else:
        r = factor(question) if rule == "classifier" else Annealed(factor(question), diffusion.T)
    with suppress(FactorError):
        yield from ancestral(kernel, diffusion, x_T, factor=r, steps=min(diffusion.T, MAX_STEPS), generator=noise)


@st.cache_data(max_entries=16, show_spinner=False)
def sweep(question: Question) -> list[Swept]:
    """What strength does: samples of the rules at each of SWEPT, and independent draws of the exact product itself."""
    truth, classes = of_class(question), classifier(question.source, question.schedule)
    found = []
    for rule in [rule for rule in ("classifier", "free", "exact") if rule in question.rules]:
        for strength in SWEPT:
            asked = replace(question, target=replace(question.target, strength=strength), n=SWEPT_POINTS)
            try:
                truth_there = product_of(asked)
            except FactorError:  # the mixture has next to no mass at this strength
                continue
            x = torch.from_numpy(_run(asked, rule).x) if rule != "exact" else _draws(truth_there, SWEPT_POINTS, asked.seed)
            x = x[x.isfinite().all(1)]
            if len(x) == 0:
                continue
            share = float(classes.log_probs(x.double(), 0).exp()[:, question.target.labels].sum(1).mean())
            found.append(Swept(rule, strength, truth.total_variation(x.numpy()), share, spread(x)))
    return found


def _draws(truth: products.ExactProduct, n: int, seed: int) -> torch.Tensor:
    """n independent draws of a density on a grid, ``[n, 2]``, uniform inside each cell."""
    rng, step = np.random.default_rng(seed), truth.axis[1] - truth.axis[0]
    share = truth.density.ravel() / truth.density.sum()
    row, column = np.divmod(rng.choice(len(share), n, p=share), len(truth.axis))
    x = np.stack([truth.axis[column], truth.axis[row]], 1) + rng.uniform(-0.5, 0.5, (n, 2)) * step
    return torch.from_numpy(x.astype(np.float32))
