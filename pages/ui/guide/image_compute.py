"""Guided samples of images: a run of each method from the same noise, and how certain and how varied its samples are."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError
from dpm_core.data import sources
from dpm_core.data.errors import DataError
from dpm_core.data.images import ImageDataset
from dpm_core.factors import Annealed, Factor
from dpm_core.figures.rasters import frame_numbers
from dpm_core.guidance import ClassFactor, NoisyClassifier
from dpm_core.measure.diversity import nearest, spread
from dpm_core.process import Step
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import SAMPLERS, timesteps, walk
from pages.ui import cache
from pages.ui.guide.target import Target
from pages.ui.kinds.images import recordings, stages

METHODS = {"free": "Classifier-free guidance", "classifier": "Classifier as r(x)"}
FRAMES = 41
MOST_CLASSES = 20  # in the grid
MAX_RUNS = 24  # that are remembered

ReportProgress = Callable[[float], object]


@dataclass(frozen=True)
class Question:
    """The model, what is asked for, and how to sample. ``annealed``: the classifier's exponent grows from 0 at T to γ at 0."""

    ref: cache.ModelRef
    target: Target
    n: int = 16
    sampler: str = "ddim"
    steps: int = 50
    seed: int = 7
    annealed: bool = False


class Run(NamedTuple):
    """Times ``[F]``, as many samples as the player shows ``[F, few, C, H, W]``, all at the end ``[n, C, H, W]``, and the classifier's
    mean probability of the target per frame, if there is one."""

    times: np.ndarray
    x: np.ndarray
    last: np.ndarray
    opinion: list[float] | None


class Variety(NamedTuple):
    """How many different training images are nearest to the samples, the mean distance per pixel to them, and the samples' spread."""

    distinct: int | None
    distance: float | None
    spread: float
    data_spread: float | None  # of the training images of the target's classes


def classifier(ref: cache.ModelRef) -> NoisyClassifier | None:
    """The classifier of a model's images under its diffusion; None where there is none."""
    there = tuple(cache.ModelRef.of(path) for path in checkpoints.list_classifiers().values())
    return _classifier(ref, there)


@st.cache_resource(max_entries=8, show_spinner=False)
def _classifier(ref: cache.ModelRef, there: tuple[cache.ModelRef, ...]) -> NoisyClassifier | None:
    """Found anew when the classifiers that are ``there`` change."""
    return checkpoints.classifier_for(cache.model(ref))


def methods(ref: cache.ModelRef) -> list[str]:
    """The methods that a model can be guided by, at least one. Raises CheckpointError."""
    conditional = bool(cache.model(ref).config.network.classes)
    found = [method for method in METHODS if (conditional if method == "free" else classifier(ref) is not None)]
    if not found:
        raise CheckpointError(f"There is no classifier of images in the units of {ref.name!r}; choose a class-conditional model.")
    return found


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[tuple, Run]:
    """Runs by what determines them. st.cache_data would replay the progress that is drawn while they are made."""
    return OrderedDict()


def run(question: Question, method: str, report: ReportProgress) -> Run:
    """One method; all start from the same noise. Raises FactorError."""
    kept, key = _kept(), (question, method)
    if key not in kept:
        loaded = cache.model(question.ref)
        x_T = torch.randn(question.n, *loaded.shape, generator=torch.Generator().manual_seed(question.seed))
        total = len(timesteps(loaded.diffusion.T, question.steps))
        with ThreadPoolExecutor(recordings.WORKERS, initializer=recordings.one_core) as pool:
            kernel, factor = kernel_of(question, method, pool)
            options = {} if factor is None else {"factor": factor}
            noise = torch.Generator().manual_seed(question.seed + 1)
            steps = SAMPLERS[question.sampler](kernel, loaded.diffusion, x_T, steps=question.steps, generator=noise, **options)
            kept[key] = _recorded(question, kernel, steps, total, report)
        while len(kept) > MAX_RUNS:
            kept.popitem(last=False)
    return kept[key]


def kernel_of(question: Question, method: str, pool: ThreadPoolExecutor) -> tuple[recordings.RecordingModel, Factor | None]:
    """What a method samples from. With γ = 0 both are the unconditional model."""
    model = cast(ReverseModel, cache.model(question.ref).model)
    asked, strength = question.target.asked, question.target.strength
    if method == "free":
        return recordings.RecordingModel(model.given(asked, strength - 1), pool), None
    found = classifier(question.ref)
    assert found is not None  # see methods
    r: Factor = ClassFactor(found, asked, strength)
    return recordings.RecordingModel(model, pool), Annealed(r, model.diffusion.T) if question.annealed else r


def _recorded(question: Question, kernel: recordings.RecordingModel, steps: Iterator[Step], total: int, report: ReportProgress) -> Run:
    frames, few = stages.budget(total, question.n, math.prod(cache.model(question.ref).shape))
    wanted, found = set(frame_numbers(total, min(FRAMES, frames)).tolist()), classifier(question.ref)
    times, shown, opinion = [], [], []
    for i, (t, x) in enumerate(steps):
        report((i + 1) / total)
        kernel.recorded.clear()
        last = x.numpy()
        if i in wanted:
            times.append(t)
            shown.append(last[:few].copy())
            if found is not None:
                opinion.append(certainty(found, x, t, question.target))
    return Run(np.array(times), np.stack(shown), last, opinion if found is not None else None)


@torch.no_grad()
def certainty(found: NoisyClassifier, x: Tensor, t: int, wanted: Target) -> float:
    """The mean probability that the classifier gives to the classes of the target, at the noise of time t."""
    return float(found.log_probs(x.clone(), t).exp()[:, wanted.labels].sum(1).mean())


@st.cache_resource(max_entries=4, show_spinner=False)
def pool(ref: cache.ModelRef) -> tuple[Tensor, Tensor] | None:
    """The training images in the model's units, at the middle of each level, and their labels; None where the files are missing."""
    loaded = cache.model(ref)
    try:
        found: ImageDataset = sources.of_checkpoint(loaded.dataset, loaded.config.data)
    except DataError:
        return None
    if found.labels is None:
        return None
    return found.standardise(found.train), found.labels


def variety(question: Question, samples: np.ndarray) -> Variety:
    """How varied samples ``[n, C, H, W]`` are."""
    x, data = torch.from_numpy(samples), pool(question.ref)
    if data is None:
        return Variety(None, None, spread(x), None)
    images, labels = data
    same = images[torch.isin(labels, torch.tensor(question.target.labels))]
    which, distance = nearest(x, images)
    return Variety(len(which.unique()), float((distance.square() / x[0].numel()).mean().sqrt()), spread(x), spread(same[:2000]))


@st.cache_data(max_entries=16, show_spinner=False)
def grid(ref: cache.ModelRef, strengths: tuple[float, ...], steps: int, seed: int) -> np.ndarray:
    """One sample of every class (at most MOST_CLASSES) at every strength by DDIM, from one noise: ``[classes, strengths, C, H, W]``."""
    loaded, method = cache.model(ref), methods(ref)[0]
    count = len(checkpoints.class_names(loaded))
    classes = min(count, MOST_CLASSES)
    x_T = torch.randn(1, *loaded.shape, generator=torch.Generator().manual_seed(seed)).repeat(classes, 1, 1, 1)
    columns = []
    for strength in strengths:
        options, kernel = {}, loaded.model
        if method == "free":
            kernel = loaded.model.given(torch.arange(classes), strength - 1)
        else:
            options["factor"] = ClassFactor(cast(NoisyClassifier, classifier(ref)), torch.eye(count)[:classes], strength)
        for _, x in SAMPLERS["ddim"](kernel, loaded.diffusion, x_T, steps=steps, **options):
            last = x
        columns.append(last.numpy())
    return np.stack(columns, 1)


def back_from(question: Question, method: str, x0: Tensor, t: int, n: int) -> Tensor:
    """x0 ``[C, H, W]`` noised to time t and brought back n times, guided; ``[n, C, H, W]``. The chain's own steps, thinned as asked."""
    loaded = cache.model(question.ref)
    noise = torch.Generator().manual_seed(question.seed)
    xt = loaded.diffusion.q_sample(x0.expand(n, *x0.shape), t, noise)
    times = [t, *(s for s in timesteps(loaded.diffusion.T, question.steps) if s < t)]
    with ThreadPoolExecutor(recordings.WORKERS, initializer=recordings.one_core) as pool_:
        kernel, factor = kernel_of(question, method, pool_)
        for _, x in walk(kernel, loaded.diffusion, xt, times, factor=factor, generator=noise):
            last = x
    return last
