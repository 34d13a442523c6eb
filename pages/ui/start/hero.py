"""The animation on the Start page: particles of a checkpoint on their way from noise to data and back."""

from __future__ import annotations

import streamlit as st
import torch

from dpm_core.samplers import SAMPLERS, record
from pages.ui import cache
from pages.ui.components.player import Panel, Stage, pack
from pages.ui.kinds.points import stages

PARTICLES = 4000


@st.cache_data(max_entries=16, show_spinner=False)
def payload(ref: cache.ModelRef) -> bytes:
    """The packed stage. Raises CheckpointError."""
    loaded = cache.model(ref)
    x_T = torch.randn(PARTICLES, 2, generator=torch.Generator().manual_seed(4))
    T = loaded.diffusion.T
    path = record(SAMPLERS["probability_flow"](loaded.model, loaded.diffusion, x_T, steps=T), T + 1)
    panel = Panel("roll", "learned model", "model", path.x, "swiss roll, probability flow")
    return pack(
        Stage(
            (panel,), path.times.tolist(), T, stages.LO, stages.HI, duration=6.0, autoplay=True, loop=True, direction="pingpong",
            colour="position", height="hero", name="dpm-roll", start=T,
        )
    )  # fmt: skip
