"""Checkpoints in menus: their titles, and the data they were trained on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import RunConfig, from_dict
from dpm_core.networks import NETWORKS
from pages.ui.cache import ModelRef

SHORT = {"multiscale": "multi-scale", "sigmoid": "sigmoid layers"}  # other networks are called by their titles; links hold these words


@st.cache_data(max_entries=256, show_spinner=False)
def _title(ref: ModelRef) -> str:
    path = Path(ref.path)
    try:
        header = checkpoints.read_header(path)
        config, data = from_dict(RunConfig, header["config"]), str(header["data"]["title"])
    except (ValueError, KeyError, TypeError):
        return f"{path.stem} (not readable)"
    name = config.network.name
    rbf = {"rbf": f"RBF, {dict(config.network.params).get('units', 16)} units"}
    network = (SHORT | rbf).get(name) or (NETWORKS[name].title if name in NETWORKS else name)
    if header.get("imported_from"):
        return f"{path.stem} · {network} · T = {config.schedule.T}"
    if config.network.classes:
        network += " by class"
    # shipped models are called DATA_NETWORK or DATA_classes_NETWORK; where more follows, another has the same. Links hold these titles.
    rest = path.stem.removeprefix(f"{config.data.name}_").removeprefix("classes_")
    usual = path.parent == checkpoints.SHIPPED and "_" not in rest
    own = "" if usual else f" · {path.stem}"
    return f"{data} · {network} · T = {config.schedule.T}{own}"


def model_title(path: Path) -> str:
    """A checkpoint in a menu: data, network, T; its file name when it is not readable. Raises OSError."""
    return _title(ModelRef.of(path))


def model_titles() -> dict[str, str]:
    """The titles of all checkpoints by name."""
    return {name: model_title(path) for name, path in checkpoints.list_checkpoints().items()}
