"""Bound: where every bit goes."""

import streamlit as st

from dpm_core.checkpoints import CheckpointError
from pages.shared import bound_subject, bound_view, controls, frame, paper_tables, training_runs

POLL = 3.0  # seconds between two looks at a run in training

frame.open_page("Bound", "How much a model knows of its data, and where every bit that it lacks was lost.")
try:
    with st.sidebar:
        subject = bound_subject.choose()
        seed = controls.seed()
except (CheckpointError, OSError, ValueError) as error:
    st.error(str(error))
    st.stop()


def bits() -> None:
    """Everything of one subject; of a run in training, as it is by now."""
    now = bound_subject.as_it_is_now(subject)
    try:
        if now.images:
            bound_view.whole_bits(now, bound_subject.image_estimate(now, seed))
            return
        found = bound_subject.split(now, seed)
    except ValueError as error:
        st.error(str(error))
        return
    bound_view.cards(found, now)
    bound_view.budget_charts(now, found, seed)


job = training_runs.find(subject.job) if subject.job else None
with frame.working("Counting bits …"):
    bound_subject.prepare(subject, seed)
    if not subject.images and not subject.job:
        bound_view.stage(subject, seed)
st.fragment(bits, run_every=POLL if training_runs.pace(job) else None)()
if not subject.images and not subject.bits:
    bound_view.entropy_section(subject.source, subject.schedule)
paper_tables.show(
    "Table 1 of the paper, and what ships here",
    ["points", "bits", "pixels"],
    "All data are scaled to variance 1. The paper does not say how noisy its swiss roll was, and K depends on that most. Images are grey "
    "levels plus uniform noise of one level, 32 × 32, so bits are those of this preprocessing; brick stands in for bark. Heartbeats are "
    "bits already.",
)
frame.take_along("dpm-bound", bound_subject.python(subject, seed), *bound_subject.table(subject, seed))
