"""Saving the network of a run as a checkpoint."""

from __future__ import annotations

import streamlit as st

from dpm_core import checkpoints, jobs
from dpm_core.checkpoints import archive
from dpm_core.files import in_words
from pages.ui import rights, session


def save_form(job: jobs.Job) -> None:
    """Save the averaged weights under a name; then they can be downloaded as a file."""
    name = st.text_input("Name", job.config.name, max_chars=64, key=f"keep_name_{job.id}")
    if st.button("Save checkpoint", key="keep_now", type="primary"):
        try:
            rights.check_space()
            if name in checkpoints.list_checkpoints():
                raise checkpoints.CheckpointError(f"A checkpoint named {name!r} exists already; choose another name.")
            # the bytes now: a file made on the click may be gone before the browser has fetched it, as this page is polled
            path = job.save(name)
            rights.claim(path)
            session.SAVED_CHECKPOINT.set((job.id, name, archive.zipped(path)))
            session.SAVE_ERROR.set(None)
        except (ValueError, OSError) as error:
            session.SAVE_ERROR.set((job.id, name, in_words(error)))
    if (problem := session.SAVE_ERROR.get()) and problem[:2] == (job.id, name):
        st.error(session.plain(problem[2]))  # until the name changes: the page is drawn again twice a second
    id, saved, zipped = session.SAVED_CHECKPOINT.get()
    if id == job.id:
        st.caption(f"Saved as {saved}. It is on the [Checkpoints](/checkpoints) page and in the model menus.")
        st.download_button("Download (.zip)", zipped, f"{saved}.zip", "application/zip", on_click="ignore", type="tertiary", key="keep_zip")
