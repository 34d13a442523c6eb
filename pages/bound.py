"""Bound: the budget of bits."""

import streamlit as st

from pages.ui import page

page.open_page("bound")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from pages.ui import kinds
from pages.ui.bound import class_cards, models, views
from pages.ui.components import paper_tables
from pages.ui.components.export_row import export_row
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.kinds import runs

POLL = 3.0  # seconds between two updates of a run in training

with page.stop_on_error(CheckpointError, DataError, OSError), st.sidebar:
    model, seed = models.choose(), widgets.seed()
kind = kinds.of(model.source)


def budget() -> None:
    """The budget of the model; of a run in training at its present step."""
    now = models.current(model)
    with page.stop_on_error(ValueError):
        words, found = kind.bound_words(now.source), kind.budget(now, seed)
        if found is None:
            views.estimate(now, kind.bound_estimate(now, seed), words)
            return
        views.cards(found, now, words)
        views.budget_charts(now, found, words, seed)


with working("Computing the budget …"):
    models.prepare(model, seed)
job = runs.find(model.run_id) if model.run_id else None
st.fragment(budget, run_every=POLL if runs.pace(job) else None)()
if class_cards.is_class_conditional(model):
    with st.spinner("Measuring K given the class …"):
        class_cards.show(model, seed, kind.bound_words(model.source))
if kind.has_entropy_bounds:
    views.entropy_bounds(model.source, model.schedule)
paper_tables.show(
    "Table 1 of the paper, and the shipped models",
    ["points", "bits", "pixels"],
    "All data are scaled to variance 1. The paper does not state the noise of its swiss roll, on which K depends most. Images are grey "
    "levels plus uniform noise of one level, 32 × 32 pixels, so the bits are those of this preprocessing; the brick texture replaces the "
    "paper's bark. Heartbeats are bits, so nothing is added.",
)
export_row(*models.export(model, seed))
