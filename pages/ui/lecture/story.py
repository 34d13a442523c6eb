"""The paper's argument in six pictures, each computed from the shipped swiss roll."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from dpm_core.figures import rasters
from dpm_core.figures.palette import DATA, EXACT, MODEL, NOISE, Role
from dpm_core.samplers import ancestral, record
from pages.ui import cache, session

CAPTIONS = (
    "Data: a drop of dye in water, still in its shape.",
    "It spreads in small random steps. Structure is lost, the fine lines first.",
    "In the end it is noise, and every start looks the same.",
    "Look closely at one step: seen backward it is again a small Gaussian jump.",
    "So a network only has to learn, for every place and time, that jump's mean and width.",
    "Walk back from noise by those jumps and the data returns.",
)
_TILE = 220


@st.cache_data(max_entries=4, show_spinner=False)
def html(ref: cache.ModelRef, dark: bool) -> str:
    """Six captioned pictures in a grid that wraps on narrow screens."""
    figures = "".join(
        f'<figure style="margin:0"><img src="{session.data_uri(picture)}" alt="" style="width:100%;display:block">'
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


def _one_step_back(loaded, t: int) -> np.ndarray:
    """Draws of x⁽ᵗ⁻¹⁾ given one x⁽ᵗ⁾ by weighing fresh data with Bayes: no Gaussian is assumed."""
    noise = torch.Generator().manual_seed(3)
    x0 = loaded.dataset.sample(200_000, noise)
    before = loaded.diffusion.q_sample(x0, t - 1, noise)
    here = loaded.diffusion.q_step(before[:1], t).mean
    weights = loaded.diffusion.q_step(before, t).log_prob(here).sum(1).exp()
    return (before[torch.multinomial(weights, 1500, generator=noise)] - here).numpy()


def _tile(points: np.ndarray, role: Role, dark: bool, limit: float = 2.7) -> bytes:
    return rasters.png(rasters.scatter_image(points, _TILE, role.dark if dark else role.light, limit=limit))
