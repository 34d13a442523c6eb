"""Bound: where every bit goes."""

import streamlit as st

from dpm_core.checkpoint import CheckpointError
from pages.shared import bound_view, controls, frame, training_runs

POLL = 3.0  # seconds between two looks at a run in training

frame.open_page("Bound", "How much a model knows of its data, and where every bit that it lacks was lost.")
try:
    with st.sidebar:
        subject = bound_view.choose()
        seed = controls.seed()
except (CheckpointError, OSError, ValueError) as error:
    st.error(str(error))
    st.stop()


def bits() -> None:
    """Everything of one subject; of a run in training, as it is by now."""
    now = bound_view.as_it_is_now(subject)
    try:
        if now.images:
            bound_view.image_bits(now, bound_view.image_estimate(now, seed))
            return
        found = bound_view.plane_budget(now, seed)
    except ValueError as error:
        st.error(str(error))
        return
    bound_view.cards(found)
    bound_view.budget_charts(now, found)


job = training_runs.find(subject.job) if subject.job else None
with frame.working("Counting bits …"):
    bound_view.prepare(subject, seed)
st.fragment(bits, run_every=POLL if training_runs.pace(job) else None)()
if not subject.images:
    bound_view.entropy_section(subject.source, subject.schedule)
bound_view.paper_table()
frame.take_along("dpm-bound", bound_view.python(subject, seed), *bound_view.table(subject, seed))
