"""Links of earlier versions: option titles that have changed since, by query parameter."""

from __future__ import annotations

import streamlit as st

from pages.ui.session.streamlit_link import seed

_LOSSES = {"The bound, −K": "Bound, −K"}
_FILLERS = {
    "Its own patches: nothing to train": "Patches of this picture (no training)",
    "A network of this picture, trained here": "Network trained on this picture",
    "Its own patches and that network": "Patches and a network trained on this picture",
}
FORMER_TITLES: dict[str, dict[str, str]] = {
    "bits_of": {"No network: the best there is": "Exact kernel, no network"},
    "denoise_rule": {
        "Start at the same noise": "Start at the matching noise level",
        "r(x⁽ᵗ⁾) held constant (the paper)": "r constant in t (paper)",
        "r(x⁽ᵗ⁾) annealed": "r annealed",
    },
    "device": {"Processor": "CPU", "Automatic: processor": "Automatic: CPU"},
    "filler_large": _FILLERS,
    "filler_small": _FILLERS,
    "loss": _LOSSES,
    "loss_bits": _LOSSES,
    "loss_images": _LOSSES,
    "picture_name": {"Your own picture": "Upload a picture"},
    "r": {"One coordinate known": "Known coordinate", "Paint your own": "Painted"},
    "r_axis": {"x₁, across": "x₁ (horizontal)", "x₂, up": "x₂ (vertical)"},
    "rho": {"As active as the data": "Mean of the data", "Half of all bits": "One half"},
    "stop_by": {
        "After so many steps": "After a number of steps",
        "Never: until stopped": "Only when stopped",
    },
    "view": {
        "Samplers, side by side": "Compare samplers",
        "Numbers of steps": "Compare numbers of steps",
        "Models of these images": "Compare models",
    },
    "way": {"As they are": "Original"},
}


def translate() -> None:
    """Replace the former titles in the address, before any widget reads it."""
    for key, titles in FORMER_TITLES.items():
        if (asked := st.query_params.get(key)) in titles:
            seed(key, titles[asked])
