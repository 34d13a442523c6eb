"""Guided images on the page: the player of each method, the grid of classes and strengths, an image brought back as another class."""

from __future__ import annotations

import html
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.figures import image_sheets
from dpm_core.figures.rasters import png
from pages.ui import cache, session
from pages.ui.components import number_cards
from pages.ui.components.data_uri import data_uri
from pages.ui.components.player import Images, Number, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.sampler import SAMPLER_TITLES
from pages.ui.guide import image_compute, image_edit, target
from pages.ui.guide.image_compute import METHODS, Question, Run
from pages.ui.kinds.images import rows, stages
from pages.ui.kinds.images.source import spec_of_checkpoint
from pages.ui.kinds.records import Export

GRID = (0.0, 1.0, 2.0, 4.0, 8.0)
FIRST = 7  # the class at the start
STRENGTH = 2.0  # of the samples with the smallest Fréchet distance to MNIST (benchmarks.guidance)
VIEWS = {"samples": "Samples", "grid": "Every class and strength", "edit": "Change an image"}
NOTES = (
    "Both methods use one network and start from the same noise. [Classifier-free guidance](free) extrapolates from the prediction "
    "without a class through the prediction given it. The [classifier](classifier) multiplies each step by "
    "r(x) = p(y|x<sup>(t)</sup>)<sup>γ</sup>. "
)


def question(name: str) -> tuple[str, Question]:
    """The view and what the controls ask for."""
    models = target.models_of(name)
    with st.sidebar:
        titles = {model: model_title(path) for model, path in models.items()}
        ref = cache.ModelRef.of(models[widgets.choose("Model", titles, "guided_model")])
        view = widgets.choose("Show", VIEWS, "guide_view")
        n = session.bind(st.select_slider, "Samples", [4, 8, 16, 32, 64], 16, key="n_guided_images") if view == "samples" else 1
        samplers = {name: SAMPLER_TITLES[name] for name in ("ddim", "ancestral")}
        sampler = widgets.choose("Sampler", samplers, "guide_sampler") if view == "samples" else "ddim"
        steps = session.bind(st.select_slider, "Sampler steps", [10, 25, 50, 100, 250], 50, key="guide_steps")
        seed, annealed = widgets.seed(), False
        if view == "samples" and "classifier" in image_compute.methods(ref):
            annealed = session.bind(
                st.toggle, "Anneal the classifier's exponent", False, key="guide_annealed", help="From 0 at t = T to γ at t = 0."
            )
    loaded = cache.model(ref)
    classes = checkpoints.class_names(loaded)
    first = min(FIRST, len(classes) - 1)
    asked = target.of_class(first, len(classes)) if view == "grid" else target.controls(classes, first, STRENGTH)
    return view, Question(ref, asked, int(n), sampler, min(int(steps), loaded.diffusion.T), seed, annealed)


def show(name: str) -> Export:
    """The page for images. Raises CheckpointError, FactorError."""
    view, asked = question(name)
    if view == "grid":
        return _grid(asked)
    if view == "edit":
        return image_edit.show(asked)
    return _samples(asked)


def _samples(asked: Question) -> Export:
    spec = spec_of_checkpoint(cache.model(asked.ref))
    runs = _runs(asked)
    cards = []
    for method, run in runs.items():
        if run.opinion is not None:
            words = f"mean of {asked.n} samples, read by the classifier at the noise of t"
            cards.append(Number(f"p(y | x<sup>(t)</sup>): {METHODS[method]}", run.opinion, 3, "", words, True, "model"))
    panels = tuple(
        Images(method, METHODS[method], "model", stages.grey_levels(spec, run.x), _note(asked, run)) for method, run in runs.items()
    )
    first = next(iter(runs.values()))
    T = cache.model(asked.ref).diffusion.T
    stage = Stage(panels, first.times.tolist(), T, readouts=tuple(cards), caption=_notes(runs), name="dpm-guide", start=0)
    player(pack(stage), key="guide_images")
    _variety(asked, runs)
    films = tuple(stages.grey_levels(spec, run.x) for run in runs.values())
    arrays = {"t": first.times} | {method: run.x for method, run in runs.items()}
    table = {"t": first.times.tolist()} | {f"certainty_{m}": run.opinion for m, run in runs.items() if run.opinion is not None}
    return Export("dpm-guide", python(asked), arrays, table, partial(rows.animation, films, session.is_dark()))


def _note(asked: Question, run: Run) -> str:
    few = f" · {run.x.shape[1]} of {asked.n} shown" if run.x.shape[1] < asked.n else ""
    return f"γ = {asked.target.strength:g}{few}"


def _notes(runs: dict[str, Run]) -> str:
    end = (
        "Raise γ: the class becomes more certain, and fewer different training images are nearest to the samples. At high strengths light "
        "and dark are exaggerated, so the distance between two samples can grow although they show the same few shapes."
    )
    return (NOTES if len(runs) == 2 else "") + end


def _runs(asked: Question) -> dict[str, Run]:
    found, names = {}, image_compute.methods(asked.ref)
    with working("Sampling …"):
        bar = st.sidebar.empty()
        for i, method in enumerate(names):
            found[method] = image_compute.run(asked, method, partial(_progress, bar, i, len(names)))
        bar.empty()
    return found


def _progress(bar: Any, run: int, runs: int, share: float) -> None:
    bar.progress((run + share) / runs, "Sampling …")


def _variety(asked: Question, runs: dict[str, Run]) -> None:
    """Cards: how many different training images are nearest, and the spread, of each method."""
    cards = []
    for method, run in runs.items():
        found = image_compute.variety(asked, run.last)
        if found.distinct is not None:
            note = f"{METHODS[method]} · distance to them {found.distance:.2f} per pixel"
            cards.append(("Distinct nearest training images", f"{found.distinct} of {asked.n}", note))
        reference = "" if found.data_spread is None else f" · training images of the class: {found.data_spread:.2f}"
        cards.append(("Spread: distance of two samples", number_cards.number(found.spread), f"{METHODS[method]}{reference}"))
    number_cards.show(cards)


def _grid(asked: Question) -> Export:
    spec = spec_of_checkpoint(cache.model(asked.ref))
    with working("Sampling every class …"):
        x = image_compute.grid(asked.ref, GRID, asked.steps, asked.seed)
    method = METHODS[image_compute.methods(asked.ref)[0]]
    st.markdown(f"**One noise, every class and strength** · {method}")
    classes = checkpoints.class_names(cache.model(asked.ref))[: len(x)]
    cells = stages.grey_levels(spec, x.swapaxes(0, 1).reshape(-1, *spec.shape))
    picture = png(image_sheets.sheet(cells, len(classes), 72, gap=8))
    heads = "".join(f"<span>{name}</span>" for name in map(html.escape, classes))
    sides = "".join(f"<span>γ = {strength:g}</span>" for strength in GRID)
    st.html(
        '<div style="display:grid;grid-template-columns:3.6rem minmax(0,1fr);gap:0.4rem;max-width:62rem;font-variant-numeric:tabular-nums">'
        f'<i></i><div style="display:grid;grid-template-columns:repeat({len(classes)},1fr);text-align:center;font-size:0.8rem;'
        f'opacity:0.75">{heads}</div>'
        f'<div style="display:grid;align-items:center;font-size:0.8rem;opacity:0.75">{sides}</div>'
        f'<img src="{data_uri(picture)}" alt="Samples of every class at strengths {", ".join(f"{s:g}" for s in GRID)}" '
        'style="width:100%;display:block;image-rendering:pixelated"></div>'
    )
    st.caption(
        "Every image starts from the same noise. At γ = 0 the class is not used, so the whole row is one image. At γ = 1 the samples "
        "follow p(x|y) as the network has learned it; a larger γ moves them to what is typical of the class and of no other."
    )
    return Export("dpm-guide-grid", _grid_python(asked, len(x)), {"x": x, "strengths": np.array(GRID)})


def _grid_python(asked: Question, classes: int) -> str:
    """The Python that makes the grid."""
    free = image_compute.methods(asked.ref)[0] == "free"
    kernel = "loaded.model.given(torch.arange(classes), strength - 1)" if free else "loaded.model"
    factor = "None" if free else "ClassFactor(classifier, torch.eye(classifier.classes)[:classes], strength)"
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.guidance import ClassFactor
from dpm_core.samplers import ddim

loaded, classes = checkpoints.load({asked.ref.name!r}), {classes}
classifier = checkpoints.classifier_for(loaded)
x_T = torch.randn(1, *loaded.shape, generator=torch.Generator().manual_seed({asked.seed})).repeat(classes, 1, 1, 1)
for strength in {GRID}:
    *_, last = ddim({kernel}, loaded.diffusion, x_T, factor={factor}, steps={asked.steps})
    print(strength, last.x.shape)
"""


def python(asked: Question) -> str:
    """The Python that makes the samples of each method."""
    name, strength, methods = asked.ref.name, asked.target.strength, image_compute.methods(asked.ref)
    lines = []
    if "free" in methods:
        lines.append(f'runs["classifier-free"] = (loaded.model.given(y, {strength - 1:g}), None)')
    if "classifier" in methods:
        factor = f"ClassFactor(checkpoints.classifier_for(loaded), y, {strength:g})"
        factor = f"Annealed({factor}, loaded.diffusion.T)" if asked.annealed else factor
        lines.append(f'runs["classifier"] = (loaded.model, {factor})')
    made = "\n".join(lines)
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.factors import Annealed
from dpm_core.guidance import ClassFactor
from dpm_core.samplers import {asked.sampler}

loaded = checkpoints.load({name!r})
y = {asked.target.python()}
runs = {{}}
{made}
x_T = torch.randn({asked.n}, *loaded.shape, generator=torch.Generator().manual_seed({asked.seed}))
for name, (kernel, factor) in runs.items():
    noise = torch.Generator().manual_seed({asked.seed + 1})
    *_, last = {asked.sampler}(kernel, loaded.diffusion, x_T, factor=factor, steps={asked.steps}, generator=noise)
    print(name, last.x.shape)
"""
