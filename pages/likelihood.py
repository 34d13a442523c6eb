"""Likelihood: how probable is this very point? Five answers."""

import streamlit as st

from dpm_core.checkpoints import CheckpointError
from pages.ui import cache, page
from pages.ui.bound import compute
from pages.ui.components import paper_tables
from pages.ui.controls import widgets
from pages.ui.kinds.bits import likelihood_bits
from pages.ui.kinds.images import likelihood_images
from pages.ui.kinds.points import likelihood_view

page.open_page(
    "Likelihood",
    "K bounds the log likelihood from below. How far below? Trajectories, weighed rightly, tell.",
)
try:
    with st.sidebar:
        subject = likelihood_view.choose()
        seed = widgets.seed()
    ref, source, schedule = subject.ref, subject.source, subject.schedule
except (CheckpointError, OSError, ValueError) as error:
    st.error(str(error))
    st.stop()


@st.fragment
def one_point() -> None:
    """The plane, the point looked at, and what is said of it."""
    likelihood_view.look_where_clicked()
    at = likelihood_view.point(source)
    left, right = st.columns([0.45, 0.55], gap="large")
    with right:
        if (typed := likelihood_view.typed(at)) != at:
            likelihood_view.move(at := typed)
        found = likelihood_view.opinions(ref, source, at, seed)
        likelihood_view.cards(found)
        likelihood_view.convergence(found)
    with left:
        likelihood_view.plane_map(ref, source, schedule.T, at)


def plane() -> None:
    """Of a model in the plane: everything."""
    with page.working("Carrying p down the chain …"):
        likelihood_view.prepare(ref, source, schedule, seed)
    if schedule.T > compute.LONGEST:
        st.caption(f"A chain of {schedule.T:,} steps is too long for quadrature here: the map shows the data's own density.")
    one_point()
    likelihood_view.crooks(ref, source, seed)
    likelihood_view.quasi_static(source, schedule)


def others() -> None:
    """Of a model of images, K of every single one; of sequences of bits, log p of any of them."""
    with page.working("Judging images …" if pictures else "Following trajectories …"):
        view.prepare(subject, seed)
    if pictures:
        view.show(subject, seed)
    else:
        st.fragment(view.show)(subject, seed)


try:
    pictures = subject.images or (subject.bits and len(cache.bits(source).shape) > 1)
    view = likelihood_images if pictures else likelihood_bits
    if pictures or subject.bits:
        others()
    else:
        plane()
except ValueError as error:  # images that are not on this machine
    st.error(str(error))
    st.stop()
paper_tables.show(
    "Table 2 of the paper: MNIST by Parzen windows",
    ["digits"],
    "Windows around samples say more of the windows than of the model, as training images used as samples show; pixels lie in [0, 1].",
)
if pictures or subject.bits:
    page.take_along("dpm-likelihood", view.python(subject, seed), *view.table(subject, seed))
else:
    at = likelihood_view.point(source)
    page.take_along("dpm-likelihood", likelihood_view.python(at, seed, ref), *likelihood_view.table(ref, source, at, seed))
