"""The Reverse page with images: one run as an animation, or rows of samples from the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.samplers import SAMPLERS
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components.export_row import export_row
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.sampler import SAMPLER_TITLES, SamplerConfig, choose_sampler, eta, steps_select
from pages.ui.kinds.images import forward, recordings, rows, selected_pixel, stages
from pages.ui.kinds.images.source import spec_of_checkpoint
from pages.ui.kinds.records import Model

VIEWS = {"film": "One run", "samplers": "Compare samplers", "steps": "Compare numbers of steps", "models": "Compare models"}
STEPS = (10, 25, 50, 100)
IN_A_ROW = 8  # images compared


@dataclass(frozen=True)
class ReverseSettings:
    """What to show, one of VIEWS, and how to sample."""

    view: str
    how: SamplerConfig


def controls(model: Model) -> ReverseSettings:
    """The settings, from controls."""
    titles = {view: title for view, title in VIEWS.items() if view != "models" or len(_models_of_same_images(model.checkpoint)) > 1}
    view = widgets.choose("Show", titles, "view", help="All rows of a comparison start from the same noise.")
    T = model.schedule.T
    sampler = "ancestral" if view == "samplers" else choose_sampler()
    steps = min(50, T)
    if view != "steps":
        options = sorted({some for some in (*STEPS, 250, 500) if some < T} | {steps, T})
        steps = steps_select("Sampler steps", options, steps, f"image_steps_{T}")
    noise = eta(sampler)
    n = forward.number_of_images() if view == "film" else IN_A_ROW
    return ReverseSettings(view, SamplerConfig(sampler, steps, noise, n, widgets.seed()))


def show(model: Model, settings: ReverseSettings) -> None:
    """The view that was chosen."""
    ref, view, how = model.checkpoint, settings.view, settings.how
    if view == "film":
        _film(ref, how)
        return
    sampler, T = SAMPLER_TITLES[how.name], model.schedule.T
    numbers = [n for n in STEPS if n <= T] or [T]
    rows_of: dict[str, dict[str, tuple[ModelRef, SamplerConfig]]] = {
        "samplers": {title: (ref, replace(how, name=name)) for name, title in SAMPLER_TITLES.items()},
        "steps": {f"{sampler}, {n} steps": (ref, replace(how, steps=n)) for n in numbers},
        "models": {
            title: (other, replace(how, steps=min(how.steps or T, cache.model(other).diffusion.T)))
            for title, other in _models_of_same_images(ref).items()
        },
    }
    _comparison(view, rows_of[view])


def _film(ref: ModelRef, how: SamplerConfig) -> None:
    """The player and, under it, one image and one of its pixels."""
    spec = spec_of_checkpoint(cache.model(ref))
    with _progress("Sampling …") as report:
        payload, path, numbers = recordings.reverse(ref, how, report)

    @st.fragment
    def stage() -> None:
        click = player(payload, "reverse", lambda: None).pick
        selected_pixel.show(ref, payload, path, click)

    stage()
    films = (stages.grey_levels(spec, path.x), stages.grey_levels(spec, path.x0))
    arrays = {"t": path.times, "x": path.x, "x0_estimate": path.x0}
    make = partial(rows.animation, films, session.is_dark())
    export_row("dpm-reverse", python([(ref, how)]), arrays, numbers, make)


def _comparison(view: str, shown: dict[str, tuple[ModelRef, SamplerConfig]]) -> None:
    """Samples from the same noise, a row each, in places reserved for them."""
    slots = {}
    for title, (ref, one) in shown.items():
        loaded = cache.model(ref)
        calls = SAMPLERS[one.name].network_calls(one.steps or loaded.diffusion.T)
        st.markdown(f"**{title}** · {calls} network evaluations")
        _, height, width = loaded.shape
        slots[title] = st.empty()
        slots[title].html(f'<div style="aspect-ratio:{one.n * width} / {height};max-width:{100 * one.n / IN_A_ROW:g}%"></div>')
    samples = {}
    with _progress("Sampling …") as report:
        for i, (title, (ref, one)) in enumerate(shown.items()):
            spec = spec_of_checkpoint(cache.model(ref))

            def report_share(share: float, done: int = i) -> None:
                report((done + share) / len(shown))

            samples[title] = recordings.path(ref, one, report_share, frames=2).x[-1]
            with slots[title]:
                rows.show_row(rows.row(stages.grey_levels(spec, samples[title])), [""] * one.n, f"{one.n} samples: {title}")
    st.caption(
        {
            "samplers": "The same initial noise and number of steps. DDIM (η = 0) and the probability flow are deterministic, so their "
            "images are related. Ancestral sampling adds fresh noise at every step and gives different images.",
            "steps": "The same initial noise with more or fewer steps. Look at which number of steps the strokes break, and from which on "
            "more steps change nothing.",
            "models": "The same initial noise, sampled by each model of these images.",
        }[view]
    )
    everything = np.concatenate([stages.grey_levels(spec, x) for x in samples.values()])
    st.download_button("PNG", partial(rows.row, everything, IN_A_ROW), "dpm-samples.png", "image/png", on_click="ignore", type="tertiary")
    export_row("dpm-samples", python(list(shown.values())), {title.replace(" ", "_"): x for title, x in samples.items()})


def _models_of_same_images(ref: ModelRef) -> dict[str, ModelRef]:
    """Models of the same images by title, this one first."""
    spec, out = spec_of_checkpoint(cache.model(ref)), {}
    for path in checkpoints.list_checkpoints().values():
        other = ModelRef.of(path)
        run, _ = cache.description(other)
        try:
            if run is not None and run.data.name == spec.name and cache.model(other).dataset == spec:
                out[model_title(path)] = other
        except checkpoints.CheckpointError:
            continue  # the Checkpoints page says what is wrong with it
    return dict(sorted(out.items(), key=lambda item: item[1] != ref))


@contextmanager
def _progress(label: str) -> Iterator[recordings.ReportProgress]:
    """The progress of a computation, at the foot of the sidebar."""
    with working(label):
        bar = st.sidebar.empty()

        def report(share: float) -> None:
            bar.progress(share)

        yield report
        bar.empty()


def python(rows: list[tuple[ModelRef, SamplerConfig]]) -> str:
    """The Python that makes these rows of images."""
    runs = ""
    for ref, how in rows:
        runs += f"    ({ref.python}, {how.name!r}, {how.steps}, {how.options}),\n"
    first = rows[0][1]
    return f"""import torch
from PIL import Image
from dpm_core import checkpoints
from dpm_core.samplers import SAMPLERS

runs = [
{runs}]
rows = []
for model, sampler, steps, options in runs:
    x_T = torch.randn({first.n}, *model.dataset.shape, generator=torch.Generator().manual_seed({first.seed}))
    noise = torch.Generator().manual_seed({first.seed + 1})
    *_, (t, x) = SAMPLERS[sampler](model.model, model.diffusion, x_T, steps=steps, generator=noise, **options)
    print(model.name, sampler, steps, float(x.mean()), float(x.var()))
    rows.append(torch.cat(list(model.dataset.pixels(x)), 2))  # beside each other, [C, H, n·W]
Image.fromarray(torch.cat(rows, 1).permute(1, 2, 0).squeeze(2).numpy()).save("samples.png")
"""
