"""The class that a class-conditional model is given, and the strength of classifier-free guidance, for every page with a model."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dpm_core import checkpoints
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.controls.widgets import choose

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
NO_CLASS = "none"


def guidance_strength(default: float = 1.0) -> float:
    """The exponent γ of p(y|x), from a slider."""
    session.follow_default("strength", default)
    return float(
        session.bind(
            st.select_slider,
            "Guidance strength γ",
            STRENGTHS,
            default,
            "{:g}".format,
            key="strength",
            help="Exponent of p(y|x). γ = 1 asks for p(x|y), γ = 0 for p(x). Classifier-free guidance with weight w has γ = 1 + w.",
        )
    )


def given_class(ref: ModelRef) -> ModelRef:
    """The model, given a class where it is class-conditional and one is chosen. Raises CheckpointError."""
    loaded = cache.model(ref)
    if not loaded.config.network.classes:
        return ref
    titles = {NO_CLASS: "None: all classes"} | {f"y{label}": name for label, name in enumerate(checkpoints.class_names(loaded))}
    label = choose(
        "Class y", titles, f"class_of_{len(titles) - 1}", help="The network was trained with labels; without one it models p(x)."
    )
    if label == NO_CLASS:
        return ref
    return replace(ref, label=int(label.removeprefix("y")), guidance=guidance_strength() - 1)
