"""The Memory page with images: locality explains what a network draws from a noise."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from dpm_core.figures.palette import EXACT, MODEL, NOISE, Role
from pages.ui import cache, session
from pages.ui.components.player import Images, Stage, pack, player
from pages.ui.kinds.images.training import levels
from pages.ui.kinds.records import Export
from pages.ui.memory import image_compute
from pages.ui.memory.image_compute import KERNELS, Locality
from pages.ui.memory.image_question import ImageQuestion, controls, python_of

ROLES = {"network": "model", "local": "exact", "memoriser": "noise"}
INKS: dict[str, Role] = {"network": MODEL, "local": EXACT, "memoriser": NOISE}
CAPTION = (
    "DDIM from the same noise with three kernels. The exact kernel of N images can only end in one of them. The local kernel sees only the "
    "patch around each pixel, so that it can compose parts of different images, as a small convolutional network does."
)


def show() -> Export:
    """The whole page. Raises DataError, CheckpointError."""
    with st.sidebar:
        question = controls()
    with st.status("Fitting the local kernel to the network …", expanded=False) as status:
        bar = st.progress(0.0)

        def progress(share: float) -> None:
            bar.progress(share)

        found = image_compute.once(question).get(lambda: image_compute.find(question, progress))
        medians = found.medians
        status.update(label="The local kernel is fitted to the network, and samples of all three are compared.", state="complete")
    player(_payload(question, found), key="memory_images_player")
    st.markdown(
        "Squared correlation r² with the network's sample, median over samples: "
        + "; ".join(f"{KERNELS[name]} {value:.2f}" for name, value in medians.items())
        + "."
    )
    left, right = st.columns(2, gap="medium")
    dark = session.is_dark()
    left.markdown("**r² of each sample**")
    left.altair_chart(correlation_chart(found, dark))
    right.markdown("**Size of the patches at which the local kernel is nearest to the network**")
    right.altair_chart(side_chart(found, cache.model(question.ref).diffusion.T, dark))
    st.caption(
        "At large t the network uses the whole picture, at small t a few pixels around each. The local kernel is the posterior mean of "
        "a pixel given its patch alone, over the patches of the training images (Kamb and Ganguli 2024, who report median r² of about 0.9 "
        "for small networks and all training images). Patches from other places make it equivariant, too."
    )
    arrays = {f"samples_{name}": path.x[-1] for name, path in found.paths.items()}
    table: dict[str, Sequence[float]] = {"sample": list(range(1, question.n + 1))} | {f"r2_{name}": v for name, v in found.r2.items()}
    return Export("dpm-locality", python_of(question), arrays, table)


def correlation_chart(found: Locality, dark: bool) -> alt.Chart:
    """r² with the network of each sample, by kernel."""
    rows = [{"sample": i, "kernel": KERNELS[name], "r2": v} for name, values in found.r2.items() for i, v in enumerate(values, 1)]
    titles = [KERNELS[name] for name in found.r2]
    inks = [INKS[name].dark if dark else INKS[name].light for name in found.r2]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            alt.X("sample:O", title="sample", axis=alt.Axis(labelAngle=0)),
            alt.Y("r2:Q", title="r² with the network", scale=alt.Scale(domain=[0, 1])),
            alt.Color("kernel:N", scale=alt.Scale(domain=titles, range=inks), sort=None, legend=alt.Legend(title=None, orient="top")),
            alt.Shape("kernel:N", sort=None, legend=None),
            tooltip=[alt.Tooltip("kernel:N"), alt.Tooltip("sample:O"), alt.Tooltip("r2:Q", format=".3f")],
        )
        .properties(height=260)
    )


def side_chart(found: Locality, T: int, dark: bool) -> alt.Chart:
    """The fitted side of the patches over t."""
    ink = EXACT.dark if dark else EXACT.light
    rows = [{"t": t, "side": side, "error": found.errors[t][found.offered.index(side)]} for t, side in sorted(found.sides.items())]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=alt.OverlayMarkDef(color=ink, size=30), interpolate="step", strokeWidth=2, color=ink)
        .encode(
            alt.X("t:Q", title="time t", scale=alt.Scale(domain=[0, T], nice=False)),
            alt.Y("side:Q", title="side of the patches, pixels", scale=alt.Scale(domain=[0, found.offered[-1]])),
            tooltip=["t:Q", "side:Q", alt.Tooltip("error:Q", title="relative error", format=".3f")],
        )
        .properties(height=260)
    )


def _payload(question: ImageQuestion, found: Locality) -> bytes:
    spec = image_compute.dataset(question).spec
    panels = []
    for name, title in KERNELS.items():
        note = "" if name == "network" else f"median r² {found.medians[name]:.2f}"
        panels.append(Images(name, title, ROLES[name], levels(found.paths[name].x, spec), note))
    times = [int(t) for t in found.paths["network"].times]
    T = cache.model(question.ref).diffusion.T
    return pack(Stage(tuple(panels), times, T, caption=CAPTION, start=0, name="dpm-locality"))
