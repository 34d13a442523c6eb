"""The buttons, the state and the numbers beside the stage of a run."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dpm_core import jobs
from dpm_core.config import ConfigError
from pages.ui import rights, session
from pages.ui.controls.save_checkpoint import save_form
from pages.ui.kinds import runs
from pages.ui.kinds.records import ReferenceValues
from pages.ui.kinds.runs import ALIVE, Setup
from pages.ui.training import session_runs, views
from pages.ui.training.run_setup import BATCHES, DEVICE_TITLES, cost_in_words
from pages.ui.training.session_runs import command

FIXED_SAMPLE = (
    "SFO minimises the loss of minibatches that were drawn once. Where K falls while the loss falls, the network overfits that sample: "
    "stop, and start with a larger batch, or with Adam."
)


def panel(setup: Setup, reference: ReferenceValues, polled: float | None) -> None:
    """The buttons, the state of the run in one sentence, and the numbers. Reruns the page when a run starts or ends."""
    job, made = session_runs.current(setup)
    if not rights.may_start():
        st.caption(rights.READ_ONLY)
    elif job is None or rights.may_change(job.folder):
        _buttons(setup, job)
    else:
        st.caption(rights.OTHERS)
        _buttons(setup, None)
    if error := session.TRAINING_ERROR.get():
        st.error(session.plain(error))
    if job is None:
        _others()
        try:
            st.caption(f"Cost: {cost_in_words(setup)}.")
        except ConfigError as refused:  # the optimiser is not for such a network; the start says the same
            if not error:
                st.error(session.plain(str(refused)))
    else:
        _sentence(setup, made, job)
        views.cards(job, reference)
        if not job.config.run.training.uses_rate(job.step):
            st.caption(FIXED_SAMPLE)
    if session.TRAINING_CHANGED.pop() or runs.pace(job) != polled:
        st.rerun()


def _others() -> None:
    """Runs in progress that this page does not show."""
    for other in runs.known():
        if other.status in ALIVE:
            st.caption(f"{other.config.name} is {other.status}, at step {other.step:,}.")
            st.button(f"Watch {other.config.name}", on_click=session_runs.watch, args=(other,), key=f"watch_{other.id}")


def _buttons(setup: Setup, job: jobs.Job | None) -> None:
    """Every button keeps its place at all times, so that no click can reach another button than intended."""
    status = job.status if job else "none"
    with st.container(key="train_buttons", horizontal=True, gap="small"):
        with _place("main"):
            if job is not None and status == "running":
                st.button("Pause", on_click=command, args=(job, job.pause), key="pause", type="primary", width="stretch")
            elif job is not None and status in ("paused", "queued"):
                queued = status == "queued"
                st.button(
                    "Resume", on_click=command, args=(job, job.resume), key="resume", type="primary", width="stretch", disabled=queued
                )
            else:
                st.button("Start", on_click=session_runs.start, args=(setup,), key="start", type="primary", width="stretch")
        with _place("step"):
            if job is not None and status in ALIVE:
                once = "Do one training step, and show its details."
                st.button("Step", on_click=command, args=(job, job.step_once), key="step", help=once, width="stretch")
            else:
                slowly = "Start with one training step, and show its details."
                st.button("Step", on_click=session_runs.start_by_step, args=(setup,), key="first_step", help=slowly, width="stretch")
        to_save = job if job is not None and job.step > 0 else None
        with _place("save"), st.popover("Save", key="keep", disabled=to_save is None, width="stretch"):
            if to_save is not None:
                save_form(to_save)
        with _place("end"):
            if job is not None and (status == "stopped" or (status == "failed" and not job.suggested_batch)):
                st.button("Resume", on_click=session_runs.resume_stopped, args=(job,), key="go_on_here", width="stretch")
            else:
                st.button("Stop", on_click=command, args=(job, job and job.stop), key="stop", disabled=status not in ALIVE, width="stretch")


def _place(name: str) -> DeltaGenerator:
    """The place of one button. While the browser still holds the button that was there before, after the new one, it is not shown."""
    return st.container(key=f"button_place_{name}")


def _sentence(setup: Setup, made: Setup, job: jobs.Job) -> None:
    """The state of the run in one sentence, and what can be done."""
    step, status = f"{job.step:,}", job.status
    if status == "failed":
        st.error(session.plain(job.message))
        if job.suggested_batch:
            fits = max(size for size in BATCHES if size <= job.suggested_batch)
            st.button(f"Use a batch of {fits}", on_click=_use_batch, args=(made, fits), key="fits")
        return
    place = job.queue_position
    words = {
        "queued": f"Queued: {_ordinal(place or 1)} in the queue. It starts automatically.",
        "running": f"{job.config.name} is training on the {DEVICE_TITLES[job.config.device]}.",
        "paused": f"Paused at step {step}.",
        "finished": f"Finished at step {step}.",
        "stopped": f"Stopped at step {step}. You can resume or save it.",
    }[status]
    if status in ALIVE and not setup.same(made):
        words += " The controls have changed since it started; they apply to the next run."
    st.caption(session.plain(job.message) or words)


def _use_batch(made: Setup, batch: int) -> None:
    session.set_widget(f"batch{made.kind.key_suffix}", batch)
    session.TRAINING_CHANGED.set(True)


def _ordinal(n: int) -> str:
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
