"""The Bound page with points: the player above the bars."""

from __future__ import annotations

import streamlit as st

from pages.ui.components.player import Panel, Stage, pack
from pages.ui.controls.sampler import SamplerConfig
from pages.ui.kinds.points import reverse, stages
from pages.ui.kinds.records import Model

PARTICLES = 1500


@st.cache_data(max_entries=8, show_spinner=False)
def stage(model: Model, seed: int, clock: str) -> bytes:
    """Data diffused to t beside samples at t; the bars of the page set t under the name ``clock``."""
    how = SamplerConfig("ancestral", None, 0.0, PARTICLES, seed)
    back = reverse.reverse(model.ref, model.source, model.schedule, how).left
    data = reverse.forward_marginals(model.source, model.schedule, how, back)
    title, role = ("samples of the learned model", "model") if model.ref else ("exact Gaussian steps", "exact")
    panels = (Panel("data", "data, diffused to t", "data", data.x), Panel("back", title, role, back.x))
    times = [int(t) for t in back.times]
    return pack(Stage(panels, times, model.schedule.T, stages.LO, stages.HI, height="hero", name="dpm-bound", clock=clock, start=0))
