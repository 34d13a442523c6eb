"""The Likelihood page with images: K of single held-out images, and of the same images altered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import altair as alt
import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.figures.budget_charts import ROLES
from dpm_core.measure.bound import estimate_bound
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.working import working
from pages.ui.kinds.images import rows
from pages.ui.kinds.records import Export, Model

IMAGES, PAIRS = 16, 48  # held-out images, and times of each at which its KL term is evaluated


def _shuffled(images: Tensor) -> Tensor:
    """The pixels of every image in the same random order."""
    order = torch.randperm(images[0, 0].numel(), generator=torch.Generator().manual_seed(5))
    return images.flatten(2)[:, :, order].view_as(images)


ALTERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Original": lambda images: images,
    "Upside down": lambda images: images.flip(2),
    "Inverted": lambda images: 255 - images,
    "Pixels shuffled": _shuffled,
}


class ImageBounds(NamedTuple):
    """Grey levels ``[n, C, H, W]`` uint8, and K of each with its standard error in bits per pixel ``[n]``."""

    images: np.ndarray
    bits: np.ndarray
    errors: np.ndarray


@st.cache_data(max_entries=32, show_spinner=False)
def bounds(ref: ModelRef, alteration: str, seed: int) -> ImageBounds:
    """K of each held-out image after one of the ALTERATIONS. Raises DataError where the images are not available.

    The noise and the times are the same for every image and alteration, so that differences come from the images.
    """
    loaded = cache.model(ref)
    dataset = cache.data_of(ref)
    images = ALTERATIONS[alteration](dataset.pixels(dataset.sample_held_out(IMAGES, torch.Generator().manual_seed(seed))))
    found = []
    for image in images:
        noise = torch.Generator().manual_seed(seed + 1)
        draws = dataset.standardise(image.expand(PAIRS, *image.shape), noise)  # each with its own noise within a level
        found.append(estimate_bound(loaded.model, loaded.diffusion, draws, noise, chunk=PAIRS))
    bits = np.array([[one.bound_bits, one.standard_error_bits] for one in found]) / math.prod(dataset.shape[1:])
    return ImageBounds(images.numpy(), bits[:, 0], bits[:, 1])


def show(model: Model, seed: int) -> Export:
    """Cards, every image's K in a chart, and the images sorted by K. Raises DataError."""
    with working("Computing K of each image …"):
        found = {alteration: bounds(model.checkpoint, alteration, seed) for alteration in ALTERATIONS}
    own = found["Original"].bits
    number_cards.show(
        [
            (title, f"{number(float(one.bits.mean()))} bits", "per pixel, held-out images" if one.bits is own else _lower(own, one.bits))
            for title, one in found.items()
        ]
    )
    st.altair_chart(_chart(found), key="image_likelihoods")
    shown = session.bind(st.segmented_control, "Shown", list(ALTERATIONS), default="Original", key="way", required=True)
    images, bits, errors = found[shown]
    order = np.argsort(-bits)
    st.markdown("**Images sorted by K**, largest first, in bits per pixel")
    for part in np.array_split(order, 2):
        levels = images[part, 0] if images.shape[1] == 1 else images[part].transpose(0, 2, 3, 1)
        labels = [number(float(bits[i])) for i in part]
        rows.show_row(rows.row(levels), labels, f"Images with K = {', '.join(labels)} bits per pixel")
    st.caption(
        f"K of each image, a lower bound on its log-likelihood, from {PAIRS} random times; {plus_minus(float(np.median(errors)))}. "
        "Images with large uniform areas have a high likelihood whatever they show, because the bound is a sum over pixels."
    )
    return _export(model, found, seed)


def _lower(own: np.ndarray, changed: np.ndarray) -> str:
    fewer = int((changed < own).sum())
    return f"lower than the original for {fewer} of {len(own)} images"


def _chart(found: dict[str, ImageBounds]) -> alt.Chart:
    rows = [
        {"alteration": title, "bits": float(value), "role": "data" if title == "Original" else "noise"}
        for title, one in found.items() for value in one.bits
    ]  # fmt: skip
    dark = session.is_dark()
    inks = [ROLES[role].dark if dark else ROLES[role].light for role in ("data", "noise")]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_tick(thickness=2.5, height=20)
        .encode(
            alt.X("bits:Q", title="K of one image, bits per pixel", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=7)),
            alt.Y("alteration:N", title=None, sort=list(ALTERATIONS), axis=alt.Axis(ticks=False, domain=False, labelLimit=150)),
            alt.Color("role:N", scale=alt.Scale(domain=["data", "noise"], range=inks), legend=None),
            tooltip=["alteration:N", alt.Tooltip("bits:Q", format=".2f")],
        )
        .properties(height=190)
    )


def _export(model: Model, found: dict[str, ImageBounds], seed: int) -> Export:
    """K of every image for every alteration, in bits per pixel; the images themselves in the arrays."""
    named = {title.lower().replace(" ", "_"): one for title, one in found.items()}
    columns = {f"{name}_bits": one.bits for name, one in named.items()} | {f"{name}_error": one.errors for name, one in named.items()}
    images = {f"{name}_images": one.images for name, one in named.items()}
    pixels = math.prod(cache.model(model.checkpoint).shape[1:])
    python = f"""import torch
from dpm_core import checkpoints
from dpm_core.data.sources import of_checkpoint
from dpm_core.measure.bound import estimate_bound

loaded = {model.checkpoint.python}
data = of_checkpoint(loaded.dataset, loaded.config.data){model.checkpoint.python_class}
images = data.pixels(data.sample_held_out({IMAGES}, torch.Generator().manual_seed({seed})))
for image in images:
    noise = torch.Generator().manual_seed({seed + 1})
    found = estimate_bound(loaded.model, loaded.diffusion, data.standardise(image.expand({PAIRS}, *image.shape), noise), noise)
    print(found.bound_bits / {pixels}, found.standard_error_bits / {pixels})
"""
    table = {name: values.tolist() for name, values in columns.items()}
    return Export("dpm-likelihood", python, columns | images, table)
