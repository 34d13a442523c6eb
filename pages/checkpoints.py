"""Checkpoints: every trained model there is, and your own."""

import streamlit as st

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError
from pages.ui import page
from pages.ui.checkpoints import cards, files

COLUMNS = 3

page.open_page("Checkpoints", "Every trained model that is at hand: those that came with the program, and those you have kept or brought.")

shown = []
for name, path in checkpoints.list_checkpoints().items():
    try:
        shown.append(cards.card(name, path))
    except OSError:
        continue  # deleted since it was listed
if (problem := st.session_state.get("checkpoint_error")) and problem[1] not in [card.path for card in shown]:
    st.error(st.session_state.pop("checkpoint_error")[2])  # its card has gone
shown.sort(key=lambda card: (not card.own, -card.ref.modified if card.own else 0))

with st.expander("Bring a model", expanded=not shown):
    turn = st.session_state.setdefault("upload_turn", 0)  # a new key empties the uploader
    uploaded = st.file_uploader(files.WANTED, ["safetensors", "json", "zip"], accept_multiple_files=True, key=f"model_files_{turn}")
    if uploaded:
        try:
            pair = files.read_upload(uploaded)
            name = st.text_input("Name", pair.stem, max_chars=64, key=f"upload_name_{turn}")
            if st.button("Add it", type="primary", key="add"):
                checkpoints.save_upload(pair.tensors, pair.header, name)
                st.session_state["upload_turn"], st.session_state["added"] = turn + 1, name
                st.rerun()
        except (CheckpointError, OSError) as problem:
            st.error(str(problem))
if added := st.session_state.pop("added", None):
    st.success(f"{added} has been added.")

if not shown:
    st.info("There is no model yet: train one, or bring one.")
places = []
for start in range(0, len(shown), COLUMNS):
    for column, card in zip(st.columns(COLUMNS), shown[start : start + COLUMNS]):
        with column:
            places.append((cards.show(card), card))
with page.working("Sampling …"):
    for place, card in places:  # last, one after another: the page is there before its pictures
        if not card.error:
            cards.fill(place, card)
