"""Bound: where every bit goes."""

import streamlit as st

from dpm_core.checkpoints import CheckpointError
from pages.ui import page
from pages.ui.bound import subjects, views
from pages.ui.components import paper_tables
from pages.ui.controls import widgets
from pages.ui.training import session_runs

POLL = 3.0  # seconds between two looks at a run in training

page.open_page("Bound", "How much a model knows of its data, and where every bit that it lacks was lost.")
try:
    with st.sidebar:
        subject = subjects.choose()
        seed = widgets.seed()
except (CheckpointError, OSError, ValueError) as error:
    st.error(str(error))
    st.stop()


def bits() -> None:
    """Everything of one subject; of a run in training, as it is by now."""
    now = subjects.as_it_is_now(subject)
    try:
        if now.images:
            views.whole_bits(now, subjects.image_estimate(now, seed))
            return
        found = subjects.split(now, seed)
    except ValueError as error:
        st.error(str(error))
        return
    views.cards(found, now)
    views.budget_charts(now, found, seed)


job = session_runs.find(subject.job) if subject.job else None
with page.working("Counting bits …"):
    subjects.prepare(subject, seed)
    if not subject.images and not subject.job:
        views.stage(subject, seed)
st.fragment(bits, run_every=POLL if session_runs.pace(job) else None)()
if not subject.images and not subject.bits:
    views.entropy_section(subject.source, subject.schedule)
paper_tables.show(
    "Table 1 of the paper, and what ships here",
    ["points", "bits", "pixels"],
    "All data are scaled to variance 1. The paper does not say how noisy its swiss roll was, and K depends on that most. Images are grey "
    "levels plus uniform noise of one level, 32 × 32, so bits are those of this preprocessing; brick stands in for bark. Heartbeats are "
    "bits already.",
)
page.take_along("dpm-bound", subjects.python(subject, seed), *subjects.table(subject, seed))
