"""The Relatives page: the offer to train, both runs in progress, and what they have learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
import torch
from torch import Tensor

from dpm_core.data.kinds import DATA_KINDS
from dpm_core.jobs import JobError
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.relatives.likelihood import ACTIVE_NATS
from pages.ui import rights, session
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.working import working
from pages.ui.kinds.images import rows
from pages.ui.kinds.images.training import levels
from pages.ui.kinds.records import Export
from pages.ui.relatives import charts, compute, training
from pages.ui.relatives.charts import METHODS
from pages.ui.relatives.compute import Findings, LogProb
from pages.ui.relatives.question import Question, python_of
from pages.ui.relatives.training import Pair

INTRODUCTION = (
    "Both models maximise a lower bound on log p(x) over latent variables. The VAE learns its encoder q(z|x); a diffusion model fixes it, "
    "as the forward process q(x⁽¹⁾…x⁽ᵀ⁾|x⁽⁰⁾), and learns only the way back. Their bounds are in the same unit."
)


def offer(question: Question) -> None:
    """What will be trained, and the button."""
    counts = " and ".join(f"{question.parameters(name):,} ({title})" for name, (title, _) in METHODS.items())
    st.markdown(INTRODUCTION)
    st.markdown(f"Number of parameters: {counts}. Each is trained for {question.seconds} s on one processor thread, both at the same time.")
    st.button("Train both", type="primary", on_click=_start, args=(question,), disabled=not rights.may_start())
    if message := session.RELATIVES_ERROR.get():
        st.error(session.plain(message))


def _start(question: Question) -> None:
    session.RELATIVES_ERROR.set("")
    try:
        training.start(question)
    except (rights.NotAllowed, JobError, OSError) as error:
        session.RELATIVES_ERROR.set(str(error))


def progress(pair: Pair) -> None:
    """Both runs in training; a fragment that is drawn again every second."""
    pair.keep_alive()
    if not pair.alive:
        st.rerun()
    for column, (name, (title, _)) in zip(st.columns(2, gap="medium"), METHODS.items()):
        job = pair.jobs[name]
        share = min(1.0, job.progress.seconds / pair.question.seconds)
        waiting = "waiting for a free processor" if job.status == "queued" else f"{job.step:,} steps"
        column.progress(share, f"{title}: {job.progress.seconds:.0f} of {pair.question.seconds} s, {waiting}")
    _bounds(pair)
    latest = {name: job.latest() for name, job in pair.jobs.items()}
    if all(latest.values()):
        _show_data(pair.question, {name: torch.from_numpy(one.frames[-1]).float() for name, one in latest.items() if one})
    st.button("Stop", on_click=pair.stop, disabled=not all(rights.may_change(job.folder) for job in pair.jobs.values()))


def results(question: Question, pair: Pair) -> Export:
    """What a trained pair has learned. Raises ValueError where training failed."""
    if pair.failure:
        raise ValueError(pair.failure)
    with working("Measuring both models …"):
        found: Findings = training.once(question, "findings").get(lambda: compute.find(question, pair))
    dark = session.is_dark()
    unit = DATA_KINDS[question.kind.name].unit(question.kind.dataset(question.source))
    left, right = st.columns([0.55, 0.45], gap="medium")
    with left:
        table = st.empty()
        table.markdown(_score_table(question, pair, found, {}, f"bits per {unit.name}"))
        st.caption(INTRODUCTION)
    with right:
        _bounds(pair)
    st.markdown("**Samples**")
    _show_data(question, found.samples)
    T = len(found.information)
    session.follow_default("latent_time", found.time_of_equal_rate())
    t = session.bind(
        st.slider, "Time t of the diffusion's latent variable x⁽ᵗ⁾", 1, T, found.time_of_equal_rate(), key="latent_time",
        help="At first the time at which x⁽ᵗ⁾ carries about as many bits about x⁽⁰⁾ as the VAE's z.",
    )  # fmt: skip
    shown = compute.reconstructions(found, question, t)
    errors = compute.errors(shown)
    st.markdown(
        "**Reconstructions:** of the VAE from the mean of q(z|x); of the diffusion model, one draw of the reverse process from x⁽ᵗ⁾"
    )
    _show_data(question, shown, {name: f"root mean square error {error:.3f}" for name, error in errors.items()})
    _latents(question, found, t, dark)
    with left, st.spinner("Computing log p(x) …"):  # last, because it takes longest
        known: dict[str, LogProb] = training.once(question, "log p").get(lambda: compute.log_probs(found, question))
    table.markdown(_score_table(question, pair, found, known, f"bits per {unit.name}"))
    return _export(question, found, known, shown)


def _score_table(question: Question, pair: Pair, found: Findings, known: Mapping[str, LogProb], unit: str) -> str:
    """The table of numbers; ``known``: log p(x), empty while it is being computed."""
    scores, missing = found.scores, "not known" if known else "…"

    def cells(of: Callable[[str], str]) -> str:
        return " | ".join(of(name) for name in METHODS)

    def log_prob(name: str) -> str:
        return f"{number(known[name].bits, 3)} {plus_minus(known[name].error)}" if name in known else missing

    def gap(name: str) -> str:
        return number(known[name].gap, 3) if name in known else missing

    how = "by quadrature" if found.exact and found.vae.latent <= 2 else "VAE: importance-weighted estimate"
    lines = [
        "| | " + " | ".join(title for title, _ in METHODS.values()) + " |",
        "|---|---:|---:|",
        f"| K (ELBO), {unit} | " + cells(lambda name: f"{number(scores[name].bound, 3)} {plus_minus(scores[name].error)}") + " |",
        f"| log₂ p(x), {how} | " + cells(log_prob) + " |",
        "| Gap, log₂ p(x) − K, on the same data | " + cells(gap) + " |",
        "| Parameters | " + cells(lambda name: f"{question.parameters(name):,}") + " |",
        "| Steps of training | " + cells(lambda name: f"{pair.jobs[name].step:,} in {pair.jobs[name].progress.seconds:.0f} s") + " |",
        "| Network calls per sample | " + cells(lambda name: f"{scores[name].calls:,}") + " |",
    ]
    return "\n".join(lines)


def _bounds(pair: Pair) -> None:
    """K of both over the seconds of their training."""
    unit = DATA_KINDS[pair.question.kind.name].unit(pair.question.kind.dataset(pair.question.source))
    rows_, null = [], -math.inf
    for name, (title, _) in METHODS.items():
        for row in pair.jobs[name].metrics():
            if "bound_bits" in row:
                rows_.append({"method": title, "seconds": row["seconds"], "bits": row["bound_bits"] / unit.count})
                null = max(null, row["null_bits"] / unit.count)
    if rows_:
        chart = charts.bound_chart(rows_, pair.question.seconds, null, f"bits per {unit.name}", session.is_dark())
        st.altair_chart(chart)


def _latents(question: Question, found: Findings, t: int, dark: bool) -> None:
    spaces = compute.latent_spaces(found, question, t)
    colour = found.colour.tolist()
    first, second = st.columns(2, gap="medium")
    first.markdown(f"**Latent space of the diffusion model:** x⁽ᵗ⁾ at t = {t}")
    axes = ("x₁", "x₂") if found.exact else ("first principal component", "second principal component")
    first.altair_chart(charts.latent_chart(spaces["diffusion"].numpy(), colour, found.labels, axes))
    second.markdown("**Latent space of the VAE:** means of q(z|x)")
    axes = ("z, first dimension by KL", "z, second dimension by KL")
    second.altair_chart(charts.latent_chart(spaces["vae"].numpy(), colour, found.labels, axes))
    first, second = st.columns(2, gap="medium")
    bits = (found.elbo.divergence_nats / NATS_PER_BIT).tolist()
    how = "exact" if found.exact else "of a Gaussian with the covariance of the data, an upper bound"
    first.markdown(f"**A fixed encoder cannot collapse:** I(X⁽⁰⁾;X⁽ᵗ⁾), {how}")
    first.altair_chart(charts.information_chart(found.information, found.rate, t, dark))
    second.markdown(f"**Posterior collapse:** {found.elbo.active} of {found.vae.latent} latent dimensions are active")
    second.altair_chart(charts.collapse_chart(bits, ACTIVE_NATS / NATS_PER_BIT, dark))
    st.caption(
        f"The VAE's rate, KL(q(z|x) ‖ p(z)), is {number(found.rate)} bits per datum. A dimension whose KL is below {ACTIVE_NATS} nats "
        "(dashed) has collapsed to the prior: the decoder ignores it (Burda, Grosse and Salakhutdinov 2016)."
    )


def _show_data(question: Question, shown: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Data sets beside each other, each under its title."""
    titles = {"data": "Data"} | {name: title for name, (title, _) in METHODS.items()}
    for column, (name, x) in zip(st.columns(len(shown), gap="medium"), shown.items()):
        note = (notes or {}).get(name, "")
        column.caption(f"{titles[name]}{', ' if note else ''}{note}")
        with column:
            SHOW[question.kind.name](question, x, name)


def _show_points(question: Question, x: Tensor, role: str) -> None:
    st.altair_chart(charts.scatter(x.numpy(), role, session.is_dark()))


def _show_images(question: Question, x: Tensor, role: str) -> None:
    pictures = levels(x.numpy(), question.kind.dataset(question.source).spec)
    rows.show_row(rows.row(pictures, 4, 64), [""], f"{role}: sixteen images", 1.0)


SHOW: dict[str, Callable[[Question, Tensor, str], None]] = {"points": _show_points, "images": _show_images}


def _export(question: Question, found: Findings, known: Mapping[str, LogProb], shown: Mapping[str, Tensor]) -> Export:
    arrays = {f"samples_{name}": x.numpy() for name, x in found.samples.items()}
    arrays |= {f"reconstruction_{name}": x.numpy() for name, x in shown.items()}
    table: dict[str, list[Any]] = {"method": list(METHODS), "parameters": [question.parameters(name) for name in METHODS]}
    table |= {
        "bound_bits": [found.scores[name].bound for name in METHODS],
        "standard_error_bits": [found.scores[name].error for name in METHODS],
        "log_prob_bits": [known[name].bits if name in known else math.nan for name in METHODS],
    }
    return Export("dpm-relatives", python_of(question), arrays, table)
