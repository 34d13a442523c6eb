"""The Likelihood page with images: K of every single held-out image, and of the same image made wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import altair as alt
import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.data.sources import of_checkpoint
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.figures.budget_charts import ROLES
from dpm_core.measure.bound import estimate_bound
from pages.ui import cache
from pages.ui.bound import subjects
from pages.ui.bound.compute import Subject
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number
from pages.ui.controls import widgets
from pages.ui.kinds.images import picture_rows

IMAGES, PAIRS = 16, 48  # held-out images, and times of each at which its KL is looked at


def _shuffled(images: Tensor) -> Tensor:
    """The pixels of every image in the same random order."""
    order = torch.randperm(images[0, 0].numel(), generator=torch.Generator().manual_seed(5))
    return images.flatten(2)[:, :, order].view_as(images)


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "As they are": lambda images: images,
    "Upside down": lambda images: images.flip(2),
    "Inverted": lambda images: 255 - images,
    "Pixels shuffled": _shuffled,
}


class Judged(NamedTuple):
    """Grey levels ``[n, C, H, W]`` uint8, and K of each with its standard error in bits per pixel ``[n]``."""

    images: np.ndarray
    bits: np.ndarray
    errors: np.ndarray


@st.cache_data(max_entries=32, show_spinner=False)
def judged(ref: cache.ModelRef, way: str, seed: int) -> Judged:
    """K of each of the held-out images, changed in one of the WAYS. Raises DataError where there are none at hand.

    The noise and the times are the same for every image and every way, so that differences are the images'.
    """
    loaded = cache.model(ref)
    dataset = of_checkpoint(loaded.dataset, loaded.config.data)
    assert not isinstance(dataset, PlaneDataset)
    images = WAYS[way](dataset.pixels(dataset.sample_held_out(IMAGES, torch.Generator().manual_seed(seed))))
    found = []
    for image in images:
        noise = torch.Generator().manual_seed(seed + 1)
        draws = dataset.standardise(image.expand(PAIRS, *image.shape), noise)  # each with its own noise within a level
        found.append(estimate_bound(loaded.model, loaded.diffusion, draws, noise, chunk=PAIRS))
    bits = np.array([[one.bound_bits, one.standard_error_bits] for one in found]) / math.prod(dataset.shape[1:])
    return Judged(images.numpy(), bits[:, 0], bits[:, 1])


def prepare(subject: Subject, seed: int) -> None:
    """Do the slow work before anything is drawn. Raises DataError."""
    for way in WAYS:
        judged(subject.ref, way, seed)


def show(subject: Subject, seed: int) -> None:
    """Cards, every image's K in a chart, and the images themselves in its order."""
    found = {way: judged(subject.ref, way, seed) for way in WAYS}
    own = found["As they are"].bits
    number_cards.show(
        [
            (way, f"{number(float(one.bits.mean()))} bits", "per pixel, held out" if one.bits is own else _lower(own, one.bits))
            for way, one in found.items()
        ]
    )
    st.altair_chart(_chart(found), key="image_likelihoods")
    way = widgets.linked(st.segmented_control, "Shown", list(WAYS), default="As they are", key="way", required=True)
    images, bits, errors = found[way]
    order = np.argsort(-bits)
    st.markdown("**From the one it expects most to the one that surprises it most**, bits per pixel")
    for part in np.array_split(order, 2):
        seen = images[part, 0] if images.shape[1] == 1 else images[part].transpose(0, 2, 3, 1)
        labels = [number(float(bits[i])) for i in part]
        picture_rows.show_row(picture_rows.row(seen), labels, f"Images with K = {', '.join(labels)} bits per pixel")
    st.caption(
        f"K of each image from {PAIRS} of its steps, ± {float(np.median(errors)):.2g}; it bounds log p of this image from below. "
        "Plain images with large even areas are likely ones, whatever they show: the likelihood is paid pixel by pixel."
    )


def _lower(own: np.ndarray, changed: np.ndarray) -> str:
    fewer = int((changed < own).sum())
    return f"lower than as it is for {fewer} of {len(own)}"


def _chart(found: dict[str, Judged]) -> alt.Chart:
    rows = [
        {"way": way, "bits": float(value), "role": "data" if way == "As they are" else "noise"}
        for way, one in found.items() for value in one.bits
    ]  # fmt: skip
    dark = st.context.theme.type == "dark"
    inks = [ROLES[role].dark if dark else ROLES[role].light for role in ("data", "noise")]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_tick(thickness=2.5, height=20)
        .encode(
            alt.X("bits:Q", title="K of one image, bits per pixel", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=7)),
            alt.Y("way:N", title=None, sort=list(WAYS), axis=alt.Axis(ticks=False, domain=False, labelLimit=150)),
            alt.Color("role:N", scale=alt.Scale(domain=["data", "noise"], range=inks), legend=None),
            tooltip=["way:N", alt.Tooltip("bits:Q", format=".2f")],
        )
        .properties(height=190)
    )


def table(subject: Subject, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """K of every image in every way, in bits per pixel; the images themselves in the arrays."""
    found = {way.lower().replace(" ", "_"): judged(subject.ref, way, seed) for way in WAYS}
    columns = {f"{way}_bits": one.bits for way, one in found.items()} | {f"{way}_error": one.errors for way, one in found.items()}
    images = {f"{way}_images": one.images for way, one in found.items()}
    return columns | images, {name: values.tolist() for name, values in columns.items()}


def python(subject: Subject, seed: int) -> str:
    """The Python that makes K of one image."""
    pixels = math.prod(cache.model(subject.ref).shape[1:])
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.measure.bound import estimate_bound
from dpm_core.data.sources import of_checkpoint

loaded = checkpoints.load({subjects.file_name(subject)!r})
data = of_checkpoint(loaded.dataset, loaded.config.data)
images = data.pixels(data.sample_held_out({IMAGES}, torch.Generator().manual_seed({seed})))
for image in images:
    noise = torch.Generator().manual_seed({seed + 1})
    found = estimate_bound(loaded.model, loaded.diffusion, data.standardise(image.expand({PAIRS}, *image.shape), noise), noise)
    print(found.bound_bits / {pixels}, found.standard_error_bits / {pixels})
"""
