"""The Likelihood page with sequences of bits: log p of the sequence that is set by clicks, and of the patterns of the data."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.figures.budget_charts import ROLES
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.estimators import Jarzynski, jarzynski
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components import convergence, number_cards
from pages.ui.components.bit_pad import bit_pad, check
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.working import working
from pages.ui.kinds.bits.source import BitSource, dataset
from pages.ui.kinds.records import Export, Model

STATES = 1_500_000  # visited for one sequence: trajectories times steps
MOST, LISTED = 2000, 12  # trajectories; patterns of the data that are listed


@st.cache_data(max_entries=64, show_spinner=False)
def estimate(ref: ModelRef, cells: str, seed: int) -> Jarzynski:
    """Trajectories from one sequence."""
    loaded = cache.model(ref)
    x = torch.tensor([[float(cell) for cell in cells]], dtype=torch.float64)
    N = max(50, min(MOST, STATES // loaded.diffusion.T))
    return jobs.call(jarzynski, loaded.model, loaded.diffusion, x, N, torch.Generator().manual_seed(seed))


@st.cache_data(max_entries=16, show_spinner=False)
def patterns(ref: ModelRef, seed: int) -> list[dict]:
    """log p and log q in bits of the most probable patterns of the data, as rows; none where they cannot be listed."""
    loaded = cache.model(ref)
    data = dataset(BitSource.of_checkpoint(loaded))
    if not data.listed:
        return []
    rows, top = [], data.weights.argsort(descending=True, stable=True)[:LISTED]
    N = max(50, min(MOST, STATES // loaded.diffusion.T // len(top)))
    found = jobs.call(jarzynski, loaded.model, loaded.diffusion, data.patterns[top].double(), N, torch.Generator().manual_seed(seed))
    for i, row in enumerate(top.tolist()):
        cells = "".join(map(str, data.patterns[row].tolist()))
        both = {"model, log₂ p": float(found.log_prob[i]) / NATS_PER_BIT, "data, log₂ q": math.log2(float(data.weights[row]))}
        rows += [{"pattern": cells, "curve": whose, "bits": value} for whose, value in both.items()]
    return rows


def show(model: Model, seed: int) -> Export:
    """The pad, the estimates, and log p of the patterns beside their log q."""
    with working("Sampling trajectories …"):
        estimate(model.checkpoint, _cells(model), seed)
        patterns(model.checkpoint, seed)
    st.fragment(_of_one_sequence)(model, seed)
    return _export(model, seed)


def _cells(model: Model) -> str:
    """The bits set by clicks, which are part of the link; at first the most probable pattern of the data."""
    data = dataset(model.source)
    first = "".join(map(str, data.patterns[int(data.weights.argmax())].tolist()))
    try:
        return check(session.LIKELIHOOD_BITS.read(str, first), data.dims)
    except ValueError:
        return first


def _of_one_sequence(model: Model, seed: int) -> None:
    cells = _cells(model)
    st.markdown("**Sequence x⁽⁰⁾**: click bits to change them")
    session.LIKELIHOOD_BITS.remember(cells)
    bit_pad(session.LIKELIHOOD_BITS.name, cells, len(cells), key="bits_pad", label="The sequence")
    session.LIKELIHOOD_BITS.show(cells)
    with st.spinner("Sampling trajectories …", show_time=True):
        found = estimate(model.checkpoint, cells, seed)
    data = dataset(model.source)
    x = torch.tensor([[float(cell) for cell in cells]])
    log_q = float(data.log_prob(x)[0]) if data.listed else None
    N = found.log_weights.shape[1]
    value, error = float(found.log_prob[0]) / NATS_PER_BIT, float(found.standard_error[0]) / NATS_PER_BIT
    rows = [
        (
            "ELBO (mean log weight)",
            _bits(float(found.elbo[0]) / NATS_PER_BIT),
            f"{plus_minus(float(found.elbo_error[0]) / NATS_PER_BIT)}; lower bound for this sequence",
        ),
        (
            "Jarzynski (log mean weight)",
            _bits(value),
            f"{plus_minus(error)}; N = {N:,}, effective sample size {float(found.effective_samples[0]):,.0f}",
        ),
    ]
    if log_q is not None:
        rows.append(("Data, log₂ q", _bits(log_q / NATS_PER_BIT), "not a pattern of the data" if log_q == -math.inf else "exact"))
    number_cards.show(rows)
    dark = session.is_dark()
    left, right = st.columns(2, gap="large")
    left.markdown("**Jarzynski estimate of log p** over the number of trajectories N")
    lines = {"ELBO": (float(found.elbo[0]), "noise")} | ({"log q": (log_q, "data")} if log_q not in (None, -math.inf) else {})
    with left:
        convergence.show(found, lines)
    if listed := patterns(model.checkpoint, seed):
        right.markdown("**Patterns of the data**" + (f", the {LISTED} most probable" if len(data.patterns) > LISTED else ""))
        right.altair_chart(_chart(listed, dark), key="patterns")


def _bits(value: float) -> str:
    return f"{number(value)} bits" if math.isfinite(value) else "−∞"


def _chart(rows: list[dict], dark: bool) -> alt.Chart:
    names = ["model, log₂ p", "data, log₂ q"]
    inks = [ROLES[role].dark if dark else ROLES[role].light for role in ("model", "data")]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(
            alt.X("bits:Q", title="bits", scale=alt.Scale(zero=False, padding=12)),
            alt.Y("pattern:N", title=None, sort=None, axis=alt.Axis(labelFont="monospace", labelLimit=220, ticks=False, domain=False)),
            alt.Color("curve:N", scale=alt.Scale(domain=names, range=inks), legend=alt.Legend(orient="top", title=None)),
            alt.Shape("curve:N", scale=alt.Scale(domain=names, range=["circle", "diamond"]), legend=None),
            tooltip=["pattern:N", "curve:N", alt.Tooltip("bits:Q", format=".3f")],
        )
        .properties(height=280)
    )


def _export(model: Model, seed: int) -> Export:
    """log p over the number of trajectories, and every log weight (arrays only), in nats; the Python."""
    cells = _cells(model)
    found = estimate(model.checkpoint, cells, seed)
    rows = {key: [row[key] for row in found.curve()] for key in ("N", "value", "low", "high")}
    arrays = {key: np.array(values) for key, values in rows.items()} | {"log_weights": found.log_weights[0].numpy()}
    python = f"""import torch
from dpm_core import checkpoints
from dpm_core.measure.estimators import jarzynski

loaded = {model.checkpoint.python}
x = torch.tensor([[float(bit) for bit in {cells!r}]], dtype=torch.float64)
found = jarzynski(loaded.model, loaded.diffusion, x, {found.log_weights.shape[1]}, torch.Generator().manual_seed({seed}))
print(found.elbo, found.log_prob, found.standard_error, found.effective_samples)
"""
    return Export("dpm-likelihood", python, arrays, rows)
