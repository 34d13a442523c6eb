"""The Likelihood page with sequences of bits: log p of the very bits that are clicked together, and of every pattern of the data."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import streamlit as st
import torch

from dpm_core.figures.budget_charts import ROLES, convergence_chart
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.estimators import Jarzynski, jarzynski
from pages.ui import cache, session
from pages.ui.bound import subjects
from pages.ui.bound.compute import Subject
from pages.ui.components import number_cards
from pages.ui.components.bit_pad import bit_pad, check
from pages.ui.components.number_cards import number
from pages.ui.kinds.bits.bit_controls import BitSource

WORK = 1_500_000  # states visited for one sequence: trajectories times steps
MOST, LISTED = 2000, 12  # trajectories; patterns of the data that are judged beside
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@st.cache_data(max_entries=64, show_spinner=False)
def estimate(ref: cache.ModelRef, cells: str, seed: int) -> Jarzynski:
    """Trajectories from one sequence."""
    loaded = cache.model(ref)
    x = torch.tensor([[float(cell) for cell in cells]], dtype=torch.float64)
    N = max(50, min(MOST, WORK // loaded.diffusion.T))
    return jarzynski(loaded.model, loaded.diffusion, x, N, torch.Generator().manual_seed(seed))


@st.cache_data(max_entries=16, show_spinner=False)
def patterns(ref: cache.ModelRef, seed: int) -> list[dict]:
    """log p and log q in bits of the likeliest patterns of the data, as rows; nothing where they cannot be listed."""
    loaded = cache.model(ref)
    data = cache.bits(BitSource.of(loaded))
    if not data.listed:
        return []
    rows, top = [], data.weights.argsort(descending=True, stable=True)[:LISTED]
    N = max(50, min(MOST, WORK // loaded.diffusion.T // len(top)))
    found = jarzynski(loaded.model, loaded.diffusion, data.patterns[top].double(), N, torch.Generator().manual_seed(seed))
    for i, row in enumerate(top.tolist()):
        cells = "".join(map(str, data.patterns[row].tolist()))
        both = {"model, log p": float(found.log_prob[i]) / NATS_PER_BIT, "data, log q": math.log2(float(data.weights[row]))}
        rows += [{"pattern": cells, "whose": whose, "bits": value} for whose, value in both.items()]
    return rows


def prepare(subject: Subject, seed: int) -> None:
    """Do the slow work before anything is drawn."""
    estimate(subject.ref, _cells(subject), seed)
    patterns(subject.ref, seed)


def _cells(subject: Subject) -> str:
    """The bits looked at: they live in the link; until some are clicked, the likeliest pattern of the data."""
    data = cache.bits(subject.source)
    first = "".join(map(str, data.patterns[int(data.weights.argmax())].tolist()))
    try:
        return check(session.linked("bits_at", str, first), data.dims)
    except ValueError:
        return first


def show(subject: Subject, seed: int) -> None:
    """The bits, what is said of them, and every pattern's log p beside its log q."""
    cells = _cells(subject)
    st.markdown("**Click the bits** whose probability you want to know")
    st.session_state["bits_at"] = cells
    bit_pad("bits_at", cells, len(cells), key="bits_pad", label="The sequence")
    session.put_in_link("bits_at", cells)
    with st.spinner("Following trajectories …", show_time=True):
        found = estimate(subject.ref, cells, seed)
    data = cache.bits(subject.source)
    x = torch.tensor([[float(cell) for cell in cells]])
    log_q = float(data.log_prob(x)[0]) if data.listed else None
    N = found.log_weights.shape[1]
    value, error = float(found.log_prob[0]) / NATS_PER_BIT, float(found.standard_error[0]) / NATS_PER_BIT
    rows = [
        ("ELBO, the mean of the log", _bits(float(found.elbo[0]) / NATS_PER_BIT), "K of this one sequence"),
        ("Jarzynski", _bits(value), f"± {error:.2g}, N = {N:,}; {float(found.effective_samples[0]):,.0f} of them count"),
    ]
    if log_q is not None:
        rows.append(("The data's own, log₂ q", _bits(log_q / NATS_PER_BIT), "no pattern of the data" if log_q == -math.inf else "exact"))
    number_cards.show(rows)
    dark = st.context.theme.type == "dark"
    left, right = st.columns(2, gap="large")
    left.markdown("**From K up to log p**: the log of the mean weight, as trajectories are added")
    lines = {"ELBO": (float(found.elbo[0]), "noise")} | ({"log q": (log_q, "data")} if log_q not in (None, -math.inf) else {})
    left.altair_chart(convergence_chart(_curve(found), lines, dark), key="convergence")
    if judged := patterns(subject.ref, seed):
        right.markdown("**Every pattern of the data**" + (f", the {LISTED} likeliest" if len(data.patterns) > LISTED else ""))
        right.altair_chart(_chart(judged, dark), key="patterns")


def _bits(value: float) -> str:
    return f"{number(value)} bits" if math.isfinite(value) else "−∞"


def _curve(found: Jarzynski) -> list[dict]:
    """The estimate after 1, 2, 5, … trajectories, with one standard error, in nats."""
    rows, N = [], found.log_weights.shape[1]
    for count in [n for n in COUNTS if n < N] + [N]:
        part = Jarzynski(found.log_weights[:, :count])
        value, error = float(part.log_prob[0]), float(part.standard_error[0])
        error = error if math.isfinite(error) else 0.0
        rows.append({"N": count, "value": value, "low": value - error, "high": value + error})
    return rows


def _chart(rows: list[dict], dark: bool) -> alt.Chart:
    names = ["model, log p", "data, log q"]
    inks = [ROLES[role].dark if dark else ROLES[role].light for role in ("model", "data")]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(
            alt.X("bits:Q", title="bits", scale=alt.Scale(zero=False, padding=12)),
            alt.Y("pattern:N", title=None, sort=None, axis=alt.Axis(labelFont="monospace", labelLimit=220, ticks=False, domain=False)),
            alt.Color("whose:N", scale=alt.Scale(domain=names, range=inks), legend=alt.Legend(orient="top", title=None)),
            alt.Shape("whose:N", scale=alt.Scale(domain=names, range=["circle", "diamond"]), legend=None),
            tooltip=["pattern:N", "whose:N", alt.Tooltip("bits:Q", format=".3f")],
        )
        .properties(height=280)
    )


def table(subject: Subject, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list]]:
    """log p after so many trajectories, and every one of their log weights (arrays only), in nats."""
    found = estimate(subject.ref, _cells(subject), seed)
    rows = {key: [row[key] for row in _curve(found)] for key in ("N", "value", "low", "high")}
    arrays = {key: np.array(values) for key, values in rows.items()}
    return arrays | {"log_weights": found.log_weights[0].numpy()}, rows


def python(subject: Subject, seed: int) -> str:
    """The Python that makes the page's numbers."""
    N = estimate(subject.ref, _cells(subject), seed).log_weights.shape[1]
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.measure.estimators import jarzynski

loaded = checkpoints.load({subjects.file_name(subject)!r})
x = torch.tensor([[float(bit) for bit in {_cells(subject)!r}]], dtype=torch.float64)
found = jarzynski(loaded.model, loaded.diffusion, x, {N}, torch.Generator().manual_seed({seed}))
print(found.elbo, found.log_prob, found.standard_error, found.effective_samples)
"""
