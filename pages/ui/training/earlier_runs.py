"""Runs on disk and saved models: to resume from, and to compare with the run on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.config import RunConfig, from_dict
from dpm_core.data.errors import DataError
from pages.ui import kinds, rights, session
from pages.ui.kinds import runs
from pages.ui.kinds.records import ReferenceValues
from pages.ui.kinds.runs import Setup
from pages.ui.training import session_runs

NOTHING = ""
RESUMABLE = ("interrupted", "paused", "stopped", "failed")
LABEL = "Resume an earlier run, or start from a model’s weights"


def show(setup: Setup, job: jobs.Job | None) -> None:
    """Other runs in progress to watch, runs on disk to resume, and models whose weights a new run can start from."""
    others = {f"job {other.id}": other for other in runs.known() if other is not job and other.status in runs.ALIVE}
    names = {other.config.name for other in runs.known() if other.status in runs.ALIVE}
    on_disk = {f"run {info.name}": info for info in found() if info.name not in names and info.status in RESUMABLE}
    models = {f"model {name}": path for name, path in _models(setup.run.network.name, setup.kind.name).items()}
    titles = {NOTHING: "Choose …"}
    titles |= {key: f"Watch {other.config.name} · {other.status}" for key, other in others.items()}
    titles |= {key: f"Run {info.name} · step {info.step:,} · {info.status}" for key, info in on_disk.items()}
    titles |= {key: f"Model {path.stem}" for key, path in models.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="go_on"):
        chosen = st.selectbox(LABEL, list(titles), format_func=lambda key: titles.get(key, ""), key="earlier")
        action: Callable[[], None]
        if chosen in others:
            action = partial(session_runs.watch, others[chosen])
        elif chosen in on_disk:
            action = partial(_resume, setup, on_disk[chosen])
        else:
            action = partial(session_runs.start, setup, models.get(chosen))
        st.button("Resume", on_click=action, disabled=not chosen, key="go_on_now")


def compared(made: Setup, job: jobs.Job, reference: ReferenceValues) -> tuple[str, list[dict]] | None:
    """The menu of other runs of the same data, and the chosen one's K as rows of the chart."""
    others = {info.name: info for info in found() if info.name != job.config.name and info.config.run.data == made.run.data}
    if not others:
        return None
    name = st.selectbox("Compare with", [NOTHING, *others], format_func=lambda name: name or "No other run", key="compare")
    if not name:
        return None
    path = others[name].folder / "metrics.jsonl"
    try:
        return name, rows(path, path.stat().st_mtime, name, reference.bits_per_datum)
    except OSError:
        st.caption(f"The run {name} can no longer be read.")
        return None


@st.cache_data(ttl=4, show_spinner=False)
def _found() -> list[jobs.RunInfo]:
    return jobs.runs()


def found() -> list[jobs.RunInfo]:
    """The runs on disk that this session may change, the last written first; looked up at most every few seconds."""
    return [info for info in _found() if rights.may_change(info.folder)]


@st.cache_data(max_entries=16, show_spinner=False)
def rows(path: Path, modified: float, name: str, bits_per_datum: float) -> list[dict]:
    """K of a run on disk at its snapshots, as rows of the chart. Raises OSError."""
    out = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
            value, error = row["bound_bits"] / bits_per_datum, row["bound_standard_error_bits"] / bits_per_datum
            out.append({"step": int(row["step"]), "value": value, "low": value - error, "high": value + error, "run": name})
        except (ValueError, KeyError, TypeError):
            continue  # a row of the loss, or one cut short
    return out


@st.cache_data(ttl=4, show_spinner=False)
def _models(network: str, kind_name: str) -> dict[str, Path]:
    """Checkpoints of one kind of network and of data."""
    out = {}
    for name, path in checkpoints.list_checkpoints().items():
        try:
            config = from_dict(RunConfig, checkpoints.read_header(path)["config"])
        except (ValueError, KeyError):
            continue
        if config.network.name == network and kinds.KINDS[kind_name].owns(config.data.name):
            out[name] = path
    return out


def _resume(setup: Setup, info: jobs.RunInfo) -> None:
    """Resume a run from its last state, and show it."""
    try:
        made = Setup(runs.source_of(info.name, info.config.run, setup), info.config, info.name)
    except DataError as error:
        session.TRAINING_ERROR.set(str(error))
        return
    session_runs.resume(made, info.folder)
