"""The menus of data sets and of models, over all kinds of data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dpm_core import checkpoints
from pages.ui import cache, kinds, session
from pages.ui.cache import ModelRef
from pages.ui.controls.class_label import given_class
from pages.ui.controls.model_titles import model_titles
from pages.ui.controls.widgets import choose
from pages.ui.kinds.records import Model

NO_NETWORK = "exact"
DEFAULT_MODEL = "swiss_roll_mlp"


def choose_source(default: str = "swiss_roll", whole: bool = False, exact: bool = False, only: kinds.Kind | None = None) -> Any:
    """A data set, from controls, of one kind or of any. ``whole``: a person's picture is taken uncut. ``exact``: only data whose
    exact reverse kernel can be computed. Raises DataError."""
    name = choose("Data", only.titles() if only else kinds.titles(exact), "data", default)
    return kinds.owner(name).source_controls(name, whole)


def choose_model(key: str, exact: bool = False, extra: dict[str, str] | None = None, accepts: Callable[[Path], bool] | None = None) -> str:
    """The name of a checkpoint from a menu; also NO_NETWORK with ``exact``, and the names of ``extra``, which stand first."""
    titles = (extra or {}) | model_titles()
    if exact:
        titles[NO_NETWORK] = "Exact kernel, no network"
    if (asked := session.asked_in_link(key)) not in (None, *titles, *titles.values()):
        session.complain(f"There is no model {asked!r}; another one is shown.")
    return choose("Model", titles, key, DEFAULT_MODEL if DEFAULT_MODEL in titles else None)


def model_of(name: str, T: int | None = None) -> Model:
    """The model that a name in the menu stands for. Without a network, data and schedule come from controls; ``T`` is then the number
    of steps unless chosen. Raises CheckpointError, OSError, and DataError where the data of a checkpoint are not available."""
    if name == NO_NETWORK:
        source = choose_source(exact=True)
        return Model("Exact kernel", None, source, kinds.of(source).schedule_controls(source, T))
    path = checkpoints.list_checkpoints()[name]
    ref = ModelRef.of(path)
    loaded = cache.model(ref)
    kind = kinds.of_data(loaded.config.data.name)
    source, ref = kind.source_of_checkpoint(loaded), given_class(ref)
    if ref.label is not None:
        source = kind.source_of_class(source, ref.label)
    return Model(model_titles()[name], ref, source, loaded.config.schedule)


def fallback() -> Model:
    """What is shown in place of a model that cannot be read: the exact kernel of the swiss roll."""
    with st.sidebar:
        source = kinds.owner("swiss_roll").source_controls("swiss_roll")
    return Model("Exact kernel", None, source, kinds.of(source).schedule_controls(source))
