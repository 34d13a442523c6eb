"""Uploading a checkpoint."""

from __future__ import annotations

import streamlit as st

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError, archive
from dpm_core.files import in_words
from pages.ui import rights, session


def form(expanded: bool) -> None:
    """The file uploader, the name and the button; then the confirmation."""
    if not rights.may_start():
        return
    with st.expander("Upload a model", expanded=expanded):
        turn = session.UPLOAD_ROUND.get()  # another key empties the uploader
        uploaded = st.file_uploader(archive.WANTED, ["safetensors", "json", "zip"], accept_multiple_files=True, key=f"model_files_{turn}")
        if uploaded:
            try:
                pair = archive.read_upload(uploaded)
                name = st.text_input("Name", pair.stem, max_chars=64, key=f"upload_name_{turn}")
                if st.button("Add model", type="primary", key="add"):
                    rights.check_space()
                    rights.claim(checkpoints.save_upload(pair.tensors, pair.header, name))
                    session.UPLOAD_ROUND.set(turn + 1)
                    session.ADDED_CHECKPOINT.set(name)
                    st.rerun()
            except (rights.NotAllowed, CheckpointError, OSError) as error:
                st.error(session.plain(in_words(error)))
    if added := session.ADDED_CHECKPOINT.pop():
        st.success(f"The model {added} has been added.")
