"""K given the class, and the information of the class, of a class-conditional model."""

from __future__ import annotations

import math

import streamlit as st
import torch

from dpm_core.data.kinds import DATA_KINDS
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.class_bound import ClassBound, class_bound
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.kinds.records import BoundWords, Model

PAIRS, AT_EVERY_TIME = 512, 600  # data: each at one time; each at every time


def is_class_conditional(model: Model) -> bool:
    """Whether the page shows K with and without the class: for a checkpoint with labels of which none is chosen."""
    return model.ref is not None and model.ref.label is None and cache.model(model.ref).config.network.classes > 0


@st.cache_data(max_entries=16, show_spinner=False)
def measured(ref: ModelRef, seed: int) -> tuple[ClassBound, float, float | None]:
    """K with and without the class on held-out data, H(y) of these in bits, and the exact I(x; y) in bits where it is known.

    Raises DataError where the data or their labels are not on this machine.
    """
    loaded, data = cache.model(ref), cache.data_of(ref)
    kind = DATA_KINDS[data.kind]
    every_time = kind.held_out(data).every_time
    x0, y = data.labelled(AT_EVERY_TIME if every_time else PAIRS, torch.Generator().manual_seed(seed), held_out=True)
    classes = loaded.config.network.classes
    found = class_bound(loaded.model.given, loaded.model, loaded.diffusion, x0, y, classes, seed, every_time)
    share = torch.bincount(y, minlength=classes).double() / len(y)
    exact = kind.class_information(data)
    return found, float(torch.special.entr(share).sum()) / NATS_PER_BIT, None if exact is None else exact / NATS_PER_BIT


def show(model: Model, seed: int, words: BoundWords) -> None:
    """The cards, in one row; one sentence where it cannot be measured."""
    try:
        found, entropy, exact = measured(model.checkpoint, seed)
    except ValueError as problem:  # without labels, or with too few data of every class
        st.caption(session.plain(f"K given the class is not measured: {problem}"))
        return
    given, without = (value / words.divisor for value in (found.given_y_bits, found.unconditional_bits))
    error = found.given_y_standard_error_bits / words.divisor
    limit = f"at most H(y) = {number(entropy)} bits" if exact is None else f"exact, by quadrature: {number(exact, 3)} bits"
    digits = 2 if math.isclose(words.divisor, 1) else 3
    st.markdown("**What the class tells about the data**")
    number_cards.show(
        [
            ("K given the class y", f"{number(given, digits)} bits", f"{plus_minus(error)}, {words.unit}, mean over the classes"),
            ("K without the class", f"{number(without, digits)} bits", f"{words.unit}, same data and noise"),
            ("Information I(x; y) ≈ K given y − K", f"{number(found.information_bits)} bits",
             f"{plus_minus(found.information_standard_error_bits)} per datum; {limit}"),
        ]
    )  # fmt: skip
