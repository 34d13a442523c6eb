"""Changing an image: noised to a time t and brought back as another class."""

from __future__ import annotations

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.data.errors import DataError
from dpm_core.figures.charts import Layered
from dpm_core.figures.palette import DATA, MODEL
from pages.ui import cache, session
from pages.ui.components.working import working
from pages.ui.controls.widgets import whole_number
from pages.ui.guide import image_compute
from pages.ui.guide.image_compute import METHODS, Question
from pages.ui.kinds.images import rows, stages
from pages.ui.kinds.images.source import ImageSource, dataset, spec_of_checkpoint
from pages.ui.kinds.records import Export

LEVELS = (30, 50, 65, 80, 90, 96, 99)  # noise variance 1 − ᾱ_t in per cent, at which an image is brought back
DRAWS = 6  # at each level
ORIGINALS = 700  # seed of the held-out images


class Level(NamedTuple):
    """One noise level: its time, x⁽ᵗ⁾, the images brought back ``[DRAWS, C, H, W]``, their correlation with the original, and p(y|x)."""

    percent: int
    t: int
    noised: np.ndarray
    x: np.ndarray
    correlation: float
    certainty: float | None


def show(asked: Question) -> Export:
    """The original, the image at the chosen noise, what comes back, and how much of it is left at every level."""
    loaded = cache.model(asked.ref)
    spec = spec_of_checkpoint(loaded)
    with st.sidebar:
        about = "One of the held-out images; where the data are not on this machine, a sample of the model."
        number = whole_number("Image number", 0, 999, 0, "guided_image", help=about)
        percent = session.bind(
            st.select_slider, "Noise 1 − ᾱₜ to start from", LEVELS, 80, "{} %".format, key="edit_noise",
            help="With little noise the image stays as it is; with much of it the class decides everything.",
        )  # fmt: skip
    method = image_compute.methods(asked.ref)[0]
    original = _original(asked.ref, number)
    with working("Bringing the image back …"):
        levels = _levels(asked, method, number)
    found = next(level for level in levels if level.percent == percent)
    y = session.plain(asked.target.words(checkpoints.class_names(loaded)))
    pictures = [stages.grey_levels(spec, image) for image in (original.numpy(), found.noised, *found.x)]
    st.markdown(f"**From the original to {y}** · {METHODS[method]}, γ = {asked.target.strength:g}")
    labels = ["original", f"x⁽ᵗ⁾, t = {found.t}", *(f"draw {i + 1}" for i in range(DRAWS))]
    rows.show_row(rows.row(np.stack(pictures)), labels, f"The original, its noised state, and {DRAWS} images brought back as {y}")
    st.markdown("**How much survives**")
    st.altair_chart(_chart(levels, percent, session.is_dark()))
    st.caption(
        f"For each noise level, {DRAWS} draws: the correlation of their pixels with the original, and the mean probability that the "
        "classifier gives to the class. Where both are high, stroke and slant of the original are still there, and the class is new."
    )
    table = {name: [getattr(level, name) for level in levels] for name in ("percent", "t", "correlation", "certainty")}
    arrays = {"original": original.numpy(), "x": np.stack([level.x for level in levels])}
    return Export("dpm-guide-edit", _python(asked, method, number, found.t), arrays, table)


@st.cache_data(max_entries=64, show_spinner=False)
def _original(ref: cache.ModelRef, number: int) -> Tensor:
    """A held-out image ``[C, H, W]``; where the data are not on this machine, an unconditional sample. Raises DataError."""
    loaded = cache.model(ref)
    try:
        data = dataset(ImageSource.of_checkpoint(loaded))
    except DataError:
        return _sampled(ref, number)
    pixels = data.pixels(data.sample_held_out(1, torch.Generator().manual_seed(ORIGINALS + number)))
    return spec_of_checkpoint(loaded).standardise(pixels)[0]


def _sampled(ref: cache.ModelRef, number: int) -> Tensor:
    loaded = cache.model(ref)
    x_T = torch.randn(1, *loaded.shape, generator=torch.Generator().manual_seed(ORIGINALS + number))
    *_, last = image_compute.SAMPLERS["ddim"](loaded.model, loaded.diffusion, x_T, steps=min(50, loaded.diffusion.T))
    x: Tensor = last.x[0]
    return x


@st.cache_data(max_entries=16, show_spinner=False)
def _levels(asked: Question, method: str, number: int) -> list[Level]:
    loaded, original = cache.model(asked.ref), _original(asked.ref, number)
    noise, found = loaded.diffusion.schedule.noise(torch.arange(loaded.diffusion.T + 1)), []
    reader = image_compute.classifier(asked.ref)
    for percent in LEVELS:
        t = max(1, int((noise - percent / 100).abs().argmin()))
        x = image_compute.back_from(asked, method, original, t, DRAWS)
        noised = loaded.diffusion.q_sample(original[None], t, torch.Generator().manual_seed(asked.seed))[0]
        sure = None if reader is None else image_compute.certainty(reader, x, 0, asked.target)
        found.append(Level(percent, t, noised.numpy(), x.numpy(), _correlation(original, x), sure))
    return found


def _correlation(original: Tensor, x: Tensor) -> float:
    """The mean correlation of the pixels of x ``[n, ...]`` with those of the original."""
    a, b = (v - v.mean(1, keepdim=True) for v in (original.flatten()[None].double(), x.flatten(1).double()))
    return float(((a * b).sum(1) / (a.norm() * b.norm(dim=1)).clamp(min=1e-12)).mean())


def _chart(levels: list[Level], percent: int, dark: bool) -> Layered:
    """Correlation with the original and the probability of the class, against the noise."""
    names = ("correlation with the original", "mean p(y|x)")
    values: list[dict[str, Any]] = [{"noise": level.percent, "value": level.correlation, "what": names[0]} for level in levels]
    values += [{"noise": level.percent, "value": level.certainty, "what": names[1]} for level in levels if level.certainty is not None]
    scale = alt.Scale(domain=list(names), range=[look.dark if dark else look.light for look in (DATA, MODEL)])
    lowest = min(0.0, *(row["value"] for row in values))
    inside = alt.Scale(domain=[25, 100], nice=False)
    across = alt.X("noise:Q", title="noise variance 1 − ᾱₜ in per cent", scale=inside, axis=alt.Axis(grid=False, values=list(LEVELS)))
    base = alt.Chart(alt.Data(values=values)).encode(
        across,
        alt.Y("value:Q", title=None, scale=alt.Scale(domain=[lowest, 1.02], nice=False), axis=alt.Axis(tickCount=5)),
        alt.Color("what:N", scale=scale, sort=None, legend=alt.Legend(title=None, orient="top", labelLimit=260, symbolType="stroke")),
    )
    tip = [alt.Tooltip("what:N"), alt.Tooltip("noise:Q"), alt.Tooltip("value:Q", format=".2f")]
    here = alt.Chart(alt.Data(values=[{"noise": percent}])).mark_rule(strokeDash=[4, 3], opacity=0.5).encode(across)
    return alt.layer(here, base.mark_line(strokeWidth=2), base.mark_point(size=40, filled=True).encode(tooltip=tip)).properties(height=220)


def _python(asked: Question, method: str, number: int, t: int) -> str:
    """The Python that brings one image back."""
    strength = asked.target.strength
    kernel = f"loaded.model.given(y, {strength - 1:g})" if method == "free" else "loaded.model"
    factor = "None" if method == "free" else f"ClassFactor(checkpoints.classifier_for(loaded), y, {strength:g})"
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.data import sources
from dpm_core.guidance import ClassFactor
from dpm_core.samplers import timesteps, walk

loaded = checkpoints.load({asked.ref.name!r})
images = sources.of_checkpoint(loaded.dataset, loaded.config.data)
x0 = images.standardise(images.pixels(images.sample_held_out(1, torch.Generator().manual_seed({ORIGINALS + number}))))
y, t, noise = {asked.target.python()}, {t}, torch.Generator().manual_seed({asked.seed})
xt = loaded.diffusion.q_sample(x0.expand({DRAWS}, *loaded.shape), t, noise)
times = [t, *(s for s in timesteps(loaded.diffusion.T, {asked.steps}) if s < t)]
*_, last = walk({kernel}, loaded.diffusion, xt, times, factor={factor}, generator=noise)
print(last.x.shape)
"""
