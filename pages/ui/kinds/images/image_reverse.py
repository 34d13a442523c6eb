"""The Reverse page with images: one run as a film, or rows of samples from the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from pages.ui import cache, page
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.kinds.images import image_stages, imaging, picture_rows, selected_pixel
from pages.ui.kinds.points import selected_point
from pages.ui.kinds.points.recordings import SAMPLER_TITLES, SamplerConfig

VIEWS = {"film": "One run", "samplers": "Samplers, side by side", "steps": "Numbers of steps", "models": "Models of these images"}
STEPS = (10, 25, 50, 100)
IN_A_ROW = 8  # images compared


def settings(ref: cache.ModelRef) -> tuple[str, SamplerConfig]:
    """What to show, one of VIEWS, and how to sample, from controls."""
    titles = {view: title for view, title in VIEWS.items() if view != "models" or len(_rivals(ref)) > 1}
    view = widgets.choose("Show", titles, "view", help="Rows of samples start from the same noise.")
    T = cache.model(ref).diffusion.T
    sampler = "ancestral" if view == "samplers" else widgets.choose("Sampler", SAMPLER_TITLES, "sampler")
    steps = min(50, T)
    if view != "steps":
        options = sorted({some for some in (*STEPS, 250, 500) if some < T} | {steps, T})
        with st.container(key="steps"):
            help = "Fewer steps than T jump over times."
            steps = widgets.linked(st.select_slider, "Sampler steps", options, steps, key=f"image_steps_{T}", help=help)
    eta = widgets.eta(sampler)
    n = picture_rows.number_of_images() if view == "film" else IN_A_ROW
    return view, SamplerConfig(sampler, steps, eta, n, widgets.seed())


def show(ref: cache.ModelRef, view: str, how: SamplerConfig) -> None:
    """The view that was chosen."""
    if view == "film":
        _film(ref, how)
        return
    sampler, T = SAMPLER_TITLES[how.name], cache.model(ref).diffusion.T
    numbers = [n for n in STEPS if n <= T] or [T]
    rows = {
        "samplers": {title: (ref, replace(how, name=name)) for name, title in SAMPLER_TITLES.items()},
        "steps": {f"{sampler}, {n} steps": (ref, replace(how, steps=n)) for n in numbers},
        "models": {title: (r, replace(how, steps=min(how.steps, cache.model(r).diffusion.T))) for title, r in _rivals(ref).items()},
    }[view]
    _rows(view, rows)


def _film(ref: cache.ModelRef, how: SamplerConfig) -> None:
    """The player and, under it, one image and one of its pixels."""
    spec = cache.model(ref).dataset
    with _progress("Sampling …") as tick:
        payload, path, numbers = imaging.reverse(ref, how, tick)

    @st.fragment
    def stage() -> None:
        click = player(payload, "reverse", lambda: None).pick
        selected_pixel.show(ref, payload, path, click)

    stage()
    films = (image_stages.seen(spec, path.x), image_stages.seen(spec, path.x0))
    arrays = {"t": path.times, "x": path.x, "guess": path.x0}
    make = partial(picture_rows.film, films, picture_rows.dark())
    page.take_along("dpm-reverse", python([(ref, how)]), arrays, numbers, make)


def _rows(view: str, rows: dict[str, tuple[cache.ModelRef, SamplerConfig]]) -> None:
    """Samples from the same noise, a row each, in places that are kept free for them."""
    slots = {}
    for title, (ref, one) in rows.items():
        calls = one.steps if one.name != "probability_flow" else 2 * one.steps - 1
        st.markdown(f"**{title}** · {calls} calls of the network")
        _, height, width = cache.model(ref).dataset.shape
        slots[title] = st.empty()
        slots[title].html(f'<div style="aspect-ratio:{one.n * width} / {height};max-width:{100 * one.n / IN_A_ROW:g}%"></div>')
    samples = {}
    with _progress("Sampling …") as tick:
        for i, (title, (ref, one)) in enumerate(rows.items()):
            spec = cache.model(ref).dataset
            samples[title] = imaging.path(ref, one, lambda share, i=i: tick((i + share) / len(rows)), frames=2).x[-1]
            with slots[title]:
                picture_rows.show_row(picture_rows.row(image_stages.seen(spec, samples[title])), [""] * one.n, f"{one.n} samples: {title}")
    st.caption(
        {
            "samplers": "The same noise, the same number of steps. DDIM and the flow add none of their own: their images are related. "
            "Ancestral sampling draws fresh noise at every step and goes its own way.",
            "steps": "The same noise in more or fewer steps: look where strokes break, and where more steps change nothing any more.",
            "models": "The same noise, what each model makes of it.",
        }[view]
    )
    everything = np.concatenate([image_stages.seen(spec, x) for x in samples.values()])
    st.download_button(
        "PNG", partial(picture_rows.row, everything, IN_A_ROW), "dpm-samples.png", "image/png", on_click="ignore", type="tertiary"
    )
    page.take_along("dpm-samples", python(list(rows.values())), {title.replace(" ", "_"): x for title, x in samples.items()})


def _rivals(ref: cache.ModelRef) -> dict[str, cache.ModelRef]:
    """Models of the same images, this one first, by title."""
    spec, out = cache.model(ref).dataset, {}
    for path in checkpoints.list_checkpoints().values():
        if selected_point.data_name(path, path.stat().st_mtime) != spec.name:
            continue
        rival = cache.ModelRef.of(path)
        try:
            if cache.model(rival).dataset == spec:
                out[selected_point.model_title(path, rival.modified)] = rival
        except checkpoints.CheckpointError:
            continue
    return dict(sorted(out.items(), key=lambda item: item[1] != ref))


@contextmanager
def _progress(label: str) -> Iterator[imaging.Tick]:
    """How far a computation is, at the foot of the sidebar."""
    with page.working(label):
        bar = st.sidebar.empty()
        yield lambda share: bar.progress(share)
        bar.empty()


def python(rows: list[tuple[cache.ModelRef, SamplerConfig]]) -> str:
    """The Python that makes these rows of images."""
    runs = ""
    for ref, how in rows:
        options = {"eta": how.eta} if how.name == "ddim" else {}
        runs += f"    ({Path(ref.path).stem!r}, {how.name!r}, {how.steps}, {options}),\n"
    first = rows[0][1]
    return f"""import torch
from PIL import Image
from dpm_core.checkpoints import load
from dpm_core.samplers import SAMPLERS

runs = [
{runs}]
rows = []
for name, sampler, steps, options in runs:
    model = load(name)
    x_T = torch.randn({first.n}, *model.dataset.shape, generator=torch.Generator().manual_seed({first.seed}))
    noise = torch.Generator().manual_seed({first.seed + 1})
    *_, (t, x) = SAMPLERS[sampler](model.model, model.diffusion, x_T, steps=steps, generator=noise, **options)
    print(name, sampler, steps, float(x.mean()), float(x.var()))
    rows.append(torch.cat(list(model.dataset.pixels(x)), 2))  # beside each other, [C, H, n·W]
Image.fromarray(torch.cat(rows, 1).permute(1, 2, 0).squeeze(2).numpy()).save("samples.png")
"""
