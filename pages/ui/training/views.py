"""A run while it goes on: its stage, its numbers and its curves."""

from __future__ import annotations

import html
import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import stored_data
from dpm_core.config import NetworkConfig, RunConfig, ScheduleConfig, from_dict
from dpm_core.figures.charts import bound_chart, loss_chart, time_chart
from dpm_core.figures.rasters import frame_numbers
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.reverse import build_model
from dpm_core.training.snapshots import Snapshot
from pages.ui import cache
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number
from pages.ui.components.player import pack, player
from pages.ui.controls.widgets import PlaneSource
from pages.ui.training import snapshot_stage
from pages.ui.training.reference_values import Yardstick
from pages.ui.training.run_setup import Setup, Source, data_config, held_out
from pages.ui.training.snapshot_stage import Version

POINTS_DRAWN = 300  # of the loss curve
SHORTEST = 10  # steps along an axis: one step alone has no scale


def stage(setup: Setup, job: jobs.Job | None) -> None:
    """The player: a run's snapshots, or before there is one what the fresh network makes of noise."""
    player(prepare(setup, job), key="train")


def prepare(setup: Setup, job: jobs.Job | None) -> bytes:
    """The player's message."""
    run = setup.run
    if job is None or not (snapshots := job.snapshots):
        shipped = job is None  # once it trains, only what it is itself
        return _opening(setup.source, run.schedule, run.network, run.training.seed, setup.job.watch, setup.job.sample_steps, shipped)
    return _running(job.id, tuple(s.step for s in snapshots), setup.source, run.schedule, job, snapshots)


@st.cache_data(max_entries=16, show_spinner=False)
def _opening(source: Source, schedule: ScheduleConfig, network: NetworkConfig, seed: int, n: int, steps: int, shipped: bool) -> bytes:
    """The fresh network's samples and, where a shipped model is of this data and schedule, what training can reach."""
    data, process = cache.data(source), cache.process(source, schedule)
    shape = stored_data.shape(data)
    kernels = {"0": build_model(network, process, shape, seed).eval()}
    for path in checkpoints.list_checkpoints([checkpoints.SHIPPED]).values() if shipped else ():
        try:
            header = checkpoints.read_header(path)
            config = from_dict(RunConfig, header["config"])
            if config.schedule == schedule and config.data == data_config(source):
                kernels[f"{header['steps']:,}"] = cache.model(cache.ModelRef.of(path)).model
                break
        except (ValueError, KeyError, OSError):
            continue  # the Checkpoints page says what is wrong with it
    versions, times = [], []
    for label, kernel in kernels.items():
        recording = snapshot_stage.sample(kernel, shape, n, steps, seed)
        times = recording.times.tolist()
        versions.append(Version(label, recording.x, snapshot_stage.drift(kernel, times) if isinstance(source, PlaneSource) else None))
    return _stage(source, schedule, versions, times, "before training, and the shipped model" if len(kernels) > 1 else "before training")


@st.cache_data(max_entries=6, show_spinner=False)
def _running(id: str, steps: tuple[int, ...], source: Source, schedule: ScheduleConfig, _job: jobs.Job, _snapshots: list) -> bytes:
    """The stage of a run with snapshots at these steps."""
    times = [int(t) for t in _snapshots[-1].times]
    versions = [Version(f"{s.step:,}", s.frames, _drift(id, s.step, _job, s)) for s in _snapshots]
    return _stage(source, schedule, versions, times, "samples")


@st.cache_data(max_entries=400, show_spinner=False)
def _drift(id: str, step: int, _job: jobs.Job, _snapshot: Snapshot) -> np.ndarray | None:
    """The drift field of a snapshot in the plane, where its weights are still there."""
    if _snapshot.packed.dtype != np.float32 or _snapshot.weights is None:  # images are kept in float16, bits as bytes
        return None
    return snapshot_stage.drift(_job.weights(_snapshot), [int(t) for t in _snapshot.times])


def _stage(source: Source, schedule: ScheduleConfig, versions: list[Version], times: list[int], label: str) -> bytes:
    process, plane = cache.process(source, schedule), isinstance(source, PlaneSource)
    contours = cache.contours(source, schedule, tuple(times)) if plane else None
    spec = None if plane else cache.data(source).spec
    return pack(snapshot_stage.build(versions, times, process, held_out(source), spec, contours, label))


def cards(job: jobs.Job, yard: Yardstick) -> None:
    """Four numbers, each with its yardstick."""
    now, snapshots = job.progress, job.snapshots
    last = snapshots[-1] if snapshots else None
    against = "<br>".join(f"{html.escape(label)} {number(value)}" for label, (value, _) in reversed(yard.limits.items()))
    known = f"{number(last.bound_bits / yard.divide)} {yard.unit}" if last else "–"
    spread = f"± {last.bound_standard_error_bits / yard.divide:.2g} at step {last.step:,}<br>" if last else ""
    stop = job.config.stop
    share = (now.step / stop.steps) if stop.steps else (now.seconds / stop.seconds) if stop.seconds else 0.0
    of = f" of {stop.steps:,}" if stop.steps else ""
    left = f"about {duration(now.eta_seconds)} left" if now.eta_seconds and job.status == "running" else f"after {duration(now.seconds)}"
    rows = [
        ("What it knows, K", known, spread + against),
        ("Progress", f"{now.step:,}{of}", f'<div class="dpm-bar"><i style="width:{100 * min(1.0, share):.1f}%"></i></div>{left}'),
        ("Speed", *_speed(now, yard.noun)),
        ("Gradient norm", _digits(now.gradient_norm), f"loss {_digits(now.loss)} · learning rate {job.learning_rate:g}"),
    ]
    number_cards.show(rows)


def _speed(now: jobs.Progress, what: str) -> tuple[str, str]:
    if not now.steps_per_second:
        return "–", "not yet known"
    return f"{now.steps_per_second:,.3g} steps/s", f"{now.images_per_second:,.0f} {what} per second"


def curves(job: jobs.Job, dims: int, other: tuple[str, list[dict]] | None, yard: Yardstick) -> None:
    """K over the steps, the loss over the steps, and the loss over t."""
    dark, T = st.context.theme.type == "dark", job.config.run.schedule.T
    runs = [job.config.name] + ([other[0]] if other else [])
    rows = bound_rows(runs[0], job.snapshots, yard) + (other[1] if other else [])
    left, middle, right = st.columns(3)
    left.markdown("**K climbs toward its limit**" + (f" · dashed: {other[0]}" if other else ""))
    chart = bound_spec(tuple(runs), yard, yard.span(max((row["value"] for row in rows), default=yard.null)), dark)
    rows = [*rows, {"step": max(SHORTEST, *(row["step"] for row in rows))}] if rows else rows
    left.vega_lite_chart(pd.DataFrame(rows, columns=["step", "value", "low", "high", "run"]), chart, key="bound_chart")
    middle.markdown("**Loss, step by step**")
    metrics = [row for row in job.metrics() if row.get("loss", 0) > 0]
    metrics += [{"step": max(SHORTEST, metrics[-1]["step"]), "loss": math.nan}] if metrics else []
    keep = frame_numbers(len(metrics), POINTS_DRAWN) if metrics else np.empty(0, int)
    steps, losses = (np.array([row[name] for row in metrics], dtype=float) for name in ("step", "loss"))
    loss = pd.DataFrame({"step": steps[keep], "loss": losses[keep], "smooth": smooth(losses)[keep]})
    middle.vega_lite_chart(loss, loss_spec(dark), key="loss_chart")
    right.markdown("**Where in the chain the loss lies**")
    t, nats = job.loss_per_time()
    # the loss is (T − 1) KL in nats per dimension
    bits = np.asarray(nats) * dims / (T - 1) / NATS_PER_BIT / yard.divide
    seen = np.isfinite(bits)
    right.vega_lite_chart(pd.DataFrame({"t": t[seen], "bits": bits[seen]}), time_spec(T, yard, dark), key="time_chart")


# a chart costs more to describe than to fill: descriptions are kept, and only rows are sent again


def _description(chart: alt.LayerChart) -> dict:
    """A chart without the empty table that stands for rows still to come: its layers take the rows given with it."""
    described = chart.to_dict()
    described.pop("datasets", None)
    for layer in described["layer"]:
        if "name" in layer.get("data", {}):
            del layer["data"]
    return described


@st.cache_data(max_entries=16, show_spinner=False)
def bound_spec(runs: tuple[str, ...], yard: Yardstick, span: tuple[float, float], dark: bool) -> dict:
    """The chart of K."""
    return _description(bound_chart(list(runs), yard.limits, *span, yard.unit, dark))


@st.cache_data(max_entries=2, show_spinner=False)
def loss_spec(dark: bool) -> dict:
    """The chart of the loss over steps."""
    return _description(loss_chart(dark))


@st.cache_data(max_entries=16, show_spinner=False)
def time_spec(T: int, yard: Yardstick, dark: bool) -> dict:
    """The chart of the loss over t."""
    best = {"t": list(yard.times[0]), "bits": list(yard.times[1])} if yard.times else None
    return _description(time_chart(T, best, yard.unit, dark))


def bound_rows(name: str, snapshots: list, yard: Yardstick) -> list[dict]:
    """A run's K at its snapshots, as rows of the chart."""
    rows = []
    for snapshot in snapshots:
        value, error = snapshot.bound_bits / yard.divide, snapshot.bound_standard_error_bits / yard.divide
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
