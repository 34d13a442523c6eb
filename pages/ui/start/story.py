"""The paper's argument in six pictures, each computed from the shipped swiss roll."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from dpm_core.checkpoints import Checkpoint
from dpm_core.figures import rasters
from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, Role
from dpm_core.samplers import ancestral, record
from pages.ui import cache
from pages.ui.components.data_uri import data_uri

CAPTIONS = (
    "The data: a swiss roll, like a drop of dye in water before it spreads.",
    "After some small random steps the fine structure is lost; the coarse shape is still visible.",
    "After T steps only noise remains: the distribution no longer depends on the data.",
    "A single step, seen backwards: where a particle was one step earlier is again nearly Gaussian.",
    "A network therefore only has to learn the mean and the variance of this Gaussian, at every place and time.",
    "Sampled step by step from noise, the learned reverse process returns to the data.",
)
_TILE = 220


@st.cache_data(max_entries=4, show_spinner=False)
def html(ref: cache.ModelRef, dark: bool) -> str:
    """Six captioned pictures in a grid that wraps on narrow screens."""
    figures = "".join(
        f'<figure style="margin:0"><img src="{data_uri(picture)}" alt="" style="width:100%;display:block">'
        f'<figcaption style="font-size:0.9rem;opacity:0.8">{i}. {caption}</figcaption></figure>'
        for i, (picture, caption) in enumerate(zip(_pictures(ref, dark), CAPTIONS), 1)
    )
    return f'<div style="display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1.2rem">{figures}</div>'


def _pictures(ref: cache.ModelRef, dark: bool) -> list[bytes]:
    loaded = cache.model(ref)
    process, data = loaded.diffusion, loaded.dataset
    x0 = data.sample(3000, torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    path = record(ancestral(loaded.model, process, (3000, 2), generator=noise), process.T + 1)
    back = dict(zip(path.times.tolist(), path.x))
    half = process.T // 2
    spread, gone = (process.q_sample(x0, t, noise).numpy() for t in (half - 4, process.T))
    return [
        _tile(x0.numpy(), DATA, dark),
        _tile(spread, DATA, dark),
        _tile(gone, NOISE, dark),
        _tile(_one_step_back(loaded, half - 6), EXACT, dark, 0.8),
        _tile(back[half - 4], MODEL, dark),
        _tile(back[0], MODEL, dark),
    ]


def _one_step_back(loaded: Checkpoint, t: int) -> np.ndarray:
    """Samples of x⁽ᵗ⁻¹⁾ − x⁽ᵗ⁾ given one x⁽ᵗ⁾, ``[1500, 2]``, by weighting new data with Bayes' rule: no Gaussian is assumed."""
    noise = torch.Generator().manual_seed(3)
    x0 = loaded.dataset.sample(200_000, noise)
    before = loaded.diffusion.q_sample(x0, t - 1, noise)
    here = loaded.diffusion.q_step(before[:1], t).mean
    weights = loaded.diffusion.q_step(before, t).log_prob(here).sum(1).exp()
    return (before[torch.multinomial(weights, 1500, generator=noise)] - here).numpy()


def _tile(points: np.ndarray, role: Role, dark: bool, limit: float = 2.7) -> bytes:
    return rasters.png(rasters.scatter_image(points, _TILE, role.dark if dark else role.light, limit=limit))
