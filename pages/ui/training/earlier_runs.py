"""Runs on disk and models at hand: to go on from, or to lay over the run on the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.config import RunConfig, from_dict
from dpm_core.data.bits import BIT_SETS
from dpm_core.data.images import IMAGE_SETS
from dpm_core.data.toy2d import SHAPES, DataError
from pages.ui import cache
from pages.ui.controls import widgets
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.images.image_controls import ImageSource
from pages.ui.training import session_runs
from pages.ui.training.reference_values import Yardstick
from pages.ui.training.run_setup import Setup, Source, data_config, held_out

NOTHING = ""
RESUMABLE = ("interrupted", "paused", "stopped", "failed")
LABEL = "Go on from an earlier run, or from a model’s weights"


def show(setup: Setup, job: jobs.Job | None) -> None:
    """What else to look at or to go on from: a run that goes on unseen, one on disk, or a model whose weights begin a new run."""
    unseen = {f"job {other.id}": other for other in session_runs.known() if other is not job and other.status in session_runs.ALIVE}
    names = {other.config.name for other in session_runs.known() if other.status in session_runs.ALIVE}
    runs = {f"run {info.name}": info for info in found() if info.name not in names and info.status in RESUMABLE}
    models = {f"model {name}": path for name, path in _models(setup.run.network.name, setup.kind).items()}
    titles = {NOTHING: "Choose …"}
    titles |= {key: f"Watch {other.config.name} · {other.status}" for key, other in unseen.items()}
    titles |= {key: f"Run {info.name} · step {info.step:,} · {info.status}" for key, info in runs.items()}
    titles |= {key: f"Model {path.stem}" for key, path in models.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="go_on"):
        chosen = st.selectbox(LABEL, list(titles), format_func=titles.get, key="earlier")
        if chosen in unseen:
            action, arguments = session_runs.watch, (unseen[chosen],)
        elif chosen in runs:
            action, arguments = _resume, (setup, runs[chosen])
        else:
            action, arguments = session_runs.start, (setup, models.get(chosen))
        st.button("Go on", on_click=action, args=arguments, disabled=not chosen, key="go_on_now")


def compared(made: Setup, job: jobs.Job, yard: Yardstick) -> tuple[str, list[dict]] | None:
    """The menu of other runs of the same data, and the chosen one's K as rows of the chart."""
    others = {info.name: info for info in found() if info.name != job.config.name and info.config.run.data == made.run.data}
    if not others:
        return None
    name = st.selectbox("Compare with", [NOTHING, *others], format_func=lambda name: name or "No other run", key="compare")
    if not name:
        return None
    path = others[name].folder / "metrics.jsonl"
    try:
        return name, rows(path, path.stat().st_mtime, name, yard.divide)
    except OSError:
        st.caption(f"The run {name} can no longer be read.")
        return None


@st.cache_data(ttl=4, show_spinner=False)
def _found() -> list[jobs.RunInfo]:
    return jobs.runs()


def found() -> list[jobs.RunInfo]:
    """All runs on disk, the last written first; looked up at most every few seconds."""
    return _found()


@st.cache_data(max_entries=16, show_spinner=False)
def rows(path: Path, modified: float, name: str, divide: float) -> list[dict]:
    """K of a run on disk at its snapshots, as rows of the chart. Raises OSError."""
    out = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
            value, error = row["bound_bits"] / divide, row["bound_standard_error_bits"] / divide
            out.append({"step": int(row["step"]), "value": value, "low": value - error, "high": value + error, "run": name})
        except (ValueError, KeyError, TypeError):
            continue  # a row of the loss, or one cut short
    return out


@st.cache_data(ttl=4, show_spinner=False)
def _models(network: str, kind: str) -> dict[str, Path]:
    """Checkpoints of one kind of network and of data."""
    out = {}
    for name, path in checkpoints.list_checkpoints().items():
        try:
            config = from_dict(RunConfig, checkpoints.read_header(path)["config"])
        except (ValueError, KeyError):
            continue
        of = "images" if config.data.name in IMAGE_SETS else "bits" if config.data.name in BIT_SETS else "plane"
        if config.network.name == network and of == kind:
            out[name] = path
    return out


def _resume(setup: Setup, info: jobs.RunInfo) -> None:
    """Go on with a run from its last state, and look at it."""

    def make() -> jobs.Job:
        source = source_of(setup, info)
        return jobs.resume_run(info.folder, cache.data(source), held_out(source))

    try:
        made = Setup(source_of(setup, info), info.config, info.name)
    except DataError as error:
        st.session_state["train_error"] = str(error)
        return
    session_runs.look_at(made, make)


def source_of(setup: Setup, info: jobs.RunInfo) -> Source:
    """The data of a run on disk. Raises DataError when it was the person's own and is not chosen now."""
    data = info.config.run.data
    if data.name in SHAPES:
        return widgets.PlaneSource(data.name, None if data.noise == SHAPES[data.name][2] else data.noise)
    if data.name in IMAGE_SETS and data.name != "image":
        return ImageSource(data.name, data.params)
    if data.name in BIT_SETS and data.name != "patterns":
        source, rate = BitSource(data.name, data.params), info.config.run.diffusion.rate
        return source if cache.bits(source).rate == rate else replace(source, rate=rate)  # as the controls have it
    if data_config(setup.source) == data:
        return setup.source
    raise DataError(f"The run {info.name} was trained on data of your own; choose that data first.")
