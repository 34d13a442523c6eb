"""The sampler: which one, how many steps, and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from dpm_core.samplers import SAMPLERS
from pages.ui import session
from pages.ui.controls.widgets import choose

SAMPLER_TITLES = {name: sampler.title for name, sampler in SAMPLERS.items()}
STEPS_HELP = "Number of reverse steps. With fewer steps than T the sampler skips times."


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample: sampler, number of steps (None: all T), η of DDIM, number of samples, seed."""

    name: str = "ancestral"
    steps: int | None = None
    eta: float = 0.0
    n: int = 3000
    seed: int = 7

    @property
    def options(self) -> dict[str, Any]:
        """The options that this sampler takes."""
        return {option: getattr(self, option) for option in SAMPLERS[self.name].options}


def choose_sampler() -> str:
    """The name of a sampler."""
    return choose("Sampler", SAMPLER_TITLES, "sampler")


def steps_slider(T: int) -> int | None:
    """Number of sampler steps, at most T; None for all of them."""
    with st.container(key="steps"):
        steps = session.bind(st.slider, "Sampler steps", 1, T, T, key=f"steps_{T}", help=STEPS_HELP)
    return None if steps == T else steps


def steps_select(label: str, options: list[int], default: int, key: str) -> int:
    """Number of sampler steps, one of ``options``."""
    with st.container(key="steps"):
        return session.bind(st.select_slider, label, options, default, key=key, help=STEPS_HELP)


def eta(sampler: str) -> float:
    """DDIM's η; 0 for samplers that have none."""
    if "eta" not in SAMPLERS[sampler].options:
        return 0.0
    help = "Fresh noise per step: 0 is deterministic, 1 has the posterior variance of ancestral sampling."
    return session.bind(st.slider, "η of DDIM", 0.0, 1.0, 0.0, 0.05, key="eta", help=help)
