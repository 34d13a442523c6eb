"""The buttons and numbers beside the stage of a run."""

from __future__ import annotations

import streamlit as st

from dpm_core import checkpoints, jobs
from pages.ui.checkpoints import files
from pages.ui.training import session_runs, views
from pages.ui.training.reference_values import Yardstick
from pages.ui.training.run_setup import BATCHES, DEVICE_TITLES, Setup, cost_in_words
from pages.ui.training.session_runs import ALIVE, attempt

WIDE, NARROW = 84, 62  # pixels of a button


def panel(setup: Setup, yard: Yardstick, polled: float | None) -> None:
    """The buttons, a sentence on what goes on, and the numbers. Reruns the page when a run begins or ends."""
    job, made = session_runs.current(setup)
    _buttons(setup, job)
    if error := st.session_state.get("train_error"):
        st.error(error)
    if job is None:
        _others()
        st.caption(f"Before it starts: {cost_in_words(setup)}.")
    else:
        _sentence(setup, made, job)
        views.cards(job, yard)
    if st.session_state.pop("train_changed", False) or session_runs.pace(job) != polled:
        st.rerun()


def _others() -> None:
    """A run that goes on while this page, opened afresh, does not look at it."""
    for other in session_runs.known():
        if other.status in ALIVE:
            st.caption(f"{other.config.name} is {other.status}, at step {other.step:,}.")
            st.button(f"Watch {other.config.name}", on_click=session_runs.watch, args=(other,), key=f"watch_{other.id}")


def _buttons(setup: Setup, job: jobs.Job | None) -> None:
    """Every button has its own place at all times, so that none comes to stand where another was about to be pressed."""
    status = job.status if job else "none"
    with st.container(key="train_buttons", horizontal=True, gap="small"):
        if job is not None and status == "running":
            st.button("Pause", on_click=attempt, args=(job.pause,), key="pause", type="primary", width=WIDE)
        elif job is not None and status in ("paused", "queued"):
            queued = status == "queued"
            st.button("Resume", on_click=attempt, args=(job.resume,), key="resume", type="primary", width=WIDE, disabled=queued)
        else:
            st.button("Start", on_click=session_runs.start, args=(setup,), key="start", type="primary", width=WIDE)
        if job is not None and status in ALIVE:
            once = "One step, and all that went into it."
            st.button("Step", on_click=attempt, args=(job.step_once,), key="step", help=once, width=NARROW)
        else:
            slowly = "Start with a single step, and see all that goes into it."
            st.button("Step", on_click=session_runs.start_by_step, args=(setup,), key="first_step", help=slowly, width=NARROW)
        kept = job is not None and job.step > 0
        with st.popover("Keep", key="keep", disabled=not kept, width=WIDE):
            if kept:
                keep(job)
        if job is not None and status == "stopped":
            st.button("Go on", on_click=session_runs.go_on, args=(job,), key="go_on_here", width=WIDE)
        else:
            st.button("Stop", on_click=attempt, args=(job and job.stop,), key="stop", disabled=status not in ALIVE, width=WIDE)


def _sentence(setup: Setup, made: Setup, job: jobs.Job) -> None:
    """What the run is doing, in one sentence, and what to do about it."""
    step, status = f"{job.step:,}", job.status
    if status == "failed":
        st.error(job.message)
        if job.suggested_batch:
            fits = max(size for size in BATCHES if size <= job.suggested_batch)
            st.button(f"Use batch {fits}", on_click=_use_batch, args=(made, fits), key="fits")
        return
    place = job.queue_position
    words = {
        "queued": f"Waiting: {_ordinal(place or 1)} in line. It starts by itself.",
        "running": f"{job.config.name} trains on the {DEVICE_TITLES[job.config.device].lower()}.",
        "paused": f"Paused at step {step}. Nothing is lost.",
        "finished": f"Finished at step {step}.",
        "stopped": f"Stopped at step {step}: go on, or keep it.",
    }[status]
    if status in ALIVE and not setup.same(made):
        words += " The controls have changed since; they count from the next start."
    st.caption(job.message or words)


def _use_batch(made: Setup, batch: int) -> None:
    st.session_state["batch" if made.kind == "plane" else f"batch_{made.kind}"] = batch
    st.session_state["train_changed"] = True


def keep(job: jobs.Job) -> None:
    """Save the averaged weights under a name; then they can be taken along as a file."""
    name = st.text_input("Name", job.config.name, max_chars=64, key=f"keep_name_{job.id}")
    if st.button("Keep as a checkpoint", key="keep_now", type="primary"):
        try:
            if name in checkpoints.list_checkpoints():
                raise checkpoints.CheckpointError(f"There is a checkpoint named {name!r} already; choose another name.")
            # the bytes at once: a file that is made when it is asked for may be gone again before the browser has fetched it
            st.session_state["kept"] = (job.id, name, files.zipped(job.save(name)))
            st.session_state.pop("keep_error", None)
        except (ValueError, OSError) as error:
            st.session_state["keep_error"] = (job.id, name, str(error))
    if (problem := st.session_state.get("keep_error")) and problem[:2] == (job.id, name):
        st.error(problem[2])  # until the name is another: the page is drawn anew twice a second
    id, kept, archive = st.session_state.get("kept", (None, "", b""))
    if id == job.id:
        st.caption(f"Kept as {kept}: among the [checkpoints](/checkpoints), and on the Reverse page.")
        st.download_button("Download (.zip)", archive, f"{kept}.zip", "application/zip", on_click="ignore", type="tertiary", key="keep_zip")


def _ordinal(n: int) -> str:
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
