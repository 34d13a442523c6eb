"""Uploading a checkpoint."""

from __future__ import annotations

from pathlib import PurePosixPath

import streamlit as st

from dpm_core import checkpoints, exchange
from dpm_core.checkpoints import CheckpointError, archive
from dpm_core.checkpoints.folders import check_free
from dpm_core.files import in_words
from pages.ui import rights, session

DIFFUSERS = (
    "Or a .zip of a folder that the library diffusers has saved (UNet2DModel, safetensors); larger ones by "
    "`python -m dpm_core import FOLDER --name NAME`."
)


def form(expanded: bool) -> None:
    """The file uploader, the name and the button; then the confirmation."""
    if not rights.may_start():
        return
    with st.expander("Upload a model", expanded=expanded):
        turn = session.UPLOAD_ROUND.get()  # another key empties the uploader
        uploaded = st.file_uploader(
            f"{archive.WANTED} {DIFFUSERS}", ["safetensors", "json", "zip"], accept_multiple_files=True, key=f"model_files_{turn}"
        )
        if uploaded and len(uploaded) == 1 and exchange.holds_diffusers(uploaded[0].getvalue()):
            _import(uploaded[0].getvalue(), archive.plain_name(PurePosixPath(uploaded[0].name).stem), turn)
        elif uploaded:
            try:
                pair = archive.read_upload(uploaded)
                name = st.text_input("Name", pair.stem, max_chars=64, key=f"upload_name_{turn}")
                if st.button("Add model", type="primary", key="add"):
                    rights.check_space()
                    rights.claim(checkpoints.save_upload(pair.tensors, pair.header, name))
                    _added(name, turn)
            except (rights.NotAllowed, CheckpointError, OSError) as error:
                st.error(session.plain(in_words(error)))
    if added := session.ADDED_CHECKPOINT.pop():
        st.success(f"The model {added} has been added.")


def _import(raw: bytes, stem: str, turn: int) -> None:
    """A model of diffusers: its name, the data on which K is measured, and the button."""
    try:
        name = st.text_input("Name", stem, max_chars=64, key=f"upload_name_{turn}")
        if st.button("Import model", type="primary", key="import"):
            rights.check_space()
            checkpoints.check_name(name)
            check_free(name, checkpoints.user_folder())
            bar = st.progress(0.0, "Unpacking …")
            with exchange.unpacked(raw, name) as folder:
                made = exchange.import_diffusers(folder, name, report=lambda what, share: bar.progress(share, f"{what.capitalize()} …"))
                rights.claim(checkpoints.save(made))
            _added(name, turn)
    except (rights.NotAllowed, ValueError, OSError) as error:
        st.error(session.plain(in_words(error)))


def _added(name: str, turn: int) -> None:
    """Empty the uploader, and say after the next run that the model is there."""
    session.UPLOAD_ROUND.set(turn + 1)
    session.ADDED_CHECKPOINT.set(name)
    st.rerun()
