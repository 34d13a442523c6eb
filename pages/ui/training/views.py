"""A run in training: its stage, its numbers and its curves."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.config import NetworkConfig, RunConfig, ScheduleConfig, from_dict
from dpm_core.figures.charts import Layered, bound_chart, loss_chart, time_chart
from dpm_core.figures.rasters import frame_numbers
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.reverse import build_model
from dpm_core.training.snapshots import Snapshot
from pages.ui import cache, kinds, session
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.player import player
from pages.ui.kinds import snapshots as snapshot_stages
from pages.ui.kinds.records import ReferenceValues, Version
from pages.ui.kinds.runs import Setup
from pages.ui.training import live

POINTS_DRAWN = 300  # of the loss curve
SHORTEST = 10  # steps along an axis: one step alone has no scale


def stage(setup: Setup, job: jobs.Job | None) -> None:
    """The player: the snapshots of a run, or before the first one samples of the untrained network."""
    if job is not None:
        live.follow(job)
    player(prepare(setup, job), key="train")


def prepare(setup: Setup, job: jobs.Job | None) -> bytes:
    """The packed stage."""
    run = setup.run
    if job is None or not (snapshots := job.snapshots):
        with_shipped = job is None  # a run in training shows only its own samples
        counts = setup.job.snapshot_samples, setup.job.sample_steps
        return _untrained(setup.source, run.schedule, run.network, run.training.seed, *counts, with_shipped)
    return _running(job.id, tuple(s.step for s in snapshots), setup.source, run.schedule, job, snapshots)


@st.cache_data(max_entries=16, show_spinner=False)
def _untrained(source: Any, schedule: ScheduleConfig, network: NetworkConfig, seed: int, n: int, steps: int, with_shipped: bool) -> bytes:
    """Samples of the untrained network and, where there is a shipped model of these data and this schedule, of that model."""
    kind = kinds.of(source)
    process, shape = kind.process(source, schedule), kind.dataset(source).shape
    kernels = {"0": build_model(network, process, shape, seed).eval()}
    for path in checkpoints.list_checkpoints([checkpoints.SHIPPED]).values() if with_shipped else ():
        try:
            header = checkpoints.read_header(path)
            config = from_dict(RunConfig, header["config"])
            if config.schedule == schedule and config.data == source.config():
                kernels[f"{header['steps']:,}"] = cache.model(cache.ModelRef.of(path)).model
                break
        except (ValueError, KeyError, OSError):
            continue  # the Checkpoints page says what is wrong with it
    versions, times = [], []
    for label, kernel in kernels.items():
        recording = snapshot_stages.sample(kernel, shape, n, steps, seed)
        times = recording.times.tolist()
        versions.append(Version(label, recording.x, kind.drift(kernel, times)))
    label = "untrained, and the shipped model" if len(kernels) > 1 else "untrained network"
    return kind.training_stage(source, schedule, versions, times, label)


@st.cache_data(max_entries=6, show_spinner=False)
def _running(id: str, steps: tuple[int, ...], source: Any, schedule: ScheduleConfig, _job: jobs.Job, _snapshots: list) -> bytes:
    """The stage of a run with snapshots at these steps."""
    times = [int(t) for t in _snapshots[-1].times]
    versions = [Version(f"{s.step:,}", s.frames, _drift(id, s.step, source, _job, s)) for s in _snapshots]
    return kinds.of(source).training_stage(source, schedule, versions, times, "samples")


@st.cache_data(max_entries=400, show_spinner=False)
def _drift(id: str, step: int, source: Any, _job: jobs.Job, _snapshot: Snapshot) -> np.ndarray | None:
    """The drift of a snapshot, for kinds that show one, where its weights are still in memory."""
    if not kinds.of(source).shows_drift or _snapshot.weights is None:
        return None
    return kinds.of(source).drift(_job.weights(_snapshot), [int(t) for t in _snapshot.times])


def cards(job: jobs.Job, reference: ReferenceValues) -> None:
    """Four numbers, each with what it is compared with."""
    now, snapshots = job.progress, job.snapshots
    last = snapshots[-1] if snapshots else None
    against = "<br>".join(f"{html.escape(label)} {number(value)}" for label, (value, _) in reversed(reference.limits.items()))
    known = f"{number(last.bound_bits / reference.bits_per_datum)} {reference.unit}" if last else "–"
    spread = f"{plus_minus(last.bound_standard_error_bits / reference.bits_per_datum)} at step {last.step:,}<br>" if last else ""
    stop = job.config.stop
    share = (now.step / stop.steps) if stop.steps else (now.seconds / stop.seconds) if stop.seconds else 0.0
    of = f" of {stop.steps:,}" if stop.steps else ""
    left = f"about {duration(now.eta_seconds)} left" if now.eta_seconds and job.status == "running" else f"after {duration(now.seconds)}"
    rows = [
        ("ELBO K (lower bound on log p)", known, spread + against),
        ("Progress", f"{now.step:,}{of}", f'<div class="dpm-bar"><i style="width:{100 * min(1.0, share):.1f}%"></i></div>{left}'),
        ("Speed", *_speed(now, reference.noun)),
        ("Gradient norm", _digits(now.gradient_norm), f"loss {_digits(now.loss)} · {rate_in_words(job)}"),
    ]
    number_cards.show(rows)


def rate_in_words(job: jobs.Job) -> str:
    """The learning rate of the last step, if it has one."""
    return f"learning rate {job.learning_rate:g}" if job.config.run.training.uses_rate(job.step) else "no learning rate (SFO)"


def _speed(now: jobs.Progress, what: str) -> tuple[str, str]:
    if not now.steps_per_second:
        return "–", "not measured yet"
    return f"{now.steps_per_second:,.3g} steps/s", f"{now.images_per_second:,.0f} {what} per second"


def curves(job: jobs.Job, dims: int, other: tuple[str, list[dict]] | None, reference: ReferenceValues) -> None:
    """K over the steps, the loss over the steps, and the loss over t."""
    dark, T = session.is_dark(), job.config.run.schedule.T
    runs = [job.config.name] + ([other[0]] if other else [])
    rows = bound_rows(runs[0], job.snapshots, reference) + (other[1] if other else [])
    left, middle, right = st.columns(3)
    left.markdown("**ELBO K over training steps**" + (f" · dashed: {other[0]}" if other else ""))
    chart = bound_spec(tuple(runs), reference, reference.span(max((row["value"] for row in rows), default=reference.baseline)), dark)
    rows = [*rows, {"step": max(SHORTEST, *(row["step"] for row in rows))}] if rows else rows
    left.vega_lite_chart(pd.DataFrame(rows, columns=["step", "value", "low", "high", "run"]), chart, key="bound_chart")
    middle.markdown("**Loss over training steps**")
    metrics = [row for row in job.metrics() if row.get("loss", 0) > 0]
    metrics += [{"step": max(SHORTEST, metrics[-1]["step"]), "loss": math.nan}] if metrics else []
    keep = frame_numbers(len(metrics), POINTS_DRAWN) if metrics else np.empty(0, int)
    steps, losses = (np.array([row[name] for row in metrics], dtype=float) for name in ("step", "loss"))
    loss = pd.DataFrame({"step": steps[keep], "loss": losses[keep], "smooth": smooth(losses)[keep]})
    middle.vega_lite_chart(loss, loss_spec(dark), key="loss_chart")
    right.markdown("**Loss over the time t of the chain**")
    t, nats = job.loss_per_time()
    # the loss is (T − 1) KL in nats per dimension
    bits = np.asarray(nats) * dims / (T - 1) / NATS_PER_BIT / reference.bits_per_datum
    seen = np.isfinite(bits)
    right.vega_lite_chart(pd.DataFrame({"t": t[seen], "bits": bits[seen]}), time_spec(T, reference, dark), key="time_chart")


# describing a chart costs more than filling it: the descriptions are cached, and only rows are sent again


def _description(chart: Layered) -> dict:
    """A chart without its empty table: its layers take the rows that are passed with it."""
    described = chart.to_dict()
    described.pop("datasets", None)
    for layer in described["layer"]:
        if "name" in layer.get("data", {}):
            del layer["data"]
    return described


@st.cache_data(max_entries=16, show_spinner=False)
def bound_spec(runs: tuple[str, ...], reference: ReferenceValues, span: tuple[float, float], dark: bool) -> dict:
    """The chart of K."""
    return _description(bound_chart(list(runs), reference.limits, *span, reference.unit, dark))


@st.cache_data(max_entries=2, show_spinner=False)
def loss_spec(dark: bool) -> dict:
    """The chart of the loss over steps."""
    return _description(loss_chart(dark))


@st.cache_data(max_entries=16, show_spinner=False)
def time_spec(T: int, reference: ReferenceValues, dark: bool) -> dict:
    """The chart of the loss over t."""
    best: dict[str, Sequence[float]] | None = None
    if reference.best_per_time:
        best = {"t": list(reference.best_per_time[0]), "bits": list(reference.best_per_time[1])}
    return _description(time_chart(T, best, reference.unit, dark))


def bound_rows(name: str, snapshots: list, reference: ReferenceValues) -> list[dict]:
    """A run's K at its snapshots, as rows of the chart."""
    rows = []
    for snapshot in snapshots:
        value, error = snapshot.bound_bits / reference.bits_per_datum, snapshot.bound_standard_error_bits / reference.bits_per_datum
        if math.isfinite(value):
            error = error if math.isfinite(error) else 0.0
            rows.append({"step": snapshot.step, "value": value, "low": value - error, "high": value + error, "run": name})
    return rows


def smooth(values: np.ndarray, share: float = 0.03) -> np.ndarray:
    """A running mean over a share of all values, shorter at the ends."""
    width = max(5, int(len(values) * share))
    total = np.cumsum(np.concatenate([[0.0], values]))
    start = np.maximum(0, np.arange(len(values)) - width + 1)
    return (total[1:] - total[start]) / (np.arange(len(values)) + 1 - start)


def _digits(value: float | None) -> str:
    return f"{value:.3g}".replace("-", "−") if value is not None and math.isfinite(value) else "–"


def duration(seconds: float) -> str:
    """A time in words."""
    seconds = round(seconds)
    if seconds < 100:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
